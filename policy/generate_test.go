package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"dmarcgate/policy/index"
	"dmarcgate/policy/pattern"
	"dmarcgate/scope"
)

// Words of generated messages and rules, so few that they meet.
var (
	someDomains = []string{"bank.example", "news.bank.example", "shop.example", "forwarder.example", "a.lists.example", "lists.example", "stranger.example"}
	someClients = []string{"192.0.2.1", "192.0.2.200", "203.0.113.1", "2001:db8::1", "2001:db8:0:1::1", "2001:db8:1::1"}
	someNets    = prefixes("192.0.2.0/24", "192.0.2.0/25", "192.0.2.1/32", "192.0.0.0/16", "203.0.113.0/26", "2001:db8::/32", "2001:db8::/48", "2001:db8::/64", "2001:db8:1::1/128")
)

// known is facts with everything that rules can look at.
func (m maker) known() Facts {
	f := m.facts()
	f.Version, f.Seed = FactsVersion, 1+m.Uint64N(1<<63)
	f.Client = netip.Addr{}
	if m.yes(90) {
		f.Client = netip.MustParseAddr(pick(m, someClients...))
	}
	f.ClientName, f.Helo, f.MailFrom, f.ListID = m.maybe(), m.maybe(), m.maybe(), m.maybe()
	f.IsList, f.Automatic, f.TLS, f.EarlierSPFFail = m.yes(50), m.yes(50), m.yes(50), m.yes(50)
	f.Recipients = nil
	for range m.IntN(4) {
		f.Recipients = append(f.Recipients, pick(m, someDomains...))
	}
	if m.yes(20) {
		f.Pressed = pick(m, []string{PressedSPF}, []string{PressedDKIM, PressedARC}, []string{PressedSendsMail}, []string{PressedSPF, PressedHELO, PressedDKIM, PressedSendsMail})
	}
	for i := range f.Authors {
		a := &f.Authors[i]
		a.PolicyDomain = pick(m, "", a.Domain, a.Org, "example")
		a.History.Messages = m.IntN(4) * 50
	}
	return f
}

// maybe is a domain that may not be known.
func (m maker) maybe() string { return pick(m, append(someDomains, "")...) }

// someMaps are the same in all rules of a test, as map files are.
type someMaps struct {
	domains []*pattern.DomainMap
	nets    []*pattern.NetMap
}

func (m maker) maps() someMaps {
	var out someMaps
	for i := range 3 {
		name := fmt.Sprintf("maps/%d", i)
		out.domains = append(out.domains, pattern.NewDomainMap(name, m.patterns(someMaps{}, true)))
		out.nets = append(out.nets, pattern.NewNetMap(name, []netip.Prefix{pick(m, someNets...), pick(m, someNets...)}))
	}
	return out
}

func (m maker) patterns(lists someMaps, orgs bool) []pattern.Domain {
	var out []pattern.Domain
	for range 1 + m.IntN(3) {
		p := pattern.NewDomain(pick(m, pattern.Exact, pattern.Exact, pattern.Below), pick(m, someDomains...))
		switch {
		case m.yes(20) && len(lists.domains) > 0:
			p = pick(m, lists.domains...).Pattern()
		case m.yes(20) && orgs:
			p = pattern.NewDomain(pattern.Organization, p.Name())
		case m.yes(10):
			p = pattern.NewDomain(pattern.Below, "example")
		}
		out = append(out, p)
	}
	return out
}

func (m maker) networks(lists someMaps) []pattern.Network {
	var out []pattern.Network
	for range 1 + m.IntN(3) {
		p := pattern.NetworkOf(pick(m, someNets...))
		if m.yes(20) {
			p = pick(m, lists.nets...).Pattern()
		}
		out = append(out, p)
	}
	return out
}

