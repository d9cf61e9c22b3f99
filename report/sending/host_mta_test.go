//go:build mta

package sending

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dmarcgate/internal/childtest"
	"dmarcgate/policy/pattern"
	"dmarcgate/report"
	"dmarcgate/report/consent"
	"dmarcgate/report/deliver"
	"dmarcgate/report/due"
	"dmarcgate/report/gate"
	"dmarcgate/report/mail"
	"dmarcgate/report/queue"
	"dmarcgate/report/queue/file"
	queuepg "dmarcgate/report/queue/pg"
	"dmarcgate/results"
	"dmarcgate/results/pg"
	"dmarcgate/results/sqlite"
)

// A host of these tests is a process of its own: this program, which finds what it is in
// its environment. It can be killed at any moment.

const hostVariable = "DMARCGATE_REPORTS_HOST"

// hostConfig says what a host is.
type hostConfig struct {
	Name      string
	Dir       string // of results.db, and of reports.db without Postgres
	Postgres  string // URL
	Smarthost string
	// Turns are the times of turns, one after the other. Without any, the host waits for
	// a line on its standard input, and takes turns until the input ends.
	Turns []time.Time
	Dies  string // kills itself at this step
	Gone  string // file; while it is there, no record of d3.example is published
}

// TestMain is also the program of a host.
func TestMain(m *testing.M) {
	text := os.Getenv(hostVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	var c hostConfig
	err := json.Unmarshal([]byte(text), &c)
	if err == nil {
		err = c.run(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run is the process of a host.
func (c hostConfig) run(ctx context.Context) (err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	store, err := sqlite.Open(ctx, sqlite.Options{
		Path: filepath.Join(c.Dir, "results.db"), Durability: sqlite.Ack, Wait: time.Minute, Queue: 100, Ship: c.Postgres != "", Log: log,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	var at time.Time // of the clock
	h, err := c.host(ctx, store, func() time.Time {
		if at.IsZero() {
			return time.Now().UTC()
		}
		return at
	}, log)
	if err != nil {
		return err
	}
	defer h.Close()
	if len(c.Turns) == 0 {
		return c.turns(ctx, h)
	}
	for _, at = range c.Turns {
		if err := h.Turn(ctx); err != nil {
			return err
		}
	}
	return nil
}

// pace is the time between two turns of a host whose tests do not have its clock.
const pace = 20 * time.Millisecond

// turns takes turns until standard input ends, and tells of each.
func (c hostConfig) turns(ctx context.Context, h *Sending) error {
	fmt.Println("ready")
	in := bufio.NewReader(os.Stdin)
	if _, err := in.ReadString('\n'); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	go func() { _, _ = io.Copy(io.Discard, in); stop() }()
	for ctx.Err() == nil {
		word := "done"
		if err := h.Turn(ctx); err != nil {
			word = "failed"
			h.Log.Info("turn failed", "err", err)
		}
		fmt.Println(word)
		_ = wait(ctx, pace) // the loop asks ctx
	}
	return nil
}

// host puts the parts together.
func (c hostConfig) host(ctx context.Context, store *sqlite.Store, now func() time.Time, log *slog.Logger) (*Sending, error) {
	set, err := c.settings()
	if err != nil {
		return nil, err
	}
	d := &dying{hostConfig: c}
	rows := &hostRows{store: store, dying: d, now: now}
	open := func(ctx context.Context) (queue.Store, error) {
		return file.Open(ctx, file.Options{Path: filepath.Join(c.Dir, "reports.db"), Log: log, Now: now})
	}
	if c.Postgres != "" {
		if rows.shared, err = pg.OpenReader(ctx, pg.Config{URL: c.Postgres}); err != nil {
			return nil, err
		}
		open = func(ctx context.Context) (queue.Store, error) { return queuepg.Open(ctx, pg.Config{URL: c.Postgres}) }
	}
	m := &counts{rows: map[string]int64{}, planned: map[string]int64{}, deliveries: map[string]int{}}
	return New(Parts{
		Settings: func() (Settings, error) { return set, nil }, Marks: store, Rows: rows, Records: owners{c.Gone},
		Queue: func(ctx context.Context) (queue.Store, error) {
			q, err := open(ctx)
			if err != nil {
				return nil, err
			}
			return &mortal{q, &site{dies: d.at}}, nil
		},
		Dir: c.Dir, Owner: fmt.Sprintf("%s/%d", c.Name, os.Getpid()), Log: log, Metrics: m, Draw: func() float64 { return 0.5 },
	}), nil
}

// settings have no dry run and no small caps.
func (c hostConfig) settings() (Settings, error) {
	not, err := pattern.ParseDomain("d5.example")
	if err != nil {
		return Settings{}, err
	}
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	return Settings{
		Gate: gate.Gate{
			Send: true, Own: []string{"uni.example"}, Exclude: []pattern.Domain{not}, MinAge: 7 * queue.Day,
			Identity: gate.Identity{
				Organization: "Receiver", Email: "dmarc@reports.receiver.example", Submitter: "receiver.example", BounceDomain: "reports.receiver.example",
				Selector: "r1", Key: "v=DKIM1", Smarthost: c.Smarthost,
			},
			Caps: gate.Caps{NewHosts: 1e6, PerHost: 1e6, PerDay: 1e6, PerMinute: 1e6},
		},
		Generator: "dmarcgate test", CatchUp: 7 * queue.Day,
		Keys: []*mail.Key{{Domain: "reports.receiver.example", Selector: "r1", Signer: key}},
		Schema: func(host string) string {
			if host == "old.example" {
				return string(report.RFC7489)
			}
			return string(report.RFC9990)
		},
		Open: func() (Sender, error) {
			return deliver.New(deliver.Config{Smarthost: c.Smarthost, Hello: "us.example", TLS: deliver.None})
		},
		Verify: func(context.Context, gate.Identity, []byte) string { return "" },
	}, nil
}

// dying kills the process at a step.
type dying struct{ hostConfig }

func (d *dying) at(step string) bool {
	if d.Dies != step {
		return false
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // cannot fail
	select {}
}

// owners answer by the name of a domain. A domain without a rule wants reports at an
// address of its own.
type owners struct{ gone string }

func (o owners) Wanted(_ context.Context, domain string) due.Wanted {
	to := []consent.Destination{{Tag: "rua", URI: "mailto:dmarc@" + domain, Host: domain, Consent: consent.Internal}}
	switch domain {
	case "d0.example": // no rua
		to = nil
	case "d1.example":
		to[0] = consent.Destination{Tag: "rua", URI: "mailto:dmarc@other.example", Host: "other.example", Consent: consent.Refused}
	case "d2.example":
		to = append(to, consent.Destination{Tag: "rua", URI: "mailto:d2@old.example", Host: "old.example", Consent: consent.Granted})
	case "d3.example":
		if _, err := os.Stat(o.gone); err == nil {
			to = nil
		}
	}
	return due.Wanted{Org: domain, To: gate.Destinations(to)}
}

// hostRows are the rows of the store, or those of all hosts.
type hostRows struct {
	*dying
	store  *sqlite.Store
	shared *pg.Reader // nil without PostgreSQL
	now    func() time.Time
	scans  int
}

// Scan is a step: within "scan 1", and so on, the host may die.
func (r *hostRows) Scan(ctx context.Context, span results.Span, f func(results.Row) error) error {
	r.scans++
	step := fmt.Sprint("scan ", r.scans)
	row := func(x results.Row) error {
		r.at(step)
		return f(x)
	}
	if r.shared != nil {
		return r.shared.Scan(ctx, span, row)
	}
	return r.store.Scan(ctx, span, row)
}

// KnownSince knows all organizations for a month, but d4.example.
func (r *hostRows) KnownSince(_ context.Context, org string) (time.Time, error) {
	if org == "d4.example" {
		return r.now().Add(-time.Hour), nil
	}
	return r.now().Add(-30 * queue.Day), nil
}

func (r *hostRows) Sources(ctx context.Context) ([]queue.Source, error) {
	if r.shared == nil {
		last, err := r.store.Barrier(ctx)
		return []queue.Source{{ID: r.store.ID(), Host: r.Name, Watermark: r.now(), Last: last, Seen: r.now()}}, err
	}
	hosts, err := r.shared.Hosts(ctx)
	return queuepg.Sources(hosts), err
}

func (r *hostRows) Late(ctx context.Context, day report.Period, upto map[string]int64) (int64, error) {
	if r.shared == nil {
		return r.store.LateRows(ctx, day.Begin, day.End, upto[r.store.ID()])
	}
	return r.shared.LateRows(ctx, day.Begin, day.End, upto)
}

func (r *hostRows) Lost(ctx context.Context, day time.Time) (int64, error) {
	return r.store.LostRows(ctx, day)
}

func (r *hostRows) Hold(ctx context.Context, first time.Time) error {
	return r.store.SetReportsOpen(ctx, first)
}

// process is a host that runs.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string   // what it says; closed when it has ended
	over  chan struct{} // closed when it was waited for

	mu  sync.Mutex // guards what stands below
	log bytes.Buffer
}

// start starts a host. It ends with the test at the latest.
func (c hostConfig) start(t *testing.T) *process {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(os.Args[0]), lines: make(chan string, 1000), over: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), hostVariable+"="+string(text))
	p.cmd.Stderr = p
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, said := io.Pipe()
	p.cmd.Stdout = said
	if err := childtest.Start(p.cmd, func(error) { said.Close() }); err != nil { // its state says how it ended
		t.Fatal(err)
	}
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			select {
			case p.lines <- s.Text():
			default: // the test has not listened for long
			}
		}
		close(p.lines)
		close(p.over)
	}()
	t.Cleanup(func() { p.kill(); <-p.over })
	return p
}

// Write takes what the host logs.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *process) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// kill ends the host at once.
func (p *process) kill() { _ = p.cmd.Process.Kill() } // an error says that it has ended

// patience is how long a test waits for a host, on a busy machine and in soak.
const patience = 10 * time.Minute

// ended waits until the host has ended, and returns whether it was killed.
func (p *process) ended() (killed bool) {
	p.t.Helper()
	select {
	case <-p.over:
	case <-time.After(patience):
		p.t.Fatalf("the host does not end\n%s", p.logged())
	}
	status := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !status.Signaled() && status.ExitStatus() != 0 {
		p.t.Fatalf("the host failed: %v\n%s", p.cmd.ProcessState, p.logged())
	}
	return status.Signaled()
}

// says waits until the host has said a line n times.
func (p *process) says(line string, n int) {
	p.t.Helper()
	late := time.After(patience)
	for n > 0 {
		select {
		case said, open := <-p.lines:
			if !open {
				p.t.Fatalf("the host ended before it said %q\n%s", line, p.logged())
			}
			if said == line {
				n--
			}
		case <-late:
			p.t.Fatalf("the host never said %q\n%s", line, p.logged())
		}
	}
}

// quiet waits for the turns that begin from now on, until one of them did all that was
// to do.
func (p *process) quiet() {
	p.t.Helper()
	for len(p.lines) > 0 {
		<-p.lines
	}
	p.says("done", 2) // the first may have begun before
}

// goes lets the host take turns.
func (p *process) goes() {
	p.t.Helper()
	if _, err := io.WriteString(p.in, "go\n"); err != nil {
		p.t.Fatal(err)
	}
}

// stop lets the host end after its turn.
func (p *process) stop() {
	p.t.Helper()
	_ = p.in.Close() // it may have ended
	if p.ended() {
		p.t.Errorf("the host was killed\n%s", p.logged())
	}
}

// received is a report mail that has arrived.
type received struct{ id, to, text string }

// readMail takes a mail apart. What the smarthost has put before the mail is left out.
func readMail(t *testing.T, to string, data []byte) received {
	t.Helper()
	text := string(data)
	i := strings.Index(text, "DKIM-Signature:")
	_, id, found := strings.Cut(text, "Report-ID:")
	if i < 0 || !found {
		t.Fatalf("no report mail:\n%.2000s", text)
	}
	id = strings.TrimLeft(id, " \r\n\t<")
	id = id[:strings.IndexAny(id, ">\r\n ")]
	return received{id, to, text[i:]}
}
