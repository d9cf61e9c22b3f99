package dnscache

import (
	"context"
	"errors"
	"testing"
	"time"

	"dmarcgate/internal/dnstest"
)

const staleZone = `
example.com.       100 TXT "v=spf1 -all"
example.com.       100 MX  10 mx.example.com.
example.com.       100 A   192.0.2.1
zero.example.com.  0   TXT x
!negttl 50
`

// breaking is the zone in which every lookup fails at once.
const breaking = "!servfail example.com\n!servfail *.example.com"

func (g *rig) replace(t testing.TB, srv *dnstest.Server, text string) {
	t.Helper()
	if err := srv.Zone.Replace(text); err != nil {
		t.Fatal(err)
	}
}

func TestStaleErrorCarriesStaleAnswer(t *testing.T) {
	for _, c := range []struct {
		about, name string
		cfg         Config
		after       time.Duration
		stale       bool
		records     int
		nxdomain    bool
	}{
		{"records past their TTL", "example.com", Config{}, 100 * time.Second, true, 1, false},
		{"records to the end of their stale time", "example.com", Config{}, 100*time.Second + defaultStaleTTL - 1, true, 1, false},
		{"no records after it", "example.com", Config{}, 100*time.Second + defaultStaleTTL, false, 0, false},
		{"the stale time is a setting", "example.com", Config{StaleTTL: time.Minute}, 160 * time.Second, false, 0, false},
		{"it may be none", "example.com", Config{StaleTTL: -1}, 100 * time.Second, false, 0, false},
		{"NXDOMAIN past its TTL", "gone.example.com", Config{}, 50 * time.Second, true, 0, true},
		{"NXDOMAIN to the end of its stale time", "gone.example.com", Config{}, 50*time.Second + defaultStaleNegTTL - 1, true, 0, true},
		{"none after it", "gone.example.com", Config{}, 50*time.Second + defaultStaleNegTTL, false, 0, false},
		{"that time is a setting", "gone.example.com", Config{StaleNegTTL: -1}, 50 * time.Second, false, 0, false},
		{"TTL 0 was not kept", "zero.example.com", Config{}, time.Second, false, 0, false},
	} {
		t.Run(c.about, func(t *testing.T) {
			srv := dnstest.New(t, staleZone)
			g := newRig(t, c.cfg, srv)
			var seen lookups
			v := g.View(SPF).Traced(seen.add)
			if _, err := v.TXT(background, c.name); err != nil {
				t.Fatal(err)
			}
			g.replace(t, srv, breaking)
			g.clock.advance(c.after)
			txts, err := v.TXT(background, c.name)
			var old *StaleError
			var e *Error
			if errors.As(err, &old) != c.stale || !errors.As(err, &e) || e.Kind != ServFail || len(txts) != c.records {
				t.Fatalf("TXT(%q) = %q, %v; want %d records, stale %v", c.name, txts, err, c.records, c.stale)
			}
			if c.stale && (old.Age != c.after || !old.Stale()) {
				t.Errorf("age = %v; want %v", old.Age, c.after)
			}
			want := map[bool]string{true: stale, false: miss}[c.stale]
			if l := seen.last(t); l.Outcome != want || l.NXDomain != c.nxdomain || l.TTL != 0 || c.stale && l.Age != c.after {
				t.Errorf("traced %+v; want outcome %s", l, want)
			}
			wantRequests(t, g, want, map[string]float64{stale: 1, miss: 2}[want])
		})
	}
}

func TestStaleAnswerFromEveryMethod(t *testing.T) {
	srv := dnstest.New(t, staleZone+"example.com. 100 SOA ns.example.com. root.example.com. 1 2 3 4 50\n")
	g := newRig(t, Config{}, srv)
	v := g.View(SPF)
	asks := map[string]func() (bool, error){
		"TXT":    func() (bool, error) { x, err := v.TXT(background, "example.com"); return len(x) == 1, err },
		"MX":     func() (bool, error) { x, err := v.MX(background, "example.com"); return len(x) == 1, err },
		"A":      func() (bool, error) { x, err := v.A(background, "example.com"); return len(x) == 1, err },
		"SOA":    func() (bool, error) { x, _, err := v.SOA(background, "example.com"); return x != "", err },
		"Exists": func() (bool, error) { return v.Exists(background, "example.com") },
		"not Exists": func() (bool, error) {
			x, err := v.Exists(background, "gone.example.com")
			return !x, err
		},
		"Parsed": func() (bool, error) {
			x, err := v.Parsed(background, "example.com", parseRecord)
			return x != nil, err
		},
	}
	for what, ask := range asks {
		if ok, err := ask(); !ok || err != nil {
			t.Fatalf("%s = %v, %v; want an answer", what, ok, err)
		}
	}
	g.replace(t, srv, breaking)
	g.clock.advance(150 * time.Second)
	for what, ask := range asks {
		if ok, err := ask(); !ok || !isStale(err) {
			t.Errorf("%s = %v, %v; want the stale answer", what, ok, err)
		}
	}
}

