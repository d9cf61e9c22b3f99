package gate

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"dmarcgate/policy/pattern"
	"dmarcgate/report/consent"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// openGate has all that a site needs for sending.
func openGate() Gate {
	id := Identity{
		Organization: "Example", Email: "dmarc@reports.example", Submitter: "mx.reports.example", BounceDomain: "bounces.example",
		Selector: "r1", Key: "MIIB", Smarthost: "127.0.0.1:25",
	}
	return Gate{
		Send: true, Identity: id, Verified: Verified{id, noon.Add(-time.Hour)},
		Own: []string{"receiver.example"}, MinAge: 7 * day, Enabled: noon.Add(-8 * day), DryRun: 7 * day,
		Caps: Caps{NewHosts: 50, PerHost: 100, PerDay: 5000, PerMinute: 60, Hosts: map[string]int64{"large.example": 1000}},
	}
}

// goodReport is one that every gate is open for.
func goodReport() Report {
	return Report{PolicyDomain: "mail.bank.example", Org: "bank.example", FirstSeen: noon.Add(-8 * day), Passed: true, Ordinary: 1}
}

// goodDelivery is one that every gate is open for.
func goodDelivery() Delivery {
	return Delivery{
		PolicyDomain: "mail.bank.example", Org: "bank.example", Waiting: noon.Add(-time.Hour),
		Destination: Destination{URI: "mailto:rua@bank.example", Address: "rua@bank.example", Key: "rua@bank.example", Host: "bank.example", Counted: "bank.example", Consent: consent.Internal},
		Held:        Held{Read: true, HostKnown: true},
	}
}

func exact(domain string) []pattern.Domain {
	return []pattern.Domain{pattern.NewDomain(pattern.Exact, domain)}
}

// suppressing is a suppression that has not ended.
func suppressing(kind Kind, what string) []Suppression {
	return []Suppression{{Key: Key{kind, what}, Until: noon.Add(time.Hour)}}
}

// siteGates are closed for all reports, in the order of the constants.
var siteGates = []struct {
	name  string
	close func(*Gate)
	want  Why
}{
	{"sending is off", func(g *Gate) { g.Send = false }, SendingOff},
	{"no organization", func(g *Gate) { g.Identity.Organization = "" }, SettingsMissing},
	{"no email", func(g *Gate) { g.Identity.Email = "" }, SettingsMissing},
	{"no submitter", func(g *Gate) { g.Identity.Submitter = "" }, SettingsMissing},
	{"no bounce domain", func(g *Gate) { g.Identity.BounceDomain = "" }, SettingsMissing},
	{"no selector", func(g *Gate) { g.Identity.Selector = "" }, SettingsMissing},
	{"no key", func(g *Gate) { g.Identity.Key = "" }, SettingsMissing},
	{"no smarthost", func(g *Gate) { g.Identity.Smarthost = "" }, SettingsMissing},
	{"never verified", func(g *Gate) { g.Verified = Verified{} }, Unverified},
	{"verified without a time", func(g *Gate) { g.Verified.At = time.Time{} }, Unverified},
	{"verified a day ago", func(g *Gate) { g.Verified.At = noon.Add(-MaxVerifiedAge) }, Unverified},
	{"verified in the future", func(g *Gate) { g.Verified.At = noon.Add(time.Hour) }, Unverified},
	{"another key was verified", func(g *Gate) { g.Verified.Identity.Key = "MIIC" }, Unverified},
	{"another address was verified", func(g *Gate) { g.Verified.Identity.Email = "old@reports.example" }, Unverified},
	{"paused", func(g *Gate) { g.Paused = true }, Paused},
}

func TestGatesOfTheSiteCloseInOrder(t *testing.T) {
	for i, tt := range siteGates {
		t.Run(tt.name, func(t *testing.T) {
			for _, later := range append(siteGates[i:], siteGates[i]) { // alone, and with one of the later ones
				g := openGate()
				tt.close(&g)
				if later.want != tt.want {
					later.close(&g)
				}
				if got := g.Closed(noon); got != tt.want {
					t.Errorf("Closed with %s = %q; want %q", later.name, got, tt.want)
				}
				if g.Report(goodReport(), noon) != tt.want || g.Delivery(goodDelivery(), noon) != tt.want || g.MaySend(noon) {
					t.Errorf("Report, Delivery, MaySend with %s are not closed by %q", later.name, tt.want)
				}
			}
		})
	}
	g := openGate()
	if g.Closed(noon) != Open || !g.MaySend(noon) {
		t.Errorf("Closed = %q, MaySend = %v with all that is needed; want an open gate", g.Closed(noon), g.MaySend(noon))
	}
}

