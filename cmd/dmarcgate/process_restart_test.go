package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/scale"
	"dmarcgate/results"
)

// crowd is many MTA processes at once. Half of their sessions have one
// message, the others several with pauses between them, as a sender's
// connection has.
type crowd struct {
	host     *host
	messages int           // in all
	pause    time.Duration // the longest between two messages of a session

	down     atomic.Bool  // from SIGTERM to the end of the daemon
	waited   atomic.Int64 // sessions that began in that time
	answered atomic.Int64
	sent     atomic.Int64
	wg       sync.WaitGroup
}

// start begins n MTA processes. They go on until all messages are sent.
func (c *crowd) start(n int) {
	for i := range n {
		c.wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), uint64(c.messages)))
			for c.sent.Load() < int64(c.messages) && c.session(r) {
			}
		})
	}
}

// session is one session; it tells whether all went well.
func (c *crowd) session(r *rand.Rand) bool {
	if c.down.Load() {
		c.waited.Add(1)
	}
	client, err := c.host.dial()
	if err != nil {
		c.host.t.Errorf("a session cannot begin: %v; the MTA does as its default_action says", err)
		return false
	}
	defer client.Close()
	n := 1
	if r.IntN(2) == 1 {
		n = 2 + r.IntN(4)
	}
	for i := range n {
		if i > 0 {
			pause(time.Duration(r.Int64N(int64(c.pause))))
		}
		k := c.sent.Add(1)
		if k > int64(c.messages) {
			break
		}
		if err := sendDomain(client, []string{"good.example", "bad.example"}[k%2], fmt.Sprintf("4X%d", k)); err != nil {
			c.host.t.Errorf("message %d of a session with %d: %v", i+1, n, err)
			return false
		}
		c.answered.Add(1)
	}
	return client.Quit() == nil
}

// pause is the time that a client takes for its next message. Nothing waits
// for its end.
func pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

// await waits for a number of answers.
func (c *crowd) await(n int64) {
	c.host.t.Helper()
	await(c.host.t, stopTime, func() string {
		return fmt.Sprintf("message %d; only %d are answered, %d sent", n, c.answered.Load(), c.sent.Load())
	}, func() bool { return c.answered.Load() >= n || c.host.t.Failed() })
}

// restart does what systemd does at a restart: the old daemon ends, then the
// new one starts, on the same socket. It returns how many messages the old one
// answered after it was told to stop.
func (c *crowd) restart(p *process) (*process, int64) {
	c.host.t.Helper()
	before := c.answered.Load()
	p.terminate()
	c.down.Store(true)
	p.wait()
	drained := c.answered.Load() - before
	c.down.Store(false)
	return c.host.start(), drained
}

// Restarts on a socket that systemd holds cost no message, as long as sessions
// are shorter than the drain.
func TestRestartOnPassedSocketLosesNoMessage(t *testing.T) {
	n := scale.Of(t)
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr(), passed: true})
	c := &crowd{host: h, messages: 100 * n, pause: min(100*time.Millisecond*time.Duration(n), 2*time.Second)}
	restarts := min(3*n, 20)
	p := h.start()
	c.start(min(8*n, 60))
	var drained int64
	for i := range restarts {
		c.await(int64(c.messages * (i + 1) / (restarts + 1)))
		var here int64
		p, here = c.restart(p)
		drained += here
	}
	c.wg.Wait()
	p.stop()
	t.Logf("%d messages, %d restarts; %d messages were answered after SIGTERM, %d sessions waited in the backlog",
		c.messages, restarts, drained, c.waited.Load())
	if drained == 0 || c.waited.Load() == 0 {
		t.Error("the restarts met no session, so nothing is proved")
	}
	rows := h.rows()
	for k := 1; k <= c.messages; k++ {
		qid := fmt.Sprintf("4X%d", k)
		if row, ok := rows[qid]; !ok || row.State != results.Answered {
			t.Errorf("the answered message %s has the row %+v, %v; want one that counts", qid, row, ok)
		}
	}
}

// A session that is longer than the drain is cut when its message is done, and
// counted.
func TestDrainTimeoutCostsNextMessageOnly(t *testing.T) {
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr(), passed: true, extra: "[limits]\ndrain_timeout = \"500ms\"\n"})
	p := h.start()
	long := h.session()
	if err := sendDomain(long, "good.example", "4Xlong1"); err != nil {
		t.Fatal(err)
	}
	if err := beginMail(long, "bad.example", "4Xlong2"); err != nil {
		t.Fatal(err)
	}
	p.terminate()
	waiting, err := net.Dial("unix", h.socket)
	if err != nil {
		t.Fatalf("a connection during the drain is refused, and the MTA does as its default_action says: %v", err)
	}
	defer waiting.Close()
	served := make(chan error, 1)
	go func() { served <- sendWaiting(waiting, "4Xnew") }()

	p.metricIs(1, "dmarcgate_milter_sessions_cut_total", `listener="mta"`)
	res, err := long.EndOfMessage()
	if err != nil || res.Code != 550 {
		t.Errorf("the message that was in progress: %+v, %v; want its answer, 550", res, err)
	}
	if err := sendDomain(long, "good.example", "4Xlong3"); err == nil {
		t.Error("the session goes on after the drain")
	}
	p.wait()
	if !p.logged("level=WARN", "open sessions closed at shutdown", "1 sessions of mta") {
		t.Error("the log does not say how many sessions were cut")
	}
	p = h.start()
	if err := <-served; err != nil {
		t.Errorf("a session that began during the drain: %v", err)
	}
	again := h.session()
	if err := sendDomain(again, "good.example", "4Xlong3"); err != nil {
		t.Errorf("the message that comes again: %v", err)
	}
	again.Close()
	p.stop()
	rows := h.rows()
	for _, qid := range []string{"4Xlong1", "4Xlong2", "4Xlong3", "4Xnew"} {
		if row, ok := rows[qid]; !ok || row.State != results.Answered {
			t.Errorf("message %s has the row %+v, %v; want one that counts", qid, row, ok)
		}
	}
}

// The daemon takes the socket by its name, and says what it has got when that
// one is not there.
func TestServeNamesPassedSocketOfOtherName(t *testing.T) {
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr(), passed: true})
	h.name = "metrics"
	p := h.launch()
	p.wanted = true
	<-p.done
	if p.cmd.ProcessState.ExitCode() != 1 || !p.logged("listener mta", `"milter"`, `"metrics"`, "FileDescriptorName=") {
		t.Errorf("the daemon ended with %v and %q; want exit code 1, both names and what to set", p.err, strings.TrimSpace(p.log()))
	}
}
