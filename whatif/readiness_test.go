package whatif

import (
	"fmt"
	"net/netip"
	"testing"

	"dmarcgate/auth/dmarc"
	"dmarcgate/config"
	"dmarcgate/internal/resultstest"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
	"dmarcgate/results"
	"dmarcgate/survey"
)

func TestReadinessSeparatesSources(t *testing.T) {
	pass := func(domain string) func(*policy.Facts) {
		return func(f *policy.Facts) { f.DKIM = append(f.DKIM, policy.DKIM{Result: "pass", Domain: domain}) }
	}
	none := func(f *policy.Facts) { f.SPF = policy.SPF{Result: "none"} }
	known := func(f *policy.Facts) { f.Authors[0].History = policy.History{Messages: 3} }
	from := func(n int) func(*policy.Facts) {
		return resultstest.Author(fmt.Sprintf("mail.o%d.example", n), fmt.Sprintf("o%d.example", n))
	}
	net := func(n byte) func(*policy.Facts) {
		return func(f *policy.Facts) { f.Client = netip.AddrFrom4([4]byte{198, 51, n, 1}) }
	}
	named := func(f *policy.Facts) { f.ClientName = "mx7.relay.example" }
	chain := func(f *policy.Facts) { f.ARC.Result, f.IsList = "pass", true }
	// Mail of an organization that has kept its signature on the way.
	kept := func(n int, change ...func(*policy.Facts)) policy.Facts {
		org := fmt.Sprintf("o%d.example", n)
		f := resultstest.Facts(100+n, append([]func(*policy.Facts){resultstest.Verdict(dmarc.Pass, dmarc.Reject), resultstest.Author(org, org), pass(org)}, change...)...)
		f.Authors[0].Verdict.AlignedDKIM = true
		return f
	}
	bySPFToo := func(f *policy.Facts) { f.Authors[0].Verdict.AlignedSPF = true }
	changed := func(f *policy.Facts) {
		f.DKIM = append(f.DKIM, policy.DKIM{Result: "fail", Domain: "bank.example", HeaderOK: true})
	}
	ofItsOwn := func(f *policy.Facts) {
		f.Authors[0].Domain, f.Authors[0].Org, f.DKIM[0].Domain = "stranger.example", "stranger.example", "stranger.example"
		f.SPF.Domain = "stranger.example"
	}
	thirdParty, network := survey.Source{Kind: "spf", Name: "stranger.example"}, survey.Source{Kind: "network", Name: "203.0.113.0/24"}
	tests := []struct {
		name   string
		facts  []policy.Facts
		source survey.Source
		want   string
	}{
		{"a forwarder of three who sign", []policy.Facts{resultstest.Facts(1), kept(1), kept(2), kept(3)}, thirdParty, "forwarder"},
		{"a list of three who sign", []policy.Facts{resultstest.Facts(1, pass("l.example")), kept(1, pass("l.example")), kept(2, pass("l.example")), kept(3, pass("l.example"))}, survey.Source{Kind: "dkim", Name: "l.example"}, "forwarder"},
		{"a named host, and three who sign", []policy.Facts{resultstest.Facts(1, none, named), kept(1, none, named), kept(2, none, named), kept(3, none, named)}, survey.Source{Kind: "name", Name: "relay.example"}, "forwarder"},
		{"a network, and three who sign", []policy.Facts{resultstest.Facts(1, none), kept(1, none), kept(2, none), kept(3, none)}, network, "forwarder"},
		{"two who sign", []policy.Facts{resultstest.Facts(1), kept(1), kept(2), kept(2)}, thirdParty, "direct"},
		{"three who send by themselves", []policy.Facts{resultstest.Facts(1, none), kept(1, none, bySPFToo), kept(2, none, bySPFToo), kept(3, none, bySPFToo)}, network, "direct"},
		{"two who sign, and its own mail", []policy.Facts{resultstest.Facts(1), kept(1), kept(2), kept(3, ofItsOwn, func(f *policy.Facts) { f.SPF.Result, f.ClientName = "none", "a.stranger.example" })}, thirdParty, "direct"},
		{"only the body was changed", []policy.Facts{resultstest.Facts(1, changed)}, thirdParty, "forwarder"},
		{"only the body was changed, in a network", []policy.Facts{resultstest.Facts(1, none, changed)}, network, "forwarder"},
		{"a signature of somebody else whose body was changed", []policy.Facts{resultstest.Facts(1, func(f *policy.Facts) { f.DKIM = []policy.DKIM{{Result: "fail", Domain: "x.example", HeaderOK: true}} })}, thirdParty, "direct"},
		{"three organizations that fail", []policy.Facts{resultstest.Facts(1, from(1)), resultstest.Facts(2, from(2)), resultstest.Facts(3, from(3))}, thirdParty, "neither"},
		{"the same with a chain and list fields", []policy.Facts{resultstest.Facts(1, from(1), chain), resultstest.Facts(2, from(2), chain), resultstest.Facts(3, from(3), chain)}, thirdParty, "neither"},
		{"one that is known", []policy.Facts{resultstest.Facts(1, known)}, thirdParty, "direct"},
		{"one that is known, with a chain and list fields", []policy.Facts{resultstest.Facts(1, none, known, chain)}, network, "direct"},
		{"one organization", []policy.Facts{resultstest.Facts(1), resultstest.Facts(2)}, thirdParty, "direct"},
		{"one organization from many networks", []policy.Facts{resultstest.Facts(1, net(1)), resultstest.Facts(2, net(2)), resultstest.Facts(3, net(3)), resultstest.Facts(4, net(4)), resultstest.Facts(5, net(5))}, thirdParty, "neither"},
		{"two organizations", []policy.Facts{resultstest.Facts(1, from(1)), resultstest.Facts(2, from(2))}, thirdParty, "neither"},
		{"a key in test mode vouches for nobody", []policy.Facts{resultstest.Facts(1, none, func(f *policy.Facts) { f.DKIM = []policy.DKIM{{Result: "pass", Domain: "x.example", Testing: true}} })}, network, "direct"},
		{"IPv6", []policy.Facts{resultstest.Facts(1, none, func(f *policy.Facts) { f.Client = netip.MustParseAddr("2001:db8:1:2::3") })}, survey.Source{Kind: "network", Name: "2001:db8:1::/48"}, "direct"},
		{"no address", []policy.Facts{resultstest.Facts(1, none, func(f *policy.Facts) { f.Client = netip.Addr{} })}, survey.Source{Kind: "network", Name: "no address"}, "direct"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := trying(profileSettings(t, "strict"))
			c.readiness = true
			var rows []results.Row
			failed := int64(0)
			for _, f := range tt.facts {
				rows = append(rows, resultstest.Decided(profileSettings(t, "monitor"), f))
				failed += one(f.Authors[0].Verdict.Status == dmarc.Fail)
			}
			ready := tallied(t, c, rows...).readiness
			e := ready.sources.lines[tt.source]
			if e == nil || len(ready.sources.lines) != 1 {
				t.Fatalf("sources %v; want %v alone", ready.sources.lines, tt.source)
			}
			got := "neither"
			switch {
			case ready.forwards(tt.source, &e.value):
				got = "forwarder"
			case ready.direct(tt.source, &e.value):
				got = "direct"
			}
			if got != tt.want || e.n != failed {
				t.Errorf("%v with %d messages is %s; want %s", tt.source, e.n, got, tt.want)
			}
		})
	}
}