func TestGatesOfAReportCloseInOrder(t *testing.T) {
	tests := []struct {
		name  string
		close func(*Gate, *Report)
		want  Why
	}{
		{"about our own domain", func(_ *Gate, r *Report) { r.PolicyDomain = "receiver.example" }, OwnDomain},
		{"about a domain below ours", func(_ *Gate, r *Report) { r.PolicyDomain = "sub.receiver.example" }, OwnDomain},
		{"about the domain of the address", func(_ *Gate, r *Report) { r.PolicyDomain = "reports.example" }, OwnDomain},
		{"about the submitter", func(_ *Gate, r *Report) { r.PolicyDomain = "mx.reports.example" }, OwnDomain},
		{"about the bounce domain", func(_ *Gate, r *Report) { r.PolicyDomain = "bounces.example" }, OwnDomain},
		{"about no domain", func(_ *Gate, r *Report) { r.PolicyDomain = "" }, OwnDomain},
		{"excluded", func(g *Gate, _ *Report) { g.Exclude = exact("mail.bank.example") }, NotListed},
		{"excluded and included", func(g *Gate, _ *Report) {
			g.Include, g.Exclude = exact("mail.bank.example"), []pattern.Domain{pattern.NewDomain(pattern.Organization, "bank.example")}
		}, NotListed},
		{"another domain is included", func(g *Gate, _ *Report) { g.Include = exact("bank.example") }, NotListed},
		{"policy domain suppressed", func(_ *Gate, r *Report) { r.Suppressions = suppressing(KindDomain, "mail.bank.example") }, Suppressed},
		{"domain above suppressed", func(_ *Gate, r *Report) { r.Suppressions = suppressing(KindDomain, "bank.example") }, Suppressed},
		{"organization never seen", func(_ *Gate, r *Report) { r.FirstSeen = time.Time{} }, TooNew},
		{"organization known for a second less", func(_ *Gate, r *Report) { r.FirstSeen = noon.Add(time.Second - 7*day) }, TooNew},
		{"organization seen in the future", func(_ *Gate, r *Report) { r.FirstSeen = noon.Add(day) }, TooNew},
		{"no age set, known for less than a day", func(g *Gate, r *Report) { g.MinAge, r.FirstSeen = 0, noon.Add(time.Second-day) }, TooNew},
		{"no message passed", func(_ *Gate, r *Report) { r.Passed = false }, NoRelation},
		{"no message passed, record known for a second less", func(_ *Gate, r *Report) { r.Passed, r.RecordSince = false, noon.Add(time.Second-30*day) }, NoRelation},
		{"all messages are report traffic", func(_ *Gate, r *Report) { r.Ordinary = 0 }, ReportTraffic},
		{"record known, all messages are report traffic", func(_ *Gate, r *Report) { r.Passed, r.Ordinary, r.RecordSince = false, 0, noon.Add(-40*day) }, ReportTraffic},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, later := range tests[i:] {
				if later.name == "no age set, known for less than a day" || later.name == "record known, all messages are report traffic" {
					continue // opens an earlier gate
				}
				g, r := openGate(), goodReport()
				later.close(&g, &r)
				tt.close(&g, &r)
				if got := g.Report(r, noon); got != tt.want {
					t.Errorf("Report with %s = %q; want %q", later.name, got, tt.want)
				}
			}
			g, r := openGate(), goodReport()
			tt.close(&g, &r)
			if got := g.Report(r, noon); got != tt.want {
				t.Errorf("Report = %q; want %q", got, tt.want)
			}
		})
	}
}

func TestGatesOfAReportOpen(t *testing.T) {
	tests := []struct {
		name string
		open func(*Gate, *Report)
	}{
		{"all that is needed", func(*Gate, *Report) {}},
		{"organization known for as long as asked", func(_ *Gate, r *Report) { r.FirstSeen = noon.Add(-7 * day) }},
		{"included by its organization", func(g *Gate, _ *Report) {
			g.Include = []pattern.Domain{pattern.NewDomain(pattern.Organization, "bank.example")}
		}},
		{"a domain with the end of ours", func(_ *Gate, r *Report) { r.PolicyDomain = "notreceiver.example" }},
		{"a suppression that has ended", func(_ *Gate, r *Report) {
			r.Suppressions = []Suppression{{Key: Key{KindDomain, "bank.example"}, Until: noon}}
		}},
		{"a suppression of a host", func(_ *Gate, r *Report) { r.Suppressions = suppressing(KindHost, "bank.example") }},
		{"a parked domain whose record is known for 30 days", func(_ *Gate, r *Report) {
			r.Passed, r.FirstSeen, r.RecordSince = false, time.Time{}, noon.Add(-KnownRecord)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, r := openGate(), goodReport()
			tt.open(&g, &r)
			if got := g.Report(r, noon); got != Open {
				t.Errorf("Report = %q; want open", got)
			}
		})
	}
}

