package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestANilMetricsCountsNothingAndDoesNotPanic(t *testing.T) {
	var m *Metrics
	m.SessionOpened("mta")
	m.SessionsCut("mta", 1)
	m.MessageAborted("mta")
	m.DKIM("pass", "rsa-sha256", 2048)
	m.Query("spf", "ok", time.Second)
	m.StoreCommit(time.Second, time.Now())
	m.Spool(1, time.Now())
	m.ShipBatch("failed")
}

func TestEverySeriesOfAClosedListExistsFromTheStart(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := New(reg, []string{"mta"})
	if got, want := testutil.CollectAndCount(m.dispositions), len(policies)*len(applied)*len(reasons); got != want {
		t.Errorf("series of dispositions_total = %d; want %d", got, want)
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		// The size of a key is counted in bits everywhere.
		if p.Metric != "dmarcgate_dkim_keys_total" {
			t.Errorf("lint of %s = %s; want no problem", p.Metric, p.Text)
		}
	}
}

func TestTextOfAThirdPartyNeverBecomesALabelValue(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := New(reg, []string{"mta"})
	m.SPF("pass\n} evil{", "mailfrom")
	m.MessageAnswered("stranger.example", "accept")
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if text := f.String(); strings.Contains(text, "evil") || strings.Contains(text, "stranger") {
			t.Errorf("%s = %s; want no foreign label value", f.GetName(), text)
		}
	}
	if got := testutil.ToFloat64(m.messages.WithLabelValues(other, "accept")); got != 1 {
		t.Errorf("messages of an unknown listener = %v; want 1 as %q", got, other)
	}
}

func TestALookupIsCountedAsWhatItWas(t *testing.T) {
	m := New(prometheus.NewRegistry(), nil)
	for _, p := range append(purposes, "nonsense") {
		for i, o := range append(outcomes, "nonsense") {
			for range i + 1 {
				m.CacheRequest(p, o)
			}
			if got, want := testutil.ToFloat64(m.cacheRequests.WithLabelValues(known(purposes, p), known(outcomes, o))), float64(i+1); got != want {
				t.Errorf("%s, %s: %v counted; want %v", p, o, got, want)
			}
		}
	}
	m.CacheHits("spf", 2, 3)
	if got := testutil.ToFloat64(m.cacheRequests.WithLabelValues("spf", "negative_hit")); got != 5 {
		t.Errorf("negative hits of spf = %v; want 5", got)
	}
	if n := testing.AllocsPerRun(100, func() { m.CacheRequest("dmarc", "hit") }); n != 0 {
		t.Errorf("counting allocates %v times; want 0", n)
	}
}

func TestTheSeriesCountStaysSmall(t *testing.T) {
	reg := prometheus.NewRegistry()
	New(reg, []string{"mta"})
	n, err := testutil.GatherAndCount(reg)
	if err != nil {
		t.Fatal(err)
	}
	if n > 1000 {
		t.Errorf("series at start = %d; want at most 1000", n)
	}
}

func TestKeySizesFallIntoTheirClass(t *testing.T) {
	tests := []struct {
		algorithm string
		bits      int
		want      string
	}{
		{"rsa-sha256", 0, ""},
		{"rsa-sha256", 512, "<1024"},
		{"rsa-sha256", 1024, "1024"},
		{"rsa-sha256", 1536, "1025-2047"},
		{"rsa-sha256", 2048, "2048"},
		{"rsa-sha256", 4096, ">2048"},
		{"ed25519-sha256", 256, "ed25519"},
	}
	for _, tt := range tests {
		if got := keyClass(tt.algorithm, tt.bits); got != tt.want {
			t.Errorf("keyClass(%q, %d) = %q; want %q", tt.algorithm, tt.bits, got, tt.want)
		}
	}
}
