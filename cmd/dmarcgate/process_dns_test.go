package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/internal/scale"
	"dmarcgate/results"
)

const (
	// progressEvery is the time between two requests for patience (PROGRESS).
	progressEvery = 5 * time.Second
	// patience is what the MTA of these tests waits for the next one or the
	// answer. Postfix waits as long as content_timeout says.
	patience = 7 * time.Second
)

// times are the settings of [dns] and [limits]: the defaults at soak size,
// else small ones.
type times struct{ query, lookup, budget, slow time.Duration }

func dnsTimes(t *testing.T) times {
	if scale.Of(t) == 1 {
		return times{query: time.Second, lookup: time.Second, budget: 6 * time.Second, slow: 700 * time.Millisecond}
	}
	return times{query: 2 * time.Second, lookup: 5 * time.Second, budget: 20 * time.Second, slow: 1800 * time.Millisecond}
}

// chain is an SPF record that takes many lookups, one after the other, each of
// which is answered late, but in time.
func chain(slow time.Duration) string {
	var zone strings.Builder
	zone.WriteString("_dmarc.c0.chain.example. TXT \"v=DMARC1; p=reject\"\n")
	for i := range 9 {
		fmt.Fprintf(&zone, "c%d.chain.example. TXT \"v=spf1 include:c%d.chain.example -all\"\n!slow c%d.chain.example %v\n", i, i+1, i, slow)
	}
	fmt.Fprintf(&zone, "c9.chain.example. TXT \"v=spf1 mx -all\"\n!slow c9.chain.example %v\n", slow)
	for i := range 10 {
		fmt.Fprintf(&zone, "c9.chain.example. MX 10 m%d.chain.example.\nm%d.chain.example. A 198.51.100.1\n!slow m%d.chain.example %v\n", i, i, i, slow)
	}
	return zone.String()
}

func TestDaemonAnswersWithinBudgetUnderSlowDNS(t *testing.T) {
	at := dnsTimes(t)
	tests := []struct {
		name     string
		zone     string
		unready  bool
		from     string
		atLeast  time.Duration // what the answer takes
		code     int
		tagged   bool
		progress int
	}{
		{"one domain answers after 30 s, and is tempfailed", "slow.example. A 192.0.2.1\n!slow *.slow.example 30s\n!slow slow.example 30s\n", false,
			"slow.example", at.query, 451, false, 0},
		{"the resolver answers after 30 s, and mail is tempfailed until that is proven", "!slow . 30s\n!slow *. 30s\n", true,
			"good.example", at.query, 451, false, 0},
		{"more lookups than the budget has time for", chain(at.slow), false,
			"c0.chain.example", at.budget, 451, false, int((at.budget - time.Second) / progressEvery)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dns := dnstest.New(t, processZone+tt.zone)
			h := newHost(t, hostConfig{
				dns: dns.Addr(), queryTimeout: at.query.String(), timeout: at.lookup.String(), unready: tt.unready,
				extra: fmt.Sprintf("[limits]\nmessage_budget = %q\n", at.budget),
			})
			p := h.start()
			c, err := miltertest.Dial("unix:"+h.socket, miltertest.Options{Timeout: patience})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			start := time.Now()
			res, err := c.Send(processMail(tt.from, "4Xslow"))
			took := time.Since(start)
			if err != nil {
				t.Fatalf("no answer and no request for patience within %v: %v; the MTA does as its default_action says", patience, err)
			}
			if took < tt.atLeast || took > at.budget+time.Second {
				t.Errorf("the answer took %v; want %v to %v", took, tt.atLeast, at.budget)
			}
			if res.Code != tt.code || strings.Contains(fmt.Sprint(res.Edits), "X-DMARC-Quarantine") != tt.tagged {
				t.Errorf("answer = %v %d %s %s with %v; want code %d, tagged %v", res.Action, res.Code, res.Enhanced, res.Text, res.Edits, tt.code, tt.tagged)
			}
			if res.Progress < tt.progress {
				t.Errorf("requests for patience = %d in %v; want at least %d, or the MTA gives up", res.Progress, took, tt.progress)
			}
			t.Logf("answered after %v with %d requests for patience", took.Round(time.Millisecond), res.Progress)
			c.Close()
			p.stop()
			checkTempError(t, h.rows()["4Xslow"], tt.code == 451)
		})
	}
}

func checkTempError(t *testing.T, row results.Row, deferred bool) {
	t.Helper()
	if len(row.Facts.Authors) != 1 || row.Facts.Authors[0].Verdict.Status.String() != "temperror" {
		t.Errorf("row = %+v; want one author domain with temperror", row.Facts)
	}
	want := results.Answered
	if deferred {
		want = results.Deferred
	}
	if row.State != want {
		t.Errorf("state of the row = %d; want %d: reports would count what comes again, or not count what was delivered", row.State, want)
	}
}