func TestGatesOfADeliveryCloseInOrder(t *testing.T) {
	tests := []struct {
		name  string
		close func(*Gate, *Delivery)
		want  Why
	}{
		{"about our own domain", func(_ *Gate, d *Delivery) { d.PolicyDomain = "a.receiver.example" }, OwnDomain},
		{"excluded since it was planned", func(g *Gate, _ *Delivery) { g.Exclude = exact("mail.bank.example") }, NotListed},
		{"consent not known for 48 hours", func(_ *Gate, d *Delivery) {
			d.Destination.Why, d.Destination.Consent, d.Waiting = ConsentUnknown, consent.Unknown, noon.Add(-MaxConsentWait)
		}, Unauthorized},
		{"consent not known, waiting since nobody knows when", func(_ *Gate, d *Delivery) {
			d.Destination.Why, d.Destination.Consent, d.Waiting = ConsentUnknown, consent.Unknown, time.Time{}
		}, Unauthorized},
		{"consent not known", func(_ *Gate, d *Delivery) {
			d.Destination.Why, d.Destination.Consent, d.Waiting = ConsentUnknown, consent.Unknown, noon.Add(-time.Hour)
		}, ConsentUnknown},
		{"no address", func(_ *Gate, d *Delivery) { d.Destination.Why = BadAddress }, BadAddress},
		{"refused", func(_ *Gate, d *Delivery) { d.Destination.Why, d.Destination.Consent = Unauthorized, consent.Refused }, Unauthorized},
		{"refused, without a why", func(_ *Gate, d *Delivery) { d.Destination.Why, d.Destination.Consent = Open, consent.Refused }, Unauthorized},
		{"ignored, without a why", func(_ *Gate, d *Delivery) { d.Destination.Why, d.Destination.Consent = Open, consent.Ignored }, Unauthorized},
		{"not known, without a why", func(_ *Gate, d *Delivery) { d.Destination.Why, d.Destination.Consent = Open, consent.Unknown }, Unauthorized},
		{"the zero destination", func(_ *Gate, d *Delivery) { d.Destination = Destination{} }, Unauthorized},
		{"our own address", func(_ *Gate, d *Delivery) {
			d.Destination = Destination{Key: "dmarc@reports.example", Host: "reports.example", Counted: "reports.example", Consent: consent.Granted}
		}, OwnAddress},
		{"a return path of ours", func(_ *Gate, d *Delivery) {
			d.Destination = Destination{Key: "b+aaaa@bounces.example", Host: "bounces.example", Counted: "bounces.example", Consent: consent.Granted}
		}, OwnAddress},
		{"the queue was not read", func(_ *Gate, d *Delivery) { d.Held = Held{} }, NotCounted},
		{"address suppressed", func(_ *Gate, d *Delivery) { d.Held.Suppressions = suppressing(KindAddress, d.Destination.Key) }, Suppressed},
		{"host suppressed", func(_ *Gate, d *Delivery) { d.Held.Suppressions = suppressing(KindHost, d.Destination.Host) }, Suppressed},
		{"host above suppressed", func(_ *Gate, d *Delivery) { d.Held.Suppressions = suppressing(KindHost, "example") }, Suppressed},
		{"policy domain suppressed", func(_ *Gate, d *Delivery) { d.Held.Suppressions = suppressing(KindDomain, "bank.example") }, Suppressed},
		{"suppressed until lifted", func(_ *Gate, d *Delivery) {
			d.Held.Suppressions = []Suppression{{Key: Key{KindHost, d.Destination.Host}}}
		}, Suppressed},
		{"new hosts at the cap", func(_ *Gate, d *Delivery) { d.Held.HostKnown, d.Held.NewHosts = false, 50 }, NewHostsCap},
		{"host at the cap", func(_ *Gate, d *Delivery) { d.Held.ToHost = 100 }, HostCap},
		{"a large host at its cap", func(_ *Gate, d *Delivery) {
			d.Destination.Host, d.Destination.Counted, d.Destination.Key = "reports.large.example", "large.example", "rua@reports.large.example"
			d.Held.ToHost = 1000
		}, HostCap},
		{"day at the cap", func(_ *Gate, d *Delivery) { d.Held.Today = 5000 }, DayCap},
		{"minute at the cap", func(_ *Gate, d *Delivery) { d.Held.LastMinute = 60 }, RateCap},
		{"no caps set", func(g *Gate, _ *Delivery) { g.Caps = Caps{} }, HostCap},
		{"within the dry run", func(g *Gate, _ *Delivery) { g.Enabled = noon.Add(time.Second - 7*day) }, DryRun},
		{"enabled nobody knows when", func(g *Gate, _ *Delivery) { g.Enabled = time.Time{} }, DryRun},
		{"enabled nobody knows when, without a dry run", func(g *Gate, _ *Delivery) { g.Enabled, g.DryRun = time.Time{}, 0 }, DryRun},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, d := openGate(), goodDelivery()
			tt.close(&g, &d)
			if got := g.Delivery(d, noon); got != tt.want {
				t.Errorf("Delivery = %q; want %q", got, tt.want)
			}
			if tt.want == DryRun { // the last gate: all others win
				return
			}
			g.Enabled = time.Time{}
			if got := g.Delivery(d, noon); got != tt.want {
				t.Errorf("Delivery in the dry run = %q; want %q", got, tt.want)
			}
			d.Held.ToHost, d.Held.Today, d.Held.LastMinute = 10_000, 10_000, 10_000
			if got := g.Delivery(d, noon); !slices.Contains([]Why{NewHostsCap, HostCap, DayCap, RateCap}, tt.want) && got != tt.want {
				t.Errorf("Delivery above all caps = %q; want %q", got, tt.want)
			}
		})
	}
}

