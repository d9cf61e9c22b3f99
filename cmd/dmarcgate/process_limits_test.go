package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/internal/scale"
	"dmarcgate/results"
)

// An MTA that goes away in the middle of a message leaves nothing: no session,
// no goroutine, and no row that counts.
func TestDaemonVanishedMTALeaksNothing(t *testing.T) {
	n := 40 * scale.Of(t)
	dns := dnstest.New(t, processZone+"!slow _dmarc.slow.example 30s\n")
	h := newHost(t, hostConfig{dns: dns.Addr(), queryTimeout: "200ms", timeout: "300ms"})
	p := h.start()
	c := h.session()
	if err := sendDomain(c, "good.example", "4Xfirst"); err != nil {
		t.Fatal(err)
	}
	if err := c.Quit(); err != nil {
		t.Fatal(err)
	}
	p.metricIs(0, "dmarcgate_milter_sessions_active")
	goroutines := p.metric("go_goroutines")

	const atOnce = 8
	var wg sync.WaitGroup
	for part := range atOnce {
		wg.Go(func() {
			for i := part; i < n; i += atOnce {
				if err := vanish(h, i); err != nil {
					t.Errorf("MTA %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()

	p.metricIs(float64(n+1), "dmarcgate_milter_sessions_total")
	p.metricIs(0, "dmarcgate_milter_sessions_active")
	p.metricIs(0, "dmarcgate_milter_messages_in_flight")
	p.metricIs(float64(n*3/4), "dmarcgate_milter_messages_total", `action="aborted"`)
	p.awaitMetric(fmt.Sprintf("to be what it was before, %v", goroutines), func(v float64) bool { return v <= goroutines }, "go_goroutines")
	p.stop()
	rows := h.rows()
	if rows["4Xfirst"].State != results.Answered {
		t.Errorf("the row of the message that was answered = %+v; want it to count", rows["4Xfirst"])
	}
	delete(rows, "4Xfirst")
	for qid, row := range rows {
		if row.State != results.Unanswered {
			t.Errorf("row of %s has state %d; want %d: reports would count a message that no MTA has got an answer for", qid, row.State, results.Unanswered)
		}
	}
	if len(rows) != n/4 {
		t.Errorf("rows = %d; want %d, one for each MTA that has gone after the end of its message", len(rows), n/4)
	}
}

// vanish begins a message and hangs up: after its header, in its body, within
// a frame, or at its end, while DNS is slow.
func vanish(h *host, i int) error {
	c, err := h.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	domain := "good.example"
	if i%4 == 3 {
		domain = "slow.example"
	}
	if err := beginMail(c, domain, fmt.Sprintf("4Xgone%d", i)); err != nil {
		return err
	}
	switch i % 4 {
	case 0:
		return nil
	case 1:
		_, err = c.Body([]byte("hello\r\n"))
		return err
	case 2:
		_, err = c.Write([]byte{0, 0, 1, 0, 'B', 'h', 'e'}) // 3 of 256 bytes
		return err
	}
	return errors.Join(c.WriteFrame('E', nil), c.Flush())
}

// beginMail sends a message up to the end of its header.
func beginMail(c *miltertest.Client, domain, qid string) error {
	for _, step := range []func() (miltertest.Reply, error){
		func() (miltertest.Reply, error) { return c.Connect("[192.0.2.10]", demoShop, 40000) },
		func() (miltertest.Reply, error) { return c.Helo("[192.0.2.10]") },
		func() (miltertest.Reply, error) { return c.Mail("a@" + domain) },
		func() (miltertest.Reply, error) { return c.Rcpt("u@receiver.example") },
		func() (miltertest.Reply, error) { return c.Field("From", " a@"+domain) },
		func() (miltertest.Reply, error) {
			return miltertest.Reply{Action: miltertest.Continue}, c.Macros('N', "i", qid)
		},
		c.EndOfHeader,
	} {
		if r, err := step(); err != nil || r.Action != miltertest.Continue {
			return fmt.Errorf("answer %v, %w; want continue", r.Action, err)
		}
	}
	return nil
}

// With as many connections as it takes, further ones wait in the backlog of
// the socket and are served when others end.
func TestDaemonConnectionsBeyondLimitWait(t *testing.T) {
	const limit, more = 4096, 10
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr(), extra: fmt.Sprintf("[limits]\nconnections = %d\n", limit)})
	p := h.start()
	before := memory(t, p)
	open := make([]*miltertest.Client, limit)
	for i := range open {
		open[i] = h.session()
	}
	p.metricIs(limit, "dmarcgate_milter_sessions_active")

	waiting := make([]net.Conn, more)
	for i := range waiting {
		var err error
		if waiting[i], err = net.Dial("unix", h.socket); err != nil {
			t.Fatalf("connection %d is refused, and the MTA does as its default_action says: %v", limit+i+1, err)
		}
		t.Cleanup(func() { waiting[i].Close() })
	}
	served := make(chan error, more)
	for i, conn := range waiting {
		go func() { served <- sendWaiting(conn, fmt.Sprintf("4Xwait%d", i)) }()
	}
	p.metricIs(1, "dmarcgate_milter_accept_paused_total")
	eachSends(t, open, "4Xfull")
	full := memory(t, p)
	t.Logf("resident memory: %d KiB without a connection, %d KiB with %d, each of which has had a message: %d KiB for each",
		before, full, limit, (full-before)/limit)
	if got := p.metric("dmarcgate_milter_sessions_total"); got != limit {
		t.Errorf("sessions = %v; want no more than the limit, %d", got, limit)
	}
	if len(served) != 0 {
		t.Errorf("%d connections beyond the limit were served", len(served))
	}
	if !p.logged("connection limit reached", "limit=4096") {
		t.Error("the log does not say that the limit is reached")
	}

	for _, c := range open[:more] {
		if err := c.Quit(); err != nil {
			t.Error(err)
		}
	}
	for range more {
		if err := <-served; err != nil {
			t.Errorf("a connection that waited in the backlog: %v", err)
		}
	}
	if err := sendDomain(open[limit-1], "bad.example", "4Xlast"); err != nil {
		t.Errorf("a session that was there all the time: %v", err)
	}
	if most := before + limit*connectionMemory; full > most {
		t.Errorf("resident memory with %d connections is %d KiB; want at most %d", limit, full, most)
	}
}

// connectionMemory is what an idle connection may cost, in KiB, when garbage was
// not yet collected: a goroutine with its stack, and what is left of the last
// message.
const connectionMemory = 40

// eachSends sends one message over every connection, a few at once.
func eachSends(t *testing.T, open []*miltertest.Client, qid string) {
	t.Helper()
	var wg sync.WaitGroup
	for part := range 8 {
		wg.Go(func() {
			for i := part; i < len(open); i += 8 {
				if err := sendDomain(open[i], "bad.example", fmt.Sprintf("%s%d", qid, i)); err != nil {
					t.Errorf("connection %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func sendWaiting(conn net.Conn, qid string) error {
	c, err := miltertest.New(conn, miltertest.Options{Timeout: stopTime})
	if err != nil {
		return err
	}
	defer c.Close()
	return sendDomain(c, "good.example", qid)
}

// memory returns the resident memory of a process in KiB.
func memory(t *testing.T, p *process) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid()))
	if err != nil {
		t.Fatal(err)
	}
	var kib int
	_, line, _ := strings.Cut(string(text), "VmRSS:")
	if _, err := fmt.Sscan(line, &kib); err != nil {
		t.Fatal(err)
	}
	return kib
}

// descriptors is what the daemon gets in tests that exhaust them.
const descriptors = 40

// exhaust connects until the daemon has no descriptor left to accept with. The
// connections are closed by the returned function, or the end of the test.
func (h *host) exhaust(p *process) (free func()) {
	h.t.Helper()
	var conns []net.Conn
	free = func() {
		for _, conn := range conns {
			conn.Close()
		}
	}
	h.t.Cleanup(free)
	for range 2 * descriptors {
		conn, err := net.Dial("unix", h.socket)
		if err != nil {
			h.t.Fatalf("a connection is refused, and the MTA does as its default_action says: %v", err)
		}
		conns = append(conns, conn)
	}
	daemontest.Eventually(h.t, "a log line that no connection can be accepted", func() bool {
		p.mustRun()
		return p.logged("level=ERROR", "cannot accept a connection", "too many open files")
	})
	return free
}

// Without descriptors the daemon cannot accept; it says so, serves those that
// it has, and goes on when some are free again.
func TestDaemonSurvivesWithoutDescriptors(t *testing.T) {
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr(), ulimit: descriptors})
	p := h.start()
	first := h.session()
	for i, domain := range []string{"good.example", "bad.example"} {
		if err := sendDomain(first, domain, fmt.Sprintf("4Xfirst%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	free := h.exhaust(p)
	for i := range 20 {
		if err := sendDomain(first, []string{"good.example", "bad.example"}[i%2], fmt.Sprintf("4Xshort%d", i)); err != nil {
			t.Errorf("a session that was there before, with its domains in the cache: %v", err)
		}
	}
	free()
	again := h.session()
	if err := sendDomain(again, "bad.example", "4Xagain"); err != nil {
		t.Errorf("a new session when descriptors are free again: %v", err)
	}
	daemontest.Eventually(t, "readiness", func() bool { return p.get("/readyz") == nil })
	if got := p.metric("dmarcgate_milter_errors_total", `kind="overload"`); got < 1 {
		t.Errorf("dmarcgate_milter_errors_total{kind=\"overload\"} = %v; want it counted", got)
	}
	first.Close()
	again.Close()
	p.stop()
	if rows := h.rows(); len(rows) != 23 {
		t.Errorf("rows = %d; want 23, one for each answered message", len(rows))
	}
}

// A domain that is not in the cache cannot be looked up without a descriptor,
// so there is no verdict: its mail is neither refused for good nor passed.
func TestDaemonWithoutDescriptorsReportsTempErrors(t *testing.T) {
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr(), ulimit: descriptors})
	p := h.start()
	first := h.session()
	if err := sendDomain(first, "good.example", "4Xfirst"); err != nil {
		t.Fatal(err)
	}
	free := h.exhaust(p)
	res, err := first.Send(processMail("bad.example", "4Xshort"))
	if err != nil || res.Code/100 == 5 || res.Code == 0 && !strings.Contains(fmt.Sprint(res.Edits), "X-DMARC-Quarantine") {
		t.Errorf("answer = %v %d %s %s, %v; want 4xx or a tag", res.Action, res.Code, res.Enhanced, res.Text, err)
	}
	free()
	first.Close()
	p.stop()
	checkTempError(t, h.rows()["4Xshort"], res.Code != 0)
}

// A host whose places are all taken is not ready: another one may have some.
func TestReadyzFailsAtConnectionLimit(t *testing.T) {
	const limit = 3
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr(), extra: fmt.Sprintf("[limits]\nconnections = %d\n", limit)})
	p := h.start()
	ready := func() bool { return p.get("/readyz") == nil }
	var open []*miltertest.Client
	for i := range limit {
		if i > 0 && !ready() {
			t.Errorf("not ready with %d of %d places taken", i, limit)
		}
		open = append(open, h.session())
	}
	daemontest.Eventually(t, "the host to be unready", func() bool { return !ready() })
	const want = "fail connections: \"listener mta: all of its limits.connections, 3, are taken\""
	if err := p.get("/readyz"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("GET /readyz = %v; want %q", err, want)
	}
	if err := sendDomain(open[0], "bad.example", "4Xfull"); err != nil {
		t.Errorf("a session that has a place: %v", err)
	}
	if err := open[1].Quit(); err != nil {
		t.Fatal(err)
	}
	daemontest.Eventually(t, "readiness", ready)
}
