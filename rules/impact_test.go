package rules

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/config"
	"dmarcgate/internal/patterntest"
	"dmarcgate/internal/resultstest"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
	"dmarcgate/results"
	"dmarcgate/site"
	"dmarcgate/term"
)

// meteredSite has a listener for each profile. Some mail comes from a network of
// forwarders.
func meteredSite(t *testing.T) site.Site {
	t.Helper()
	text := fmt.Sprintf("authserv_id = \"mx.receiver.example\"\nstate_dir = %q\n[conformant]\nforwarder_networks = [\"192.0.2.0/25\"]\n", t.TempDir())
	for _, profile := range []string{"monitor", "conformant", "strict"} {
		text += fmt.Sprintf("[[listener]]\nname = %q\naddress = \"unix:/run/%s.sock\"\nprofile = %q\nquarantine = \"hold\"\n", profile, profile, profile)
	}
	cfg, err := config.Parse("dmarcgate.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return site.Site{Config: cfg}
}

var domains = patterntest.Domains

func randomRules(rng *rand.Rand) (list []policy.Rule) {
	actions := []policy.RuleAction{policy.RuleAccept, policy.RuleQuarantine, policy.RuleReject, policy.RuleTempfail, policy.RuleAsPublished, policy.RuleSkipReport}
	for i := range 1 + rng.IntN(5) {
		r := policy.Rule{
			ID: fmt.Sprint("r", i), Owner: "x", Comment: "x", Created: time.Unix(0, 0), Mode: policy.Mode(rng.IntN(3)), Action: pick(rng, actions...),
			Reason: policy.LocalPolicy, Priority: rng.IntN(3), Sample: pick(rng, uint8(0), 0, 50),
		}
		m := &r.Match
		if r.Action == policy.RuleSkipReport { // must say whose reports
			m.Author = domains("bank.example", "other.example")
		}
		for range 1 + rng.IntN(2) {
			switch rng.IntN(8) {
			case 0, 1:
				m.DKIMPass = domains(pick(rng, "a.example", "b.example"))
			case 2:
				m.Author = domains(pick(rng, "bank.example", "other.example"))
			case 3:
				m.Client = []pattern.Network{pattern.NetworkOf(netip.MustParsePrefix(pick(rng, "192.0.2.0/26", "192.0.0.0/16")))}
			case 4:
				m.IPRev = domains("mx.alumni.example")
			case 5:
				m.RcptDomain = domains(pick(rng, "receiver.example", "b.example"))
			case 6:
				m.Not.ListID = domains("list.alumni.example")
			case 7:
				m.SPFPass = domains("alumni.example")
			}
		}
		if r.Action == policy.RuleAccept {
			r.Expires = time.Now().AddDate(1, 0, 0)
		}
		list = append(list, r)
	}
	return list
}

// randomFacts are those of a message with all facts.
func randomFacts(rng *rand.Rand) policy.Facts {
	row := resultstest.Forwarded(resultstest.SignedBy(pick(rng, "a.example", "b.example", "c.example")))
	if rng.IntN(3) == 0 {
		resultstest.SPFOf("alumni.example")(&row)
	}
	if rng.IntN(3) == 0 {
		resultstest.Nameless(&row)
	}
	f := row.Facts
	f.Authors[0].Verdict.Policy = pick(rng, dmarc.None, dmarc.Quarantine, dmarc.Reject)
	f.Listener = pick(rng, "monitor", "conformant", "strict")
	f.Client = netip.AddrFrom4([4]byte{192, 0, 2, byte(rng.IntN(256))})
	f.Seed = 1 + rng.Uint64N(1000)
	f.Recipients = pick(rng, []string{"receiver.example"}, []string{"receiver.example", "b.example"})
	f.ListID = pick(rng, "", "list.alumni.example")
	if rng.IntN(4) == 0 {
		f.Pressed = []string{policy.PressedSPF}
	}
	return f
}

// shortened takes facts away, as privacy and time do.
func shortened(f policy.Facts, lacks policy.MissingFacts) policy.Facts {
	f.Missing = lacks
	if lacks&policy.MissingClient != 0 {
		f.Client = netip.MustParseAddr("192.0.2.0")
	}
	if lacks&policy.MissingClientName != 0 {
		f.ClientName = ""
	}
	if lacks&policy.MissingRecipients != 0 {
		f.Recipients = nil
	}
	if lacks&policy.MissingHeader != 0 {
		f.ListID = ""
	}
	if lacks&policy.MissingSeed != 0 {
		f.Seed = 0
	}
	return f
}

// The impact of a rule is the difference between two decisions about the facts as
// they were: without the rule and with it. Facts that are missing may keep it from
// being known, and never make it another one.
func TestImpactIsTheDifferenceOfDecisionsWithoutAndWithTheRule(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	in := meteredSite(t)
	seen := make(map[string]int)
	for range 1500 {
		list := randomRules(rng)
		set, err := policy.NewRules(list)
		if err != nil {
			t.Fatal(err)
		}
		m, err := newMeter(in, set, list)
		if err != nil {
			t.Fatal(err)
		}
		facts := randomFacts(rng)
		lacks := pick(rng, 0, policy.MissingClient, policy.MissingClientName, policy.MissingRecipients, policy.MissingHeader, policy.MissingSeed, policy.MissingClient|policy.MissingSeed, policy.MissingSignatures)
		stored := shortened(facts, lacks)
		m.add(&stored)
		for i, r := range list {
			n := m.impacts[r.ID]
			switch {
			case n.Unsure > 0 && lacks == 0:
				t.Fatalf("%s: cannot tell, though nothing is missing\n%+v\n%+v", r.ID, list, facts)
			case n.Unsure > 0:
				seen["unsure"]++
			case len(n.InSet) > 0 && lacks != 0:
				seen["changed without all facts"]++
			case len(n.InSet) > 0:
				seen["changed"]++
			}
			compareImpact(t, in, n, list, i, facts)
		}
	}
	t.Log(seen)
	for _, what := range []string{"unsure", "changed", "changed without all facts"} {
		if seen[what] < 50 {
			t.Errorf("%d cases are %s; want at least 50", seen[what], what)
		}
	}
}

func TestImpactShowsProgress(t *testing.T) {
	m, err := newMeter(meteredSite(t), policy.Rules{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	now := time.Unix(1000, 0)
	m.progress = &term.Progress{Out: &shown, Now: func() time.Time { now = now.Add(time.Second); return now }}
	if err := m.scan(t.Context(), fourRows{}, results.Span{}); err != nil {
		t.Fatal(err)
	}
	if want := "\r3 messages\r4 messages\r          \r"; shown.String() != want {
		t.Errorf("scan shows %q; want %q", shown.String(), want)
	}
}

// fourRows is a store with four rows, and nothing else.
type fourRows struct{ results.Queries }

func (fourRows) Scan(_ context.Context, _ results.Span, f func(results.Row) error) error {
	for range 4 {
		if err := f(results.Row{}); err != nil {
			return err
		}
	}
	return nil
}

// compareImpact decides about facts without rule i of a list and with it.
func compareImpact(t *testing.T, in site.Site, n *impact, list []policy.Rule, i int, f policy.Facts) {
	t.Helper()
	decide := func(rules []policy.Rule) policy.Decision {
		set, err := policy.NewRules(rules)
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(in.Config.Listeners, func(l config.Listener) bool { return l.Name == f.Listener })
		return trialSettings(in, in.Config.Listeners[at], set).Decide(f)
	}
	as := func(rules []policy.Rule, i int, mode policy.Mode) []policy.Rule {
		rules = slices.Clone(rules)
		rules[i].Mode = mode
		return rules
	}
	alone := list[i : i+1]
	if matches := len(decide(as(alone, 0, policy.Shadow)).Shadow) > 0; n.Unsure == 0 && matches != (n.Matched > 0) {
		t.Fatalf("%s: matched %d; want that it matches: %v\n%+v\n%+v", n.Rule, n.Matched, matches, list, f)
	}
	for _, part := range []struct {
		name    string
		got     []*change
		was, is policy.Decision
	}{
		{"alone", n.Alone, decide(as(alone, 0, policy.Off)), decide(as(alone, 0, policy.Enforce))},
		{"in the set", n.InSet, decide(as(list, i, policy.Off)), decide(as(list, i, policy.Enforce))},
	} {
		from, to := answer(part.was), answer(part.is)
		switch {
		case len(part.got) == 0 && (from == to || n.Unsure > 0):
		case len(part.got) != 1 || from == to || part.got[0].From != from || part.got[0].To != to || part.got[0].Messages != 1:
			t.Fatalf("%s %s: %+v; want %s to %s\n%+v\n%+v", n.Rule, part.name, part.got, from, to, list, f)
		}
	}
}