func TestExistsIsFreshWithFreshProof(t *testing.T) {
	srv := dnstest.New(t, "mail.example.com. A 192.0.2.1\n!negttl 50")
	g := newRig(t, Config{}, srv)
	v := g.View(DMARC)
	if ok, err := v.Exists(background, "gone.example.com"); ok || err != nil {
		t.Fatalf("Exists = %v, %v; want false", ok, err)
	}
	g.replace(t, srv, "!servfail gone.example.com TXT\ngone.example.com. A 192.0.2.1")
	g.clock.advance(time.Minute)
	if ok, err := v.Exists(background, "gone.example.com"); !ok || err != nil {
		t.Errorf("Exists = %v, %v; want true from the fresh address", ok, err)
	}
}

func TestCacheKeepsFailure(t *testing.T) {
	srv := dnstest.New(t, staleZone)
	g := newRig(t, Config{FailureTTL: 7 * time.Second}, srv)
	var seen lookups
	v := g.View(SPF).Traced(seen.add)
	ask := func(name, outcome string, queries int) {
		t.Helper()
		_, err := v.TXT(background, name)
		if l := seen.last(t); l.Outcome != outcome || (outcome == failed || outcome == stale) && err == nil {
			t.Errorf("TXT(%q): %v, %s; want %s", name, err, l.Outcome, outcome)
		}
		if n := count(srv, name); n != queries {
			t.Errorf("queried %d times for %s; want %d", n, name, queries)
		}
	}
	ask("example.com", miss, 1)
	g.replace(t, srv, breaking)
	g.clock.advance(100 * time.Second)

	ask("example.com", stale, 2)
	_, _ = v.TXT(background, "other.example.com")
	ask("other.example.com", failed, 1)
	g.clock.advance(7*time.Second - 1)
	ask("example.com", stale, 2)
	ask("other.example.com", failed, 1)
	g.clock.advance(1)
	ask("example.com", stale, 3)
	ask("other.example.com", miss, 2)

	g.replace(t, srv, staleZone)
	g.clock.advance(7 * time.Second)
	ask("example.com", miss, 4)
	ask("example.com", hit, 4)
	wantRequests(t, g, failed, 2)
}

func TestCacheKeepsOnlyServerFailures(t *testing.T) {
	for kind, want := range map[Kind]bool{
		ServFail: true, Refused: true, Timeout: true, Network: true, Malformed: true, Bogus: true,
		Pressure: false, Local: false, Closed: false, Down: false, Internal: false,
	} {
		if got := memorable(&Error{Kind: kind}); got != want {
			t.Errorf("memorable(%v) = %v; want %v", kind, got, want)
		}
	}
	if memorable(context.Canceled) {
		t.Error("memorable(context.Canceled) = true; want false")
	}
}

func TestStaleAnswerShortensWait(t *testing.T) {
	srv := dnstest.New(t, staleZone)
	g := newRig(t, Config{StaleAfter: brief}, srv)
	var seen lookups
	v := g.View(SPF).Traced(seen.add)
	if _, err := v.TXT(background, "example.com"); err != nil {
		t.Fatal(err)
	}
	arrived, release := srv.Hold("example.com")
	g.clock.advance(101 * time.Second)
	txts, err := v.TXT(background, "example.com")
	var e *Error
	if len(txts) != 1 || !isStale(err) || !errors.As(err, &e) || e.Kind != Timeout {
		t.Fatalf("TXT = %q, %v; want the old record beside a timeout", txts, err)
	}
	if l := seen.last(t); l.Outcome != stale || l.Age != 101*time.Second {
		t.Errorf("traced %+v; want a stale answer of 101 s", l)
	}
	<-arrived
	release()
	eventually(t, "the flight brings the news", func() bool {
		_, err := v.TXT(background, "example.com")
		return err == nil
	})
	if n := count(srv, "example.com"); n != 2 {
		t.Errorf("queried %d times; want 2", n)
	}
}

// recently is how old an answer may be to prove that the servers answer.
const recently = 10 * time.Second

func TestStaleTimeoutIsTheDomainsIfOthersAreAnswered(t *testing.T) {
	for about, answered := range map[string]bool{"nobody is answered": false, "others are": true} {
		t.Run(about, func(t *testing.T) {
			srv := dnstest.New(t, staleZone)
			g := newRig(t, Config{StaleAfter: brief}, srv)
			v := g.View(SPF)
			if _, err := v.TXT(background, "example.com"); err != nil {
				t.Fatal(err)
			}
			_, release := srv.Hold("example.com")
			defer release()
			g.clock.advance(101 * time.Second)
			if answered {
				if _, err := v.TXT(background, "other.example.com"); err != nil {
					t.Fatal(err)
				}
				g.clock.advance(recently)
			}
			_, err := v.TXT(background, "example.com")
			var e *Error
			if !errors.As(err, &e) || e.Ours() || e.Pressure() == answered {
				t.Errorf("TXT: %v; want a timeout, the domain's %v", err, answered)
			}
		})
	}
}