// match has each key with some chance.
func (m maker) match(lists someMaps) Match {
	var out Match
	const share = 8
	domains := func(orgs bool, keys ...*[]pattern.Domain) {
		for _, k := range keys {
			if m.yes(share) {
				*k = m.patterns(lists, orgs)
			}
		}
	}
	domains(false, &out.IPRev, &out.SPFPass, &out.DKIMPass, &out.ARCPass, &out.HELO, &out.MailFrom, &out.ListID, &out.RcptDomain)
	domains(true, &out.Author, &out.PolicyDomain, &out.Author)
	domains(false, &out.Not.IPRev, &out.Not.SPFPass, &out.Not.DKIMPass, &out.Not.HELO, &out.Not.MailFrom, &out.Not.ListID, &out.Not.RcptDomain)
	domains(true, &out.Not.Author, &out.Not.PolicyDomain)
	for _, k := range []*[]pattern.Network{&out.Client, &out.Client, &out.Not.Client} {
		if m.yes(share) {
			*k = m.networks(lists)
		}
	}
	for _, k := range []**bool{&out.TLS, &out.NullPath, &out.IsList, &out.Automatic, &out.BodyChanged, &out.Authenticated} {
		if m.yes(share) {
			v := m.yes(50)
			*k = &v
		}
	}
	for _, k := range []**int{&out.HistoryMin, &out.HistoryMax} {
		if m.yes(share) {
			v := m.IntN(200)
			*k = &v
		}
	}
	m.words(&out)
	return out
}

func (m maker) words(out *Match) {
	if m.yes(10) {
		out.Listener = pick(m, []string{"mta"}, []string{"x", "y"}, []string{"mta", "x"})
	}
	if m.yes(50) {
		out.Result = pick(m, []string{"fail"}, []string{"none", "temperror"}, []string{"fail", "permerror"}, ruleResults)
	}
	if m.yes(10) {
		out.SPF = pick(m, []string{"fail", "softfail"}, []string{"none"}, []string{"pass"}, []string{"temperror", "fail"})
	}
	if m.yes(20) {
		out.Result = []string{"pass"}
		if m.yes(40) {
			out.PassBy = pick(m, []string{"spf"}, []string{"dkim", "both"})
		}
		if m.yes(40) {
			v := m.yes(50)
			out.EarlierSPFFail = &v
		}
	}
	if m.yes(10) {
		out.Requested = pick(m, []string{"reject"}, []string{"none", "quarantine"})
	}
	if m.yes(10) {
		out.FromField = pick(m, []From{FromOneMailbox}, []From{FromSeveralDomains, FromUnparsable})
	}
	if m.yes(10) {
		out.Hours = pick(m, []pattern.Hours{{Begin: 22 * 60, End: 6 * 60}}, []pattern.Hours{{Begin: 0, End: 14 * 60}, {Begin: 15 * 60, End: 24 * 60}})
	}
	if m.yes(10) {
		out.Weekdays = pick(m, []pattern.Weekday{pattern.Weekday(time.Saturday)}, []pattern.Weekday{pattern.Weekday(time.Sunday), pattern.Weekday(time.Saturday)})
	}
	if out.Hours != nil || out.Weekdays != nil {
		out.TZ = pick(m, zones...)
	}
}

// zones are those of generated rules.
var zones = []*pattern.Zone{nil, nil, berlin(), {}}

func (m maker) rule(id int, lists someMaps) Rule {
	return Rule{
		ID: fmt.Sprintf("r%03d", id), Mode: pick(m, Off, Shadow, Enforce, Enforce), Priority: m.IntN(5), Action: RuleAction(m.IntN(len(ruleActions))),
		Reason: pick(m, append(ruleReasons, "")...), ReportComment: pick(m, "", "as agreed"), Sample: pick(m, uint8(0), 0, 30, 70, 100),
		Expires: pick(m, time.Time{}, time.Time{}, noon.Add(8*time.Hour)), Match: m.match(lists),
	}
}

func (m maker) rules(n int) []Rule {
	lists := m.maps()
	var out []Rule
	for i := range n {
		out = append(out, m.rule(i, lists))
	}
	return out
}