func TestReadinessIgnoresForgedMail(t *testing.T) {
	c := trying(profileSettings(t, "strict"))
	c.readiness = true
	f := resultstest.Facts(1, func(f *policy.Facts) { f.Authors[0].SendsMail = policy.SendsMail{Queried: true, Missing: true} })
	ready := tallied(t, c, resultstest.Decided(profileSettings(t, "monitor"), f)).readiness
	if e := ready.evidence[policy.NoSuchDomain]; e == nil || e.Rejected != 1 || len(ready.sources.lines) != 0 {
		t.Errorf("evidence %v, sources %v; want the evidence and no source", ready.evidence, ready.sources.lines)
	}
}

func TestReadinessIsAboutWhatTheProfileMakesSeverer(t *testing.T) {
	monitor, strict := profileSettings(t, "monitor"), profileSettings(t, "strict")
	c := trying(strict)
	c.readiness = true
	refused := resultstest.Decided(strict, resultstest.Facts(1))
	refused.Decision.Action, refused.Settings = policy.Reject, "others"
	milder := resultstest.Decided(strict, resultstest.Facts(2, resultstest.Verdict(dmarc.Fail, dmarc.Quarantine)))
	milder.Decision.Action, milder.Decision.Disposition, milder.Settings = policy.Reject, policy.Rejected, "others"
	if got := tallied(t, c, refused, milder); got.Relaxed != 1 || len(got.readiness.sources.lines) != 0 {
		t.Errorf("whatIf() = %d relaxed, with sources %v; want 1 and none", got.Relaxed, got.readiness.sources.lines)
	}
	c.listeners["mta"].again = func(f policy.Facts) (policy.Decision, bool) {
		d := strict.Decide(f)
		d.Rule = "wanted"
		return d, true
	}
	if got := tallied(t, c, resultstest.Decided(monitor, resultstest.Facts(3))); got.readiness.ruled != 1 || len(got.readiness.sources.lines) != 0 {
		t.Errorf("a message that a rule refuses: %d ruled, with sources %v; want 1 and none", got.readiness.ruled, got.readiness.sources.lines)
	}
}

