//go:build mta

package sending

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dmarcgate/internal/childtest"
	"dmarcgate/internal/mtatest"
	"dmarcgate/report/queue"
	"dmarcgate/report/queue/file"
	"dmarcgate/results"
	"dmarcgate/results/sqlite"
)

// tap stands between a host and its smarthost. When the host says a line, or is to hear
// of the end of its mail, the tap kills the host and passes nothing on.
type tap struct {
	addr string
	l    net.Listener
	to   string
	at   string // beginning of a line; "." ends a mail; "250" is the reply to that; "" is none
	kill func()

	mu   sync.Mutex // guards what stands below
	mail bool       // the text of a mail is under way
}

// startTap listens. The caller sets kill before it calls serve.
func startTap(t *testing.T, to, at string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{addr: l.Addr().String(), l: l, to: to, at: at}
	t.Cleanup(func() { l.Close() })
	return p
}

// serve passes one session on after the other, until the listener is closed.
func (p *tap) serve() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		s, err := net.Dial("tcp", p.to)
		if err != nil {
			c.Close()
			continue
		}
		var both sync.WaitGroup
		pass := func(to, from net.Conn, fatal func(string) bool) {
			defer to.Close()
			defer from.Close()
			for in := bufio.NewReader(from); ; {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if fatal(line) {
					p.kill()
					return
				}
				if _, err := io.WriteString(to, line); err != nil {
					return
				}
			}
		}
		both.Go(func() { pass(s, c, p.said) })
		both.Go(func() { pass(c, s, p.heard) })
		both.Wait()
	}
}

// said looks at a line of the host.
func (p *tap) said(line string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mail {
		return p.at == "." && line == ".\r\n"
	}
	return p.at != "" && p.at != "." && strings.HasPrefix(line, p.at)
}

// heard looks at a line of the smarthost.
func (p *tap) heard(line string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	over := p.mail && strings.HasPrefix(line, "250 ")
	p.mail = strings.HasPrefix(line, "354 ")
	return p.at == "250" && over
}

// fill stores rows, and closes the store.
func fill(t *testing.T, dir string, ship bool, rows []results.Row) {
	t.Helper()
	store, err := sqlite.Open(t.Context(), sqlite.Options{
		Path: filepath.Join(dir, "results.db"), Durability: sqlite.Async, Wait: time.Minute, Queue: 1000, Ship: ship, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	keep(t, store, rows)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

func keep(t *testing.T, store *sqlite.Store, rows []results.Row) {
	t.Helper()
	for _, r := range rows {
		if got := store.Add(r).Outcome; got == results.Dropped {
			t.Fatalf("a row was %s", got)
		}
	}
}

// relay lets a Postfix take mail for all domains from this host.
const relay = "smtpd_relay_restrictions = permit_mynetworks, reject\nsmtpd_recipient_restrictions = permit_mynetworks, reject\n"

// killed is a step at which a host is killed.
type killed struct {
	step string // of the host
	line string // of the tap
	mail bool   // the smarthost has the mail by then, and the queue does not know
}

var kills = []killed{
	{step: "before close"}, {step: "after close"}, {step: "scan 1"}, {step: "before plan"}, {step: "after plan"}, {step: "scan 2"}, {step: "before store"}, {step: "after store"},
	{step: "before begin"}, {step: "after begin"}, {line: "EHLO"}, {line: "MAIL FROM"}, {line: "RCPT TO"}, {line: "DATA"}, {line: "."},
	{line: "250", mail: true}, {step: "before settle", mail: true}, {step: "after settle"},
}

// A host is killed at each step, and another one goes on. One report arrives. A copy
// comes only when the smarthost had the mail and the queue did not hear of that: its bytes
// are the same, and it is counted.
func TestKillEveryStep(t *testing.T) {
	postfix := mtatest.StartPostfix(t, mtatest.PostfixConfig{MainCF: relay})
	want := 0
	for i, k := range kills {
		domain := fmt.Sprintf("k%d.example", i)
		t.Run(strings.TrimSpace(k.step+" "+k.line), func(t *testing.T) { want += killAt(t, postfix, domain, k) })
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := childtest.Poll(ctx, func() bool {
		waiting, err := postfix.Queue()
		return err == nil && len(waiting) == 0
	}); err != nil {
		t.Fatal(err)
	}
	if got := len(postfix.Mails()); got != want {
		t.Errorf("%d mails arrived; want %d", got, want)
	}
}

// killAt returns how many mails have arrived.
func killAt(t *testing.T, postfix *mtatest.Postfix, domain string, k killed) int {
	rows := newSite(t)
	rows.receives(day(2, 12), domain)
	c := hostConfig{Name: "dies", Dir: t.TempDir(), Turns: []time.Time{day(2, 11), day(3, 1)}, Dies: k.step}
	fill(t, c.Dir, false, rows.rows)
	p := startTap(t, postfix.Addr(), k.line)
	c.Smarthost = p.addr
	h := c.start(t)
	p.kill = h.kill
	go p.serve()
	if !h.ended() {
		t.Fatalf("the host was not killed\n%s", h.logged())
	}
	p.l.Close()
	c.Name, c.Dies, c.Smarthost, c.Turns = "lives", "", postfix.Addr(), nil
	for n := range 12 {
		c.Turns = append(c.Turns, day(3, 2).Add(time.Duration(n)*time.Hour))
	}
	if h := c.start(t); h.ended() {
		t.Fatalf("the second host was killed\n%s", h.logged())
	}
	copies := 1
	if k.mail {
		copies = 2
	}
	mails := arrived(t, postfix, domain, copies)
	if first, last := mails[0], mails[len(mails)-1]; first != last {
		t.Errorf("the copy is\n%s\nwant\n%s", last.text, first.text)
	}
	r := queued(t, c.Dir)
	if len(r) != 1 || r[0].State != queue.Done || r[0].ID != mails[0].id || r[0].Deliveries[0].State != queue.Sent {
		t.Fatalf("reports = %+v; want one, done", r)
	}
	// A host that was killed after an attempt had begun may have sent the mail.
	if got := r[0].Deliveries[0].Suspected; got < copies-1 || got > 1 {
		t.Errorf("%d copies are counted; want at least the %d that arrived", got, copies-1)
	}
	return copies
}

// arrived waits for n mails to a domain.
func arrived(t *testing.T, postfix *mtatest.Postfix, domain string, n int) (list []received) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := childtest.Poll(ctx, func() bool {
		list = list[:0]
		for _, m := range postfix.Mails() {
			if m.Rcpts[0] == "dmarc@"+domain {
				list = append(list, readMail(t, m.Rcpts[0], m.Data))
			}
		}
		return len(list) >= n
	}); err != nil {
		t.Fatalf("%d mails to %s: %v; want %d", len(list), domain, err, n)
	}
	if len(list) > n {
		t.Fatalf("%d mails to %s; want %d", len(list), domain, n)
	}
	return list
}

// queued reads the queue of a host that has ended.
func queued(t *testing.T, dir string) []queue.Report {
	t.Helper()
	q, err := file.Open(t.Context(), file.Options{Path: filepath.Join(dir, "reports.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	list, err := q.Find(t.Context(), queue.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	return list
}
