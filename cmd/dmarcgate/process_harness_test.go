package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dmarcgate/internal/childtest"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/results"
	"dmarcgate/results/sqlite"
)

// The tests in process_*_test.go run the daemon as a process of its own, built
// as it is shipped but with the build tag fault (fault.go), and do to it what
// happens on a host: it is restarted, killed, left without descriptors, asked
// by MTAs that vanish. Their failures say what an operator would see.

const (
	// stopTime is more than a daemon takes to stop: the drain, and what a
	// message in progress may take after it.
	stopTime = 60 * time.Second
	// mtaTime is what the main.cf lines of the README let Postfix wait for a
	// connection and an answer to an offer (connect_timeout). A session that
	// waits in the backlog for longer is tempfailed.
	mtaTime = 15 * time.Second
	// pollEvery is the time between two looks at a foreign process.
	pollEvery = 5 * time.Millisecond
	// logTail is how much of a daemon's log a failed test shows, in bytes.
	logTail = 8 << 10
)

// program is the daemon's binary, built when the first test asks for it.
var program struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if program.dir != "" {
		os.RemoveAll(program.dir)
	}
	os.Exit(code)
}

// binary returns the path of the program.
func binary(t *testing.T) string {
	t.Helper()
	program.once.Do(func() {
		if program.dir, program.err = os.MkdirTemp("", "dg"); program.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-race=false", "-tags", "fault", "-o", filepath.Join(program.dir, "dmarcgate"), ".")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			program.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if program.err != nil {
		t.Fatalf("building the program: %v", program.err)
	}
	return filepath.Join(program.dir, "dmarcgate")
}

// host is where daemons run one after the other: configuration, state and
// socket stay when the process is another.
type host struct {
	t      *testing.T
	dir    string
	socket string   // path of the milter socket
	passed *os.File // the listening socket that systemd would pass, or nil
	name   string   // FileDescriptorName= of that
	ready  string   // path that answers 200 when the daemon has started
	ulimit int      // for descriptors; 0 is ours
	env    []string // beside ours
	tracer []string // a command that runs the daemon's
	starts int
}

// hostConfig is what tests vary. Its zero value is a strict listener on a
// socket of the test's own.
type hostConfig struct {
	dns                   string // address of the name server
	queryTimeout, timeout string // of [dns], "1s" and "2s" by default
	unready               bool   // name servers do not answer: healthy is enough
	passed                bool   // the socket is passed as systemd passes it
	ulimit                int    // for descriptors; 0 is ours
	extra                 string // TOML: top-level keys first, then tables
}

func newHost(t *testing.T, c hostConfig) *host {
	t.Helper()
	dir, err := os.MkdirTemp("", "dg") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // the MTA's user must get to the socket
		t.Fatal(err)
	}
	h := &host{t: t, dir: dir, socket: filepath.Join(dir, "milter.sock"), name: "milter", ready: "/readyz", ulimit: c.ulimit}
	if c.unready {
		h.ready = "/healthz"
	}
	address := "unix:" + h.socket + "\"\nsocket_mode = \"0666"
	if c.passed {
		address = "systemd:milter"
		h.pass()
	}
	top, tables := daemontest.CutTables(c.extra)
	text := fmt.Sprintf(`
authserv_id = "mx.receiver.example"
state_dir = %q
%s
[[listener]]
name = "mta"
address = "%s"
profile = "strict"
[admin]
listen = "127.0.0.1:0"
[dns]
servers = [%q]
query_timeout = %q
timeout = %q
%s`, dir, top, address, c.dns, cmp.Or(c.queryTimeout, "1s"), cmp.Or(c.timeout, "2s"), tables)
	if err := os.WriteFile(h.config(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *host) config() string { return filepath.Join(h.dir, "dmarcgate.toml") }

// pass opens the listening socket, as a socket unit does.
func (h *host) pass() {
	h.t.Helper()
	ln, err := net.Listen("unix", h.socket)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { ln.Close() })
	if err := os.Chmod(h.socket, 0o666); err != nil {
		h.t.Fatal(err)
	}
	if h.passed, err = ln.(*net.UnixListener).File(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { h.passed.Close() })
}

// start runs a daemon and returns when it is ready. The end of the test stops
// it, if the test has not.
func (h *host) start() *process {
	h.t.Helper()
	p := h.launch()
	daemontest.Eventually(h.t, "the daemon to be ready", func() bool {
		p.mustRun()
		return p.get(h.ready) == nil
	})
	return p
}

// launch runs a daemon.
func (h *host) launch() *process {
	h.t.Helper()
	h.starts++
	log, err := os.Create(filepath.Join(h.dir, fmt.Sprintf("log.%d", h.starts)))
	if err != nil {
		h.t.Fatal(err)
	}
	defer log.Close()
	script := `exec "$0" "$@"`
	if h.ulimit > 0 {
		script = fmt.Sprintf("ulimit -n %d; %s", h.ulimit, script)
	}
	if h.passed != nil { // sd_listen_fds(3): the variable has the pid of the process itself
		script = "export LISTEN_PID=$$; " + script
	}
	args := append([]string{"-c", script}, h.tracer...)
	cmd := exec.Command("/bin/sh", append(args, binary(h.t), "serve", "-c", h.config())...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), h.env...)
	if h.passed != nil {
		cmd.ExtraFiles = []*os.File{h.passed}
		cmd.Env = append(cmd.Env, "LISTEN_FDS=1", "LISTEN_FDNAMES="+h.name)
	}
	p := &process{t: h.t, cmd: cmd, logFile: log.Name(), done: make(chan struct{})}
	if err := childtest.Start(cmd, func(err error) { p.err = err; close(p.done) }); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(p.cleanUp)
	return p
}

