package main

import (
	"fmt"
	"testing"
	"time"

	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/policy"
	"dmarcgate/results"
)

// clockSubject begins the Subject of a message that sets the clock of a daemon
// (fault.go).
const clockSubject = "planted clock: "

const processMonth = 31 * 24 * time.Hour

// clockHost is a host whose daemon does its maintenance often.
func clockHost(t *testing.T) *host {
	dns := dnstest.New(t, processZone+"!servfail *.lame.example\n!servfail lame.example\n")
	h := newHost(t, hostConfig{dns: dns.Addr(), queryTimeout: "200ms", timeout: "500ms", extra: "[privacy]\nshorten_ip_after = \"7d\"\n"})
	h.env = append(h.env, "DMARCGATE_FAULT_MAINTENANCE=50ms")
	return h
}

// setClock sets the clock of a daemon, and waits for a round of maintenance that has
// seen it.
func (p *process) setClock(c *miltertest.Client, ahead time.Duration) {
	p.t.Helper()
	before := p.metric("dmarcgate_clock_jumps_total", `clock="host"`)
	if _, err := c.Send(subjectMail("good.example", fmt.Sprint("4Xclock", before, ahead), clockSubject+ahead.String())); err != nil {
		p.t.Fatal(err)
	}
	p.awaitMetric("to count the jump", func(v float64) bool { return v > before }, "dmarcgate_clock_jumps_total", `clock="host"`)
}

// The clock of a host jumps by a month, for some rounds of maintenance, and comes back:
// every row is there, with its address, and the daemon tells of it.
func TestDaemonClockJumpLosesNoRow(t *testing.T) {
	for _, tt := range []struct {
		name  string
		jumps []time.Duration
	}{
		{"a month ahead", []time.Duration{processMonth, 0}},
		{"a month back", []time.Duration{-processMonth, 0}},
		{"ahead and back", []time.Duration{processMonth, -processMonth, 0}},
		{"ahead, and ahead again", []time.Duration{processMonth, 2 * processMonth, 0}},
		{"a year back", []time.Duration{-12 * processMonth, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := clockHost(t)
			p := h.start()
			c := h.session()
			p.setClock(c, 24*time.Hour)
			p.setClock(c, 0) // the first round of maintenance, from which cut-offs count, is over
			for i := range 30 {
				if err := sendDomain(c, []string{"good.example", "bad.example"}[i%2], fmt.Sprint("4Xright", i)); err != nil {
					t.Fatal(err)
				}
			}
			for _, ahead := range tt.jumps {
				p.setClock(c, ahead)
			}
			p.setClock(c, 24*time.Hour) // a round has begun since the last jump: what that did is done
			p.setClock(c, 0)
			if err := sendDomain(c, "good.example", "4Xlast"); err != nil {
				t.Error(err)
			}
			c.Close()
			if line := p.line("level=WARN", "clock of this host jumped"); line == "" {
				t.Error("the log does not tell of the jump")
			}
			p.stop()
			rows := h.rows()
			for i := range 30 {
				row, ok := rows[fmt.Sprint("4Xright", i)]
				if !ok || row.Facts.Client != demoShop || row.Facts.Missing != 0 {
					t.Errorf("row %d = %+v, there: %v; want it with its address", i, row.Facts, ok)
				}
			}
			if _, ok := rows["4Xlast"]; !ok || len(rows) < 32 {
				t.Errorf("rows = %d, the last there: %v; want all", len(rows), ok)
			}
		})
	}
}

// A daemon that starts with a clock that is a month away from where the last run
// left it says so, and deletes nothing.
func TestDaemonStartWithOtherClockLosesNoRow(t *testing.T) {
	h := clockHost(t)
	p := h.start()
	c := h.session()
	p.setClock(c, processMonth)
	if err := sendDomain(c, "good.example", "4Xahead"); err != nil {
		t.Fatal(err)
	}
	p.setClock(c, 2*processMonth)
	p.setClock(c, processMonth) // by now, the time has been stored
	c.Close()
	p.stop()

	p = h.start()
	p.awaitMetric("to count the jump", func(v float64) bool { return v == 1 }, "dmarcgate_clock_jumps_total", `clock="stored"`)
	c = h.session()
	if err := sendDomain(c, "good.example", "4Xright"); err != nil {
		t.Error(err)
	}
	p.setClock(c, 24*time.Hour)
	c.Close()
	p.stop()
	rows := h.rows()
	for _, qid := range []string{"4Xahead", "4Xright"} {
		if _, ok := rows[qid]; !ok {
			t.Errorf("message %s has no row", qid)
		}
	}
}

// A sender whose DNS is broken is deferred for the time that passes, whatever the
// clock says: max_defer (4h) neither ends at once nor begins anew.
func TestDaemonClockJumpKeepsDeferrals(t *testing.T) {
	h := clockHost(t)
	p := h.start()
	c := h.session()
	lame := func(qid string) {
		t.Helper()
		if res, err := c.Send(processMail("lame.example", qid)); err != nil || res.Code != 451 {
			t.Errorf("answer to %s = %+v, %v; want 451", qid, res, err)
		}
	}
	lame("4Xlame0")
	n := 1
	for _, ahead := range []time.Duration{3 * time.Hour, 5 * time.Hour, -24 * time.Hour, processMonth, -20 * 24 * time.Hour, 0} { // rows older than a month would go
		p.setClock(c, ahead)
		lame(fmt.Sprint("4Xlame", n))
		n++
	}
	c.Close()
	p.stop()
	rows := h.rows()
	var last time.Duration
	for i := range n {
		row := rows[fmt.Sprint("4Xlame", i)]
		if d := row.Facts.Deferred; row.State != results.Deferred || row.Decision.Action != policy.Tempfail || d < last || d > time.Minute {
			t.Errorf("message %d: %v, %v, deferred for %v; want tempfail, and the seconds that have passed since the first", i, row.State, row.Decision.Action, row.Facts.Deferred)
		} else {
			last = d
		}
	}
	if last == 0 {
		t.Error("the last message was deferred for 0 s; want that the first is remembered")
	}
}