func TestGatesOfADeliveryOpen(t *testing.T) {
	tests := []struct {
		name string
		open func(*Gate, *Delivery)
	}{
		{"all that is needed", func(*Gate, *Delivery) {}},
		{"one below each cap", func(_ *Gate, d *Delivery) { d.Held.ToHost, d.Held.Today, d.Held.LastMinute = 99, 4999, 59 }},
		{"one new host below the cap", func(_ *Gate, d *Delivery) { d.Held.HostKnown, d.Held.NewHosts = false, 49 }},
		{"a known host while new ones are at the cap", func(_ *Gate, d *Delivery) { d.Held.NewHosts = 50 }},
		{"a large host", func(_ *Gate, d *Delivery) {
			d.Destination.Host, d.Destination.Counted, d.Destination.Key, d.Held.ToHost = "reports.large.example", "large.example", "rua@reports.large.example", 999
		}},
		{"another address at the bounce domain", func(_ *Gate, d *Delivery) {
			d.Destination.Host, d.Destination.Key = "bounces.example", "rua@bounces.example"
		}},
		{"other suppressions", func(_ *Gate, d *Delivery) {
			d.Held.Suppressions = slices.Concat(suppressing(KindAddress, "x@bank.example"), suppressing(KindHost, "a.bank.example"), suppressing(KindDomain, "b.mail.bank.example"))
		}},
		{"at the end of the dry run", func(g *Gate, _ *Delivery) { g.Enabled = noon.Add(-7 * day) }},
		{"without a dry run", func(g *Gate, _ *Delivery) { g.Enabled, g.DryRun = noon, 0 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, d := openGate(), goodDelivery()
			tt.open(&g, &d)
			if got := g.Delivery(d, noon); got != Open {
				t.Errorf("Delivery = %q; want open", got)
			}
		})
	}
}

func TestGatesZeroValuesAreClosed(t *testing.T) {
	var g Gate
	if g.Closed(noon) != SendingOff || g.MaySend(noon) || !g.Dry(noon) || g.Delivery(goodDelivery(), noon) != SendingOff {
		t.Errorf("the zero gate = %q; want %q", g.Closed(noon), SendingOff)
	}
	g = openGate()
	if g.Report(Report{}, noon) == Open || g.Delivery(Delivery{}, noon) == Open {
		t.Error("a report or a delivery of which nothing is known may be sent")
	}
	if got := g.Delivery(goodDelivery(), time.Time{}); got == Open {
		t.Error("a delivery may be sent at no known time")
	}
}