// dial connects and negotiates as an MTA.
func (h *host) dial() (*miltertest.Client, error) {
	return miltertest.Dial("unix:"+h.socket, miltertest.Options{Timeout: mtaTime})
}

// session is dial for tests that cannot go on without.
func (h *host) session() *miltertest.Client {
	h.t.Helper()
	c, err := h.dial()
	if err != nil {
		h.t.Fatalf("an MTA cannot begin a session: %v", err)
	}
	h.t.Cleanup(func() { c.Close() })
	return c
}

// rows returns what the store has. No daemon may be running.
func (h *host) rows() map[string]results.Row {
	h.t.Helper()
	store, err := sqlite.Open(context.Background(), sqlite.Options{
		Path: filepath.Join(h.dir, "results.db"), Durability: sqlite.Ack, Wait: time.Second, Queue: 1, Log: slog.Default(),
	})
	if err != nil {
		h.t.Fatalf("the store cannot be opened after the daemon: %v", err)
	}
	defer store.Close()
	rows, err := store.Recent(context.Background(), math.MaxInt32)
	if err != nil {
		h.t.Fatal(err)
	}
	byID := make(map[string]results.Row, len(rows))
	for _, r := range rows {
		if _, twice := byID[r.Facts.QueueID]; twice {
			h.t.Errorf("two rows for message %s", r.Facts.QueueID)
		}
		byID[r.Facts.QueueID] = r
	}
	return byID
}

// logs returns what all daemons of this host have logged.
func (h *host) logs() string {
	var all strings.Builder
	for i := range h.starts {
		text, err := os.ReadFile(filepath.Join(h.dir, fmt.Sprintf("log.%d", i+1)))
		if err != nil {
			h.t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// processZone is the DNS of these tests. It answers the readiness check.
const processZone = `
.                    NS  ns.example.
good.example.        TXT "v=spf1 ip4:192.0.2.10 -all"
_dmarc.good.example. TXT "v=DMARC1; p=reject"
bad.example.         TXT "v=spf1 -all"
_dmarc.bad.example.  TXT "v=DMARC1; p=reject"
!any
`

// processMail is a message from a domain of processZone.
func processMail(domain, qid string) miltertest.Mail {
	return subjectMail(domain, qid, "hello")
}

func subjectMail(domain, qid, subject string) miltertest.Mail {
	return miltertest.Mail{
		Client: demoShop, Helo: "[192.0.2.10]", From: "a@" + domain, Rcpts: []string{"u@receiver.example"}, QueueID: qid,
		Message: fmt.Appendf(nil, "From: a@%s\r\nSubject: %s\r\n\r\nhello\r\n", domain, subject),
	}
}

// sendDomain sends a message from good.example or bad.example, and returns an
// error unless it gets the answer that it must get.
func sendDomain(c *miltertest.Client, domain, qid string) error {
	res, err := c.Send(processMail(domain, qid))
	switch {
	case err != nil:
		return fmt.Errorf("message %s from %s: %w; the MTA does as its default_action says", qid, domain, err)
	case domain == "good.example" && res.Action == miltertest.Continue, domain == "bad.example" && res.Code == 550:
		return nil
	}
	return fmt.Errorf("message %s from %s: answer %v %d %s %s; want it delivered if it is from good.example, else 550",
		qid, domain, res.Action, res.Code, res.Enhanced, res.Text)
}