func TestStaleAnswerAtEndOfContext(t *testing.T) {
	srv := dnstest.New(t, staleZone)
	g := newRig(t, Config{StaleAfter: generous}, srv)
	v := g.View(SPF)
	if _, err := v.TXT(background, "example.com"); err != nil {
		t.Fatal(err)
	}
	_, release := srv.Hold("example.com")
	defer release()
	g.clock.advance(101 * time.Second)
	short, cancel := context.WithTimeout(background, brief)
	defer cancel()
	if txts, err := v.TXT(short, "example.com"); len(txts) != 1 || !isStale(err) {
		t.Errorf("TXT at the end of the time = %q, %v; want the old record", txts, err)
	}
	gone, cancel := context.WithCancel(background)
	cancel()
	if txts, err := v.TXT(gone, "example.com"); len(txts) != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("TXT of a caller who left = %q, %v; want %v", txts, err, context.Canceled)
	}
}

func TestStaleAnswerEndsWithUncachedNewAnswer(t *testing.T) {
	srv := dnstest.New(t, staleZone)
	g := newRig(t, Config{}, srv)
	v := g.View(SPF)
	if _, err := v.TXT(background, "example.com"); err != nil {
		t.Fatal(err)
	}
	g.replace(t, srv, "mail.example.com. A 192.0.2.1\n!nosoa")
	g.clock.advance(101 * time.Second)
	if txts, err := v.TXT(background, "example.com"); len(txts) != 0 || err != nil {
		t.Fatalf("TXT = %q, %v; want none", txts, err)
	}
	g.replace(t, srv, breaking)
	if txts, err := v.TXT(background, "example.com"); len(txts) != 0 || err == nil || isStale(err) {
		t.Errorf("TXT = %q, %v; want a failure and not the record of before", txts, err)
	}
}

func TestMinTTLAppliesToRecordsOnly(t *testing.T) {
	srv := dnstest.New(t, staleZone)
	g := newRig(t, Config{MinTTL: 30 * time.Second, MaxTTL: 20 * time.Second, StaleTTL: -1, StaleNegTTL: -1}, srv)
	for name, want := range map[string]time.Duration{"zero.example.com": 20 * time.Second, "gone.example.com": 50 * time.Second} {
		if _, err := g.View(SPF).TXT(background, name); err != nil {
			t.Fatal(err)
		}
		if list := g.Show(name); len(list) != 1 || list[0].TTL != want {
			t.Errorf("Show(%q) = %+v; want a TTL of %v", name, list, want)
		}
	}
}

func TestStaleAnswersAfterClose(t *testing.T) {
	g := newRig(t, Config{}, dnstest.New(t, staleZone))
	if _, err := g.View(SPF).TXT(background, "example.com"); err != nil {
		t.Fatal(err)
	}
	g.Close()
	g.clock.advance(95 * time.Second) // when it would be queried for ahead of time
	if txts, err := g.View(SPF).TXT(background, "example.com"); len(txts) != 1 || err != nil {
		t.Errorf("TXT = %q, %v; want the record", txts, err)
	}
	if g.ahead != 0 {
		t.Error("a lookup began after Close")
	}
	g.clock.advance(6 * time.Second)
	var e *Error
	if txts, err := g.View(SPF).TXT(background, "example.com"); len(txts) != 1 || !isStale(err) || !errors.As(err, &e) || e.Kind != Closed {
		t.Errorf("TXT = %q, %v; want the old record beside kind %v", txts, err, Closed)
	}
}

func TestStaleAnswerForLateJoinedCaller(t *testing.T) {
	srv := dnstest.New(t, staleZone)
	g := newRig(t, Config{StaleAfter: generous}, srv)
	v := g.View(SPF)
	if _, err := v.TXT(background, "example.com"); err != nil {
		t.Fatal(err)
	}
	arrived, release := srv.Hold("example.com")
	defer release()
	g.clock.advance(95 * time.Second)
	if _, err := v.TXT(background, "example.com"); err != nil { // starts a flight ahead of time
		t.Fatal(err)
	}
	<-arrived
	g.mu.Lock()
	for _, f := range g.flights {
		f.began = f.began.Add(-generous)
	}
	g.mu.Unlock()
	g.clock.advance(6 * time.Second)
	began := time.Now()
	if txts, err := v.TXT(background, "example.com"); len(txts) != 1 || !isStale(err) || time.Since(began) > generous/2 {
		t.Errorf("TXT = %q, %v after %v; want the old record at once", txts, err, time.Since(began))
	}
}

func TestStaleEntryKeepsAnswerBesideFailure(t *testing.T) {
	old := &entry{answer: answer{Records: []string{"x"}, AD: true, TTL: time.Hour}, expires: 7, settled: true, parses: true}
	old.slot.Store(&slot{SPF, "value"})
	f := &remembered{until: 9}
	e := old.withFailure(f)
	if e.Records[0] != "x" || !e.AD || e.TTL != time.Hour || e.expires != 7 || !e.settled || !e.parses || e.slot.Load().value != "value" || e.failed != f || old.failed != nil {
		t.Errorf("withFailure = %+v; want %+v with the failure", e, old)
	}
	if e := (*entry)(nil).withFailure(f); e.known() || !e.failing(8) || e.failing(9) {
		t.Errorf("withFailure of nothing = %+v; want the failure alone", e)
	}
}
