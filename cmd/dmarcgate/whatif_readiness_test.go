package main

import (
	"fmt"
	"net/netip"
	"testing"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/results"
)

func TestSourcesAreToldApart(t *testing.T) {
	pass := func(domain string) func(*policy.Facts) {
		return func(f *policy.Facts) { f.DKIM = []policy.DKIM{{Result: "pass", Domain: domain}} }
	}
	none := func(f *policy.Facts) { f.SPF = policy.SPF{Result: "none"} }
	known := func(f *policy.Facts) { f.Authors[0].History = policy.History{Messages: 3} }
	from := func(n int) func(*policy.Facts) {
		return author(fmt.Sprintf("mail.o%d.example", n), fmt.Sprintf("o%d.example", n))
	}
	net := func(n byte) func(*policy.Facts) {
		return func(f *policy.Facts) { f.Client = netip.AddrFrom4([4]byte{198, 51, n, 1}) }
	}
	named := func(f *policy.Facts) { f.ClientName = "mx7.relay.example" }
	tests := []struct {
		name   string
		facts  []policy.Facts
		source source
		want   string
	}{
		{"a list of three organizations", []policy.Facts{someFacts(1, from(1), pass("l.example")), someFacts(2, from(2), pass("l.example")), someFacts(3, from(3), pass("l.example"))}, source{byDKIM, "l.example"}, "forwarder"},
		{"a forwarder of one that is known", []policy.Facts{someFacts(1, known)}, source{bySPF, "stranger.example"}, "forwarder"},
		{"a named host, and one that is known", []policy.Facts{someFacts(1, none, named, known)}, source{byName, "relay.example"}, "forwarder"},
		{"a network without a name, and one that is known", []policy.Facts{someFacts(1, none, known)}, source{byNetwork, "203.0.113.0/24"}, "direct"},
		{"the same with a chain", []policy.Facts{someFacts(1, none, known, func(f *policy.Facts) { f.ARC.Result = "pass" })}, source{byNetwork, "203.0.113.0/24"}, "forwarder"},
		{"one organization", []policy.Facts{someFacts(1), someFacts(2)}, source{bySPF, "stranger.example"}, "direct"},
		{"one organization from many networks", []policy.Facts{someFacts(1, net(1)), someFacts(2, net(2)), someFacts(3, net(3)), someFacts(4, net(4)), someFacts(5, net(5))}, source{bySPF, "stranger.example"}, "neither"},
		{"two organizations", []policy.Facts{someFacts(1, from(1)), someFacts(2, from(2))}, source{bySPF, "stranger.example"}, "neither"},
		{"a key in test mode vouches for nobody", []policy.Facts{someFacts(1, none, func(f *policy.Facts) { f.DKIM = []policy.DKIM{{Result: "pass", Domain: "x.example", Testing: true}} })}, source{byNetwork, "203.0.113.0/24"}, "direct"},
		{"IPv6", []policy.Facts{someFacts(1, none, func(f *policy.Facts) { f.Client = netip.MustParseAddr("2001:db8:1:2::3") })}, source{byNetwork, "2001:db8:1::/48"}, "direct"},
		{"no address", []policy.Facts{someFacts(1, none, func(f *policy.Facts) { f.Client = netip.Addr{} })}, source{byNetwork, "no address"}, "direct"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := trying(profileSettings(t, "strict"))
			c.readiness = true
			var rows []results.Row
			for _, f := range tt.facts {
				rows = append(rows, decided(profileSettings(t, "monitor"), f))
			}
			ready := tallied(t, c, rows...).readiness
			e := ready.sources.lines[tt.source]
			if e == nil || len(ready.sources.lines) != 1 {
				t.Fatalf("sources %v; want %v alone", ready.sources.lines, tt.source)
			}
			got := "neither"
			switch {
			case tt.source.forwards(&e.value):
				got = "forwarder"
			case tt.source.direct(&e.value):
				got = "direct"
			}
			if got != tt.want || e.n != int64(len(tt.facts)) {
				t.Errorf("%v with %d messages is %s; want %s", tt.source, e.n, got, tt.want)
			}
		})
	}
}

func TestAMessageWithStrongEvidenceAgainstItIsNoForwarders(t *testing.T) {
	c := trying(profileSettings(t, "strict"))
	c.readiness = true
	f := someFacts(1, func(f *policy.Facts) { f.Authors[0].Standing = policy.Standing{Asked: true, Missing: true} })
	ready := tallied(t, c, decided(profileSettings(t, "monitor"), f)).readiness
	if e := ready.evidence[policy.NoSuchDomain]; e == nil || e.Rejected != 1 || len(ready.sources.lines) != 0 {
		t.Errorf("evidence %v, sources %v; want the evidence and no source", ready.evidence, ready.sources.lines)
	}
}

func TestReadinessIsAboutWhatTheProfileMakesSeverer(t *testing.T) {
	monitor, strict := profileSettings(t, "monitor"), profileSettings(t, "strict")
	c := trying(strict)
	c.readiness = true
	refused := decided(strict, someFacts(1))
	refused.Decision.Action, refused.Settings = policy.Refuse, "others"
	milder := decided(strict, someFacts(2, verdict(dmarc.Fail, dmarc.Quarantine)))
	milder.Decision.Action, milder.Decision.Disposition, milder.Settings = policy.Refuse, policy.Reject, "others"
	if got := tallied(t, c, refused, milder); got.Relaxed != 1 || len(got.readiness.sources.lines) != 0 {
		t.Errorf("whatIf() = %d relaxed, with sources %v; want 1 and none", got.Relaxed, got.readiness.sources.lines)
	}
	c.listeners["mta"].again = func(f policy.Facts) (policy.Decision, bool) {
		d := strict.Decide(f)
		d.Rule = "wanted"
		return d, true
	}
	if got := tallied(t, c, decided(monitor, someFacts(3))); got.readiness.ruled != 1 || len(got.readiness.sources.lines) != 0 {
		t.Errorf("a message that a rule refuses: %d ruled, with sources %v; want 1 and none", got.readiness.ruled, got.readiness.sources.lines)
	}
}

func TestNamesForAShellAreQuoted(t *testing.T) {
	for in, want := range map[string]string{"4XyZ1": "4XyZ1", "a b": "'a b'", "$(x)": "'$(x)'", "a'b": `'a'\''b'`, "-x": "'-x'", "\n": "'?'"} {
		if got := shellWord(in); got != want {
			t.Errorf("shellWord(%q) = %s; want %s", in, got, want)
		}
	}
}
