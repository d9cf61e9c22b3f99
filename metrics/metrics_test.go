package metrics

import (
	"fmt"
	"reflect"
	"slices"
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

// hostile is text as a message could have it. It is no id of a rule: those are
// counted for loaded rules alone, which the tests of the daemon check.
const hostile = "bank.example\n} evil{"

// Every exported method is called with hostile text for each of its words. A method
// that is added is covered, too.
func TestNoMethodMakesALabelValueOfItsArgument(t *testing.T) {
	fromConfiguration := []string{"NameServer", "NameServerGone", "Ruleset"} // addresses of servers, hash of the rules
	reg := prometheus.NewRegistry()
	m := New(reg, []string{"mta"})
	called := 0
	for typ, i := reflect.TypeOf(m), 0; i < typ.NumMethod(); i++ {
		method := typ.Method(i)
		if slices.Contains(fromConfiguration, method.Name) {
			continue
		}
		args := []reflect.Value{reflect.ValueOf(m)}
		for n := 1; n < method.Type.NumIn(); n++ {
			args = append(args, hostileValue(method.Type.In(n)))
		}
		method.Func.Call(args)
		called++
	}
	if called < 50 {
		t.Fatalf("called %d methods; want at least 50", called)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	foreign := 0
	for _, f := range families {
		for _, s := range f.GetMetric() {
			for _, l := range s.GetLabel() {
				if strings.Contains(l.GetValue(), "evil") {
					t.Errorf("%s has %s=%q; want values of closed lists only", f.GetName(), l.GetName(), l.GetValue())
				}
				if l.GetValue() == other || l.GetValue() == otherRule {
					foreign++
				}
			}
		}
	}
	if foreign < 30 {
		t.Errorf("%d label values stand for foreign text; want at least 30", foreign)
	}
}

// hostileValue is an argument with hostile text wherever there is text; other
// values are not zero, because zero is often not counted.
func hostileValue(typ reflect.Type) reflect.Value {
	v := reflect.New(typ).Elem()
	switch typ {
	case reflect.TypeFor[string]():
		v.SetString(hostile)
	case reflect.TypeFor[[]string]():
		v.Set(reflect.ValueOf([]string{hostile}))
	case reflect.TypeFor[map[string]time.Time]():
		v.Set(reflect.ValueOf(map[string]time.Time{hostile: time.Unix(1, 0)}))
	case reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Unix(1, 0)))
	case reflect.TypeFor[bool]():
		v.SetBool(true)
	default:
		switch {
		case v.CanInt():
			v.SetInt(1)
		case v.CanUint():
			v.SetUint(1)
		}
	}
	return v
}

func TestFurtherListenersShareASeries(t *testing.T) {
	var names []string
	for i := range maxListeners + 2 {
		names = append(names, fmt.Sprintf("mx%d", i))
	}
	reg := prometheus.NewRegistry()
	m := New(reg, names)
	for _, name := range names {
		m.SessionOpened(name)
		m.ListenerSettings(name, "strict", 50)
	}
	if got := testutil.CollectAndCount(m.sessions); got != maxListeners+1 {
		t.Errorf("series of sessions = %d; want %d", got, maxListeners+1)
	}
	if got := testutil.ToFloat64(m.sessions.WithLabelValues(other)); got != 2 {
		t.Errorf("sessions of %q = %v; want 2", other, got)
	}
}

func TestListenerSettingsHasOneProfile(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := New(reg, []string{"mta"})
	for _, tt := range []struct {
		profile string
		percent int
		share   float64
	}{{"strict", 25, .25}, {"monitor", 100, 1}} {
		m.ListenerSettings("mta", tt.profile, tt.percent)
		if got := testutil.CollectAndCount(m.state.profile); got != 1 {
			t.Errorf("with the profile %s there are %d series; want 1", tt.profile, got)
		}
		if got := testutil.ToFloat64(m.state.profile.WithLabelValues("mta", tt.profile)); got != 1 {
			t.Errorf("listener_info of %s = %v; want 1", tt.profile, got)
		}
		if got := testutil.ToFloat64(m.state.share.WithLabelValues("mta")); got != tt.share {
			t.Errorf("share at %d %% = %v; want %v", tt.percent, got, tt.share)
		}
	}
}

func TestRestartRequiredEndsWithTheNextReload(t *testing.T) {
	m := New(prometheus.NewRegistry(), nil)
	for _, tt := range []struct {
		changed []string
		want    float64
	}{{[]string{"dns", "store"}, 2}, {[]string{"store"}, 1}, {nil, 0}} {
		m.RestartRequired(tt.changed)
		sum := 0.0
		for _, s := range settings {
			sum += testutil.ToFloat64(m.state.restart.WithLabelValues(s))
		}
		if sum != tt.want {
			t.Errorf("after %q, %v settings wait; want %v", tt.changed, sum, tt.want)
		}
	}
}

func TestTrafficIsWhatWasCounted(t *testing.T) {
	m := New(prometheus.NewRegistry(), []string{"mta", "submission"})
	m.SessionOpened("mta")
	m.SessionOpened("mta")
	m.SessionClosed("mta")
	m.MessageStarted("mta")
	m.MessageAnswered("mta", "accept")
	m.MessageAnswered("mta", "reject")
	m.MessageAnswered("mta", "reject")
	m.MessageAborted("mta")
	want := Traffic{Sessions: 2, Active: 1, InFlight: 1, Messages: map[string]uint64{"accept": 1, "reject": 2, "aborted": 1}}
	if got := m.Traffic("mta"); !reflect.DeepEqual(got, want) {
		t.Errorf("Traffic(mta) = %+v; want %+v", got, want)
	}
	if got := m.Traffic("submission"); !reflect.DeepEqual(got, Traffic{Messages: map[string]uint64{}}) {
		t.Errorf("Traffic(submission) = %+v; want nothing", got)
	}
	m.SessionClosed("submission")
	if got := m.Traffic("submission").Active; got != 0 {
		t.Errorf("open sessions below zero = %d; want 0", got)
	}
}

func TestDNSCountsAreWhatWasCounted(t *testing.T) {
	m := New(prometheus.NewRegistry(), nil)
	m.CacheRequest("spf", "hit")
	m.CacheRequest("spf", "hit")
	m.Query("dkim", "servfail", time.Second)
	var got []DNSCount
	for _, c := range m.DNSCounts() {
		if c.N > 0 {
			got = append(got, c)
		}
	}
	if want := []DNSCount{{false, "spf", "hit", 2}, {true, "dkim", "servfail", 1}}; !slices.Equal(got, want) {
		t.Errorf("DNSCounts() = %+v; want %+v", got, want)
	}
}

func TestCacheUseCountsWhatNeededNoQuery(t *testing.T) {
	m := New(prometheus.NewRegistry(), nil)
	m.CacheSize(3, 1200)
	for _, o := range outcomes {
		m.CacheRequest("spf", o)
		m.CacheRequest("dkim", o)
	}
	n := uint64(len(outcomes))
	if got, want := m.CacheUse(), (CacheUse{Entries: 3, Bytes: 1200, Lookups: 2 * n, Cached: 2 * (n - 1)}); got != want {
		t.Errorf("CacheUse() = %+v; want %+v", got, want)
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