func TestWhatIfSaysWhatARCAloneRescues(t *testing.T) {
	sealed := func(f *policy.Facts) {
		f.ARC = policy.ARC{Result: "pass", Sealers: []policy.Sealer{{Domain: "sealer.example", Selector: "s", Recorded: []policy.Recorded{{Method: "dmarc", Result: "pass", Domain: "bank.example"}}}}}
	}
	alsoForwarded := func(f *policy.Facts) { f.SPF = policy.SPF{Result: "pass", Domain: "forwarder.example"} }
	missing := func(f *policy.Facts) { f.Authors[0].SendsMail = policy.SendsMail{Queried: true, Missing: true} }
	believing := func(c *config.Config) {
		c.Conformant.TrustedSealers = []string{"sealer.example"}
		c.Conformant.ForwarderDomains = []pattern.Domain{mustPattern(t, "forwarder.example")}
	}
	s := profileSettings(t, "conformant", believing)
	c := trying(s)
	c.readiness = true
	monitor := profileSettings(t, "monitor")
	rows := []results.Row{
		resultstest.Decided(monitor, resultstest.Facts(1, sealed, missing)), resultstest.Decided(monitor, resultstest.Facts(2, sealed, missing, alsoForwarded)),
		resultstest.Decided(monitor, resultstest.Facts(3, missing)), resultstest.Decided(monitor, resultstest.Facts(4, sealed)),
	}
	if got := tallied(t, c, rows...).readiness.byARC; got.Changed != 1 || got.Samples[0] != "q1" {
		t.Errorf("%d messages are rescued by ARC alone, such as %v; want one, q1", got.Changed, got.Samples)
	}
	before := make([]results.Row, len(rows))
	for i, r := range rows {
		before[i] = resultstest.Decided(s, r.Facts)
	}
	c = trying(s)
	c.listeners["mta"].noARC = true
	if got := tallied(t, c, before...); got.Tightened != 1 || got.Rejected != 1 || got.Different != 0 || got.Reproduced != 0 {
		t.Errorf("without ARC %d are tightened, %d rejected, %d not reproduced; want 1, 1, 0", got.Tightened, got.Rejected, got.Different)
	}
}

func mustPattern(t *testing.T, s string) pattern.Domain {
	t.Helper()
	p, err := pattern.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