// Whatever else is set, one prerequisite that is not set closes the gate.
func TestGatesNoInputWithAnUnsetPrerequisiteOpens(t *testing.T) {
	draw := rand.New(rand.NewPCG(1, 2))
	yes := func() bool { return draw.IntN(12) > 0 }
	when := func() time.Time {
		if yes() {
			return noon.Add(-time.Duration(draw.Int64N(int64(60 * day))))
		}
		return time.Time{}
	}
	text := func(s string) string {
		if yes() {
			return s
		}
		return ""
	}
	opened := 0
	for range 300_000 {
		g, d, r := openGate(), goodDelivery(), goodReport()
		g.Send, g.Paused = yes(), !yes()
		for _, p := range []*string{&g.Identity.Organization, &g.Identity.Email, &g.Identity.Submitter, &g.Identity.BounceDomain, &g.Identity.Selector, &g.Identity.Key, &g.Identity.Smarthost} {
			if draw.IntN(40) == 0 {
				*p = ""
			}
		}
		if yes() {
			g.Verified.Identity = g.Identity
		}
		g.Verified.At, g.Enabled, g.DryRun = noon.Add(-time.Duration(draw.Int64N(int64(30*time.Hour)))), when(), time.Duration(draw.IntN(20))*day
		g.Caps = Caps{draw.Int64N(3), draw.Int64N(5), draw.Int64N(20), draw.Int64N(9), nil}
		d.Destination.Consent = []consent.State{consent.Internal, consent.Granted, consent.Granted, consent.Refused, consent.Unknown, consent.Ignored, ""}[draw.IntN(7)]
		d.Destination.Key, d.Destination.Host = text("rua@bank.example"), text("bank.example")
		d.Held = Held{Read: yes(), HostKnown: yes(), NewHosts: draw.Int64N(3), ToHost: draw.Int64N(5), Today: draw.Int64N(9), LastMinute: draw.Int64N(9)}
		if !yes() {
			d.Held.Suppressions = suppressing(KindHost, "bank.example")
		}
		r.FirstSeen, r.RecordSince, r.Passed, r.Ordinary = when(), when(), yes(), draw.Int64N(3)
		ready := g.Send && !g.Paused && g.Identity.Organization != "" && g.Identity.Email != "" && g.Identity.Submitter != "" && g.Identity.BounceDomain != "" &&
			g.Identity.Selector != "" && g.Identity.Key != "" && g.Identity.Smarthost != "" && g.Verified.Identity == g.Identity && noon.Sub(g.Verified.At) < 24*time.Hour
		related := noon.Sub(r.RecordSince) >= 30*day && !r.RecordSince.IsZero() || r.Passed && !r.FirstSeen.IsZero() && noon.Sub(r.FirstSeen) >= 7*day
		h, c := d.Held, g.Caps
		free := h.Read && len(h.Suppressions) == 0 && (h.HostKnown || h.NewHosts < c.NewHosts) && h.ToHost < c.PerHost && h.Today < c.PerDay && h.LastMinute < c.PerMinute
		agreed := d.Destination.Key != "" && d.Destination.Host != "" && (d.Destination.Consent == consent.Internal || d.Destination.Consent == consent.Granted)
		wet := !g.Enabled.IsZero() && noon.Sub(g.Enabled) >= g.DryRun
		if got, want := g.Report(r, noon) == Open, ready && related && r.Ordinary > 0; got != want {
			t.Fatalf("Report(%+v) of %+v is open: %v; want %v", r, g, got, want)
		}
		if got, want := g.Delivery(d, noon) == Open, ready && agreed && free && wet; got != want {
			t.Fatalf("Delivery(%+v) of %+v is open: %v; want %v", d, g, got, want)
		}
		if g.MaySend(noon) != (ready && wet) {
			t.Fatalf("MaySend of %+v = %v", g, g.MaySend(noon))
		}
		if g.Delivery(d, noon) == Open {
			opened++
		}
	}
	if opened < 1000 {
		t.Errorf("the gate opened %d times; want enough to prove something", opened)
	}
}

func TestWaitsIsForGatesThatOpenByThemselves(t *testing.T) {
	waits := []Why{Unverified, Paused, ConsentUnknown, NotCounted, RateCap}
	for _, w := range []Why{
		Open, SendingOff, SettingsMissing, Unverified, Paused, OwnDomain, NotListed, Suppressed, TooNew, NoRelation, ReportTraffic, BadAddress,
		OwnAddress, Unauthorized, ConsentUnknown, TooManyTargets, NotCounted, NewHostsCap, HostCap, DayCap, RateCap, DryRun,
	} {
		if got := w.Waits(); got != slices.Contains(waits, w) {
			t.Errorf("%q.Waits() = %v", w, got)
		}
	}
}
