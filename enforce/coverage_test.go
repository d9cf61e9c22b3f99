package enforce

import (
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"dmarcgate/metrics"
	"dmarcgate/milter"
)

func TestCoverageFinding(t *testing.T) {
	tests := []struct {
		name   string
		counts map[seen]int
		active bool
		code   string
		text   string
	}{
		{"nothing yet", nil, false, "", ""},
		{"ordinary mail", map[seen]int{evaluated: 95, noHeader: 3, loopback: 2}, false, "", ""},
		{"no header at all", map[seen]int{noHeader: 100}, false, "no_header", "of the last 100 messages 100 showed"},
		{"too few", map[seen]int{noHeader: 19}, false, "", ""},
		{"just enough", map[seen]int{noHeader: 20}, false, "no_header", "of the last 20 messages 20"},
		{"at the threshold", map[seen]int{noHeader: 90, evaluated: 10}, false, "no_header", "90 showed"},
		{"below the threshold", map[seen]int{noHeader: 89, evaluated: 11}, false, "", ""},
		{"active, below the threshold", map[seen]int{noHeader: 75, evaluated: 25}, true, "no_header", "75 showed"},
		{"active, clear", map[seen]int{noHeader: 74, evaluated: 26}, true, "", ""},
		{"all from this host", map[seen]int{loopback: 97, evaluated: 3}, false, "not_evaluated", "skip=loopback"},
		{"no addresses", map[seen]int{notIP: 30}, false, "not_evaluated", "skip=not_ip"},
		{"an unreadable relay", map[seen]int{behindRelay: 95, evaluated: 5}, false, "not_evaluated", "unknown_client"},
		{"two causes", map[seen]int{noHeader: 40, loopback: 55, evaluated: 5}, false, "not_evaluated", "of the last 100 messages 55 came from this host"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var counts [seenKinds]int
			for s, n := range tt.counts {
				counts[s] = n
			}
			got := coverageFinding(counts, tt.active)
			if got.Code != tt.code || !strings.Contains(got.Text, tt.text) || (got.Code == "") != (got.Fix == "") {
				t.Errorf("coverageFinding(%v, %v) = %+v; want %q with %q", tt.counts, tt.active, got, tt.code, tt.text)
			}
		})
	}
}

// A change is logged once, whatever number of messages follows, and the metric
// follows it.
func TestCoverageLogsChangeOnce(t *testing.T) {
	reg := prometheus.NewRegistry()
	var log strings.Builder
	m := metrics.New(reg, []string{"mta", "other"})
	c := NewCoverage("mta", m, slog.New(slog.NewTextHandler(io.MultiWriter(&log, t.Output()), nil)))
	want := func(step, code string, lines int) {
		t.Helper()
		if got := c.Finding().Code; got != code {
			t.Errorf("%s: finding = %q; want %q", step, got, code)
		}
		if got := strings.Count(log.String(), "\n"); got != lines {
			t.Errorf("%s: log lines = %d; want %d\n%s", step, got, lines, log.String())
		}
		series := `# HELP dmarcgate_listener_warning 1 while a listener hardly sees or evaluates its mail, else 0.
# TYPE dmarcgate_listener_warning gauge
`
		for _, listener := range []string{"mta", "other"} {
			for _, w := range []string{"no_header", "not_evaluated"} {
				value := "0"
				if listener == "mta" && w == code {
					value = "1"
				}
				series += `dmarcgate_listener_warning{listener="` + listener + `",warning="` + w + `"} ` + value + "\n"
			}
		}
		if err := testutil.GatherAndCompare(reg, strings.NewReader(series), "dmarcgate_listener_warning"); err != nil {
			t.Errorf("%s: %v", step, err)
		}
	}
	each := func(n int, s seen) {
		for range n {
			c.note(s)
		}
	}
	each(19, noHeader)
	want("before there are enough", "", 0)
	each(1, noHeader)
	want("enough", "no_header", 1)
	each(500, noHeader)
	want("more of the same", "no_header", 1)
	each(25, evaluated)
	want("a quarter is seen", "no_header", 1)
	each(1, evaluated)
	want("more than a quarter", "", 2)
	each(5, noHeader)
	want("a few without", "", 2)
	each(200, loopback)
	want("all from this host", "not_evaluated", 3)
	each(200, evaluated)
	want("all is well", "", 4)
}

func TestCoverageCountsSkippedMessages(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  milter.Envelope
		code string
	}{
		{"an ordinary client", milter.Envelope{Client: good}, ""},
		{"this host", milter.Envelope{Client: netip.MustParseAddr("127.0.0.1")}, "not_evaluated"},
		{"local mail", milter.Envelope{Local: true}, "not_evaluated"},
		{"non_smtpd_milters", milter.Envelope{Client: netip.MustParseAddr("127.0.0.1"), Local: true}, ""},
		{"no address", milter.Envelope{}, "not_evaluated"},
		{"a relay whose field cannot be read", milter.Envelope{Client: netip.MustParseAddr("192.0.2.201")}, "not_evaluated"},
		{"a user", milter.Envelope{Client: good, Authenticated: "user"}, ""},
		{"a trusted network", milter.Envelope{Client: netip.MustParseAddr("192.0.2.200")}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, "_dmarc.bank.example. TXT \"v=DMARC1; p=none\"\n!any\n")
			r.set.Trusted = []netip.Prefix{netip.MustParsePrefix("192.0.2.200/32")}
			r.set.Relays = []Relay{{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.201/32")}, Names: []string{"relay.receiver.example"}}}
			r.use()
			r.gate.Coverage = NewCoverage("mta", r.gate.Metrics, r.gate.Log)
			for range coverageLeast {
				r.send(tt.env, "From: a@bank.example")
			}
			if got := r.gate.Coverage.Finding(); got.Code != tt.code {
				t.Errorf("finding = %+v; want %q", got, tt.code)
			}
		})
	}
}

func TestCoverageOfNothing(t *testing.T) {
	var c *Coverage
	c.NoHeader()
	if got := c.Finding(); got != (CoverageFinding{}) {
		t.Errorf("Finding() of nil = %+v; want nothing", got)
	}
}

func TestCoverageFromManyConnections(t *testing.T) {
	c := NewCoverage("mta", nil, slog.New(slog.DiscardHandler))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				c.NoHeader()
				c.Finding()
			}
		})
	}
	wg.Wait()
	if c.counts[noHeader] != coverageWindow || c.seen != coverageWindow {
		t.Errorf("counts = %v of %d; want %d of the window", c.counts, c.seen, coverageWindow)
	}
}