// ruled calls f with generated settings that have generated rules, checked or
// not, and messages of which everything is known.
func ruled(t *testing.T, f func(maker, Settings, Facts)) {
	t.Helper()
	m := newMaker()
	for range generated(t) {
		s := m.settings(t)
		s.Rules = compile(m.rules(pick(m, 1, 5, 5, 20, 65))) // more than one word of index.Bits has
		if m.yes(50) {
			s.TrustedForwarders.Networks = prefixes("192.0.2.0/25", "2001:db8::/64")
		}
		s.EnforceShare = pick(m, uint8(100), 100, 50, 0)
		f(m, s, m.known())
		if t.Failed() {
			return
		}
	}
}

// unindexed is rs, each of which is tried on every message.
func unindexed(rs Rules) Rules {
	keys := make([]*index.Keys, len(rs.list))
	for i, r := range rs.list {
		if r.Mode != Off {
			keys[i] = &index.Keys{}
		}
	}
	rs.index = index.New(keys, domainKeys)
	return rs
}

func TestRulesIndexFindsEveryMatch(t *testing.T) {
	matched := 0
	ruled(t, func(m maker, s Settings, f Facts) {
		f = m.forget(f)
		plain := s
		plain.Rules = unindexed(s.Rules)
		for _, what := range []Suppose{0, SupposeRules} {
			f := f.Supposing(what)
			got, want := s.Decide(f), plain.Decide(f)
			if text(got) != text(want) {
				t.Errorf("Decide(%s) supposing %d = %s; want %s, as when every rule of %s is tried", text(f), what, text(got), text(want), text(s.Rules.List()))
			}
			matched += min(1, len(want.Rule)+len(want.Unreported)+len(want.Shadow))
		}
	})
	if share := generated(t) / 2; matched < share {
		t.Errorf("rules match %d readings; want at least %d, or the property says nothing", matched, share)
	}
}

func TestShadowRuleChangesNoDecision(t *testing.T) {
	named := 0
	ruled(t, func(m maker, s Settings, f Facts) {
		more := s
		extra := m.rule(0, m.maps())
		extra.Mode, extra.ID = Shadow, pick(m, "a", "r010a", "z")
		if m.yes(50) {
			extra.Match = Match{Result: ruleResults}
		}
		more.Rules = compile(append(s.Rules.List(), extra))
		want, got := s.Decide(f), more.Decide(f)
		for _, shadow := range got.Shadow {
			if shadow.Rule == extra.ID {
				named++
			}
		}
		want.Shadow, got.Shadow = nil, nil
		if text(got) != text(want) {
			t.Errorf("Decide(%s) with the rule %s in shadow = %s; want %s", text(f), text(extra), text(got), text(want))
		}
	})
	if share := generated(t) / 10; named < share {
		t.Errorf("the rule in shadow matches %d messages; want at least %d, or the property says nothing", named, share)
	}
}

// forget takes some facts away, as time and settings of privacy do.
func (m maker) forget(f Facts) Facts {
	if m.yes(30) {
		return f
	}
	f.Missing = MissingFacts(m.IntN(1 << 6))
	if m.yes(50) {
		f.Missing = 1 << m.IntN(6)
	}
	if m.yes(10) {
		f.Version = 0 // as before such facts were recorded
	}
	return missingCases(f)
}

// missingCases takes away what f.Lacks says.
func missingCases(f Facts) Facts {
	has := func(l MissingFacts) bool { return f.AllMissing()&l != 0 }
	if has(MissingClient) && f.Client.IsValid() {
		f.Client = scope.ClientNetwork(f.Client).Addr()
	}
	if has(MissingClientName) {
		f.ClientName = ""
	}
	if has(MissingRecipients) {
		f.Recipients = nil
	}
	if has(MissingHeader) {
		f.IsList, f.ListID, f.Automatic, f.TLS, f.EarlierSPFFail = false, "", false, false, false
	}
	if has(MissingSeed) {
		f.Seed = 0
	}
	if has(MissingHistory) {
		f.Authors = slices.Clone(f.Authors)
		for i := range f.Authors {
			if !EvidenceMatters(f.Authors[i].Verdict) {
				f.Authors[i].History = History{}
			}
		}
	}
	return f
}
