package lintsound

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"dmarcgate/internal/patterntest"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// maker makes sets of rules from few words, so that rules and messages meet.
type maker struct {
	*rand.Rand
	domains, orgs []*pattern.DomainMap
	nets          []*pattern.NetMap
}

func pick[T any](m *maker, from ...T) T { return from[m.IntN(len(from))] }

func (m *maker) yes(percent int) bool { return m.IntN(100) < percent }

func newMaker(seed uint64) *maker {
	m := &maker{Rand: rand.New(rand.NewPCG(seed, 18))}
	for i, list := range [][]string{{partner, "." + partner}, {partner, mailbox}, {bank, shop}, {"." + bulk, gateway}, {corp, "." + bank}} {
		m.domains = append(m.domains, pattern.NewDomainMap(fmt.Sprintf("maps/%d", i), patterns(list...)))
	}
	m.orgs = []*pattern.DomainMap{pattern.NewDomainMap("maps/orgs", patterns("org:"+bank, shop))}
	m.nets = []*pattern.NetMap{
		pattern.NewNetMap("maps/partner", []netip.Prefix{netip.MustParsePrefix("192.0.2.0/25")}),
		pattern.NewNetMap("maps/shared", []netip.Prefix{netip.MustParsePrefix("192.0.2.0/25"), netip.MustParsePrefix("209.85.220.0/24")}),
	}
	return m
}

var patterns = patterntest.Domains

// some is a list of patterns of names, or a map of them.
func (m *maker) some(orgs bool, from ...string) []pattern.Domain {
	var out []pattern.Domain
	for range pick(m, 1, 1, 2) {
		form := pick(m, "", "", ".")
		if orgs && m.yes(25) {
			form = "org:"
		}
		p := patterns(form + pick(m, from...))[0]
		switch {
		case orgs && m.yes(5):
			p = m.orgs[0].Pattern()
		case m.yes(12):
			p = pick(m, m.domains...).Pattern()
		}
		out = append(out, p)
	}
	return out
}

func (m *maker) networks() []pattern.Network {
	var out []pattern.Network
	for range pick(m, 1, 1, 2) {
		n := pattern.NetworkOf(netip.MustParsePrefix(pick(m, "192.0.2.0/24", "192.0.2.1/32", "192.0.2.0/24", "209.85.220.0/24", "167.89.0.0/16", "128.0.0.0/1", "2000::/3")))
		if m.yes(15) {
			n = pick(m, m.nets...).Pattern()
		}
		out = append(out, n)
	}
	return out
}

// what rules name: parties by which mail comes, and those whom it is about.
var (
	parties  = []string{partner, partner, relay, mailbox, bulk, gateway, "google.com"}
	subjects = []string{bank, bank, news, shop, corp, partner}
	places   = []string{corp, branch}
)

// keys puts one key each into a match.
var keys = []func(*maker, *policy.Match){
	func(m *maker, x *policy.Match) { x.Client = m.networks() },
	func(m *maker, x *policy.Match) { x.IPRev = m.some(false, parties...) },
	func(m *maker, x *policy.Match) { x.SPFPass = m.some(false, parties...) },
	func(m *maker, x *policy.Match) { x.DKIMPass = m.some(false, parties...) },
	func(m *maker, x *policy.Match) { x.ARCPass = m.some(false, parties...) },
	func(m *maker, x *policy.Match) { x.Listener = []string{pick(m, "mx", "out")} },
	func(m *maker, x *policy.Match) { x.TLS = m.flag() },
	func(m *maker, x *policy.Match) { x.HELO = m.some(false, parties...) },
	func(m *maker, x *policy.Match) { x.MailFrom = m.some(false, append(subjects, parties...)...) },
	func(m *maker, x *policy.Match) { x.NullPath = m.flag() },
	func(m *maker, x *policy.Match) {
		x.Hours = []pattern.Hours{pick(m, pattern.Hours{Begin: 22 * 60, End: 6 * 60}, pattern.Hours{Begin: 8 * 60, End: 18 * 60})}
		x.TZ = m.zone()
	},
	func(m *maker, x *policy.Match) {
		x.Weekdays = []pattern.Weekday{pattern.Weekday(pick(m, time.Monday, time.Saturday))}
		x.TZ = m.zone()
	},
	func(m *maker, x *policy.Match) {
		x.SPF = pick(m, []string{"fail"}, []string{"fail", "softfail"}, []string{"none"}, []string{"pass"}, []string{"none", "fail", "softfail", "neutral", "permerror"}, []string{"temperror"})
	},
	func(m *maker, x *policy.Match) { x.Authenticated = m.flag() },
	func(m *maker, x *policy.Match) { m.pass(x) },
	func(m *maker, x *policy.Match) { m.pass(x) },
	func(m *maker, x *policy.Match) { x.ListID = m.some(false, parties...) },
	func(m *maker, x *policy.Match) { x.IsList = m.flag() },
	func(m *maker, x *policy.Match) { x.Automatic = m.flag() },
	func(m *maker, x *policy.Match) { x.Author = m.some(true, subjects...) },
	func(m *maker, x *policy.Match) { x.PolicyDomain = m.some(true, subjects...) },
	func(m *maker, x *policy.Match) {
		x.Result = pick(m, []string{"fail"}, []string{"none"}, []string{"permerror"}, []string{"fail", "none"}, []string{"fail", "permerror"}, []string{"none", "permerror", "temperror"}, []string{"fail", "none", "permerror", "temperror"}, []string{"temperror"})
	},
	func(m *maker, x *policy.Match) {
		x.Requested = pick(m, []string{"reject"}, []string{"none"}, []string{"none", "quarantine"})
	},
	func(m *maker, x *policy.Match) {
		x.FromField = pick(m, []policy.From{policy.FromOneMailbox}, []policy.From{policy.FromSeveralDomains}, []policy.From{policy.FromSeveralFields, policy.FromMissing}, []policy.From{policy.FromOneMailbox, policy.FromUnparsable}, []policy.From{policy.FromTruncated})
	},
	func(m *maker, x *policy.Match) { x.BodyChanged = m.flag() },
	func(m *maker, x *policy.Match) { x.HistoryMin = pick(m, number(1), number(100)) },
	func(m *maker, x *policy.Match) { x.HistoryMax = pick(m, number(100), number(120)) },
	func(m *maker, x *policy.Match) { x.Author, x.PolicyDomain = patterns(news), patterns(bank) },
	func(m *maker, x *policy.Match) { x.RcptDomain = m.some(false, places...) },
	func(m *maker, x *policy.Match) { x.Not.Client = m.networks() },
	func(m *maker, x *policy.Match) { x.Not.IPRev = m.some(false, parties...) },
	func(m *maker, x *policy.Match) { x.Not.SPFPass = m.some(false, parties...) },
	func(m *maker, x *policy.Match) { x.Not.DKIMPass = m.some(false, parties...) },
	func(m *maker, x *policy.Match) { x.Not.HELO = m.some(false, parties...) },
	func(m *maker, x *policy.Match) { x.Not.MailFrom = m.some(false, append(subjects, parties...)...) },
	func(m *maker, x *policy.Match) { x.Not.ListID = m.some(false, parties...) },
	func(m *maker, x *policy.Match) { x.Not.Author = m.some(true, subjects...) },
	func(m *maker, x *policy.Match) { x.Not.PolicyDomain = m.some(true, subjects...) },
	func(m *maker, x *policy.Match) { x.Not.RcptDomain = m.some(false, places...) },
}

// zone is a time zone of hours or weekdays, or none.
func (m *maker) zone() *pattern.Zone {
	name := pick(m, "", "", "Asia/Tokyo", "America/New_York")
	if name == "" {
		return nil
	}
	var z pattern.Zone
	if err := z.UnmarshalText([]byte(name)); err != nil {
		panic(err)
	}
	return &z
}

// pass makes a match one about mail that passes.
func (m *maker) pass(x *policy.Match) {
	x.Result = []string{"pass"}
	if m.yes(40) {
		x.PassBy = pick(m, []string{"spf"}, []string{"dkim"}, []string{"dkim", "both"})
	}
	if m.yes(40) {
		x.EarlierSPFFail = m.flag()
	}
}

// fit takes keys away that would be an error beside others, or another action for
// mail that passes.
func (m *maker) fit(r *policy.Rule) {
	x := &r.Match
	switch lets := r.Action == policy.RuleAccept || r.Action == policy.RuleSkipReport; {
	case slices.Contains(x.Result, "pass"):
		x.Requested, x.ARCPass, x.HistoryMin, x.HistoryMax = nil, nil, nil, nil
		if lets || r.Action == policy.RuleAsPublished {
			r.Action = pick(m, policy.RuleTag, policy.RuleQuarantine, policy.RuleTempfail, policy.RuleReject)
		}
		if r.Action == policy.RuleReject {
			m.anchor(x)
			x.ARCPass = nil
		}
	default:
		x.PassBy, x.EarlierSPFFail = nil, nil // the result was set again
		if lets {
			x.SPF, x.Authenticated = nil, nil
		}
	}
	if x.Hours == nil && x.Weekdays == nil {
		x.TZ = nil
	}
	if (r.Action == policy.RuleReject || r.Action == policy.RuleTempfail) && m.yes(30) {
		r.Text = "refused by DMARC policy"
	}
}

func (m *maker) flag() *bool { v := m.yes(60); return &v }

func number(n int) *int { return &n }

// anchor limits a match to one named party, so that there are rules for which
// lint has nothing to say.
func (m *maker) anchor(x *policy.Match) {
	switch m.IntN(5) {
	case 0:
		x.Client = []pattern.Network{pattern.NetworkOf(netip.MustParsePrefix("192.0.2.0/24"))}
	case 1:
		x.Client = []pattern.Network{m.nets[0].Pattern()}
	case 2:
		x.DKIMPass = patterns(partner)
	case 3:
		x.SPFPass = patterns(partner, "."+partner)
	case 4:
		x.ARCPass = patterns(partner)
	}
}

func (m *maker) rule(i int) policy.Rule {
	r := policy.Rule{
		ID: fmt.Sprintf("r%d", i), Owner: "o", Comment: "c", Created: m.created(), Mode: pick(m, policy.Enforce, policy.Enforce, policy.Enforce, policy.Enforce, policy.Shadow, policy.Off),
		Priority: m.IntN(4), Action: pick(m, policy.RuleAsPublished, policy.RuleAccept, policy.RuleAccept, policy.RuleQuarantine, policy.RuleTag, policy.RuleTempfail, policy.RuleReject, policy.RuleReject, policy.RuleSkipReport),
		Reason: policy.LocalPolicy, Sample: pick(m, uint8(0), 0, 0, 0, 0, 30, 70),
		Expires: pick(m, time.Time{}, today.Add(90*24*time.Hour), today.Add(90*24*time.Hour), today.Add(20*24*time.Hour), today.Add(20*24*time.Hour+390*time.Minute), today.Add(-24*time.Hour)),
	}
	for range pick(m, 1, 1, 2, 2, 3, 4) {
		keys[m.IntN(len(keys))](m, &r.Match)
	}
	if milder := r.Action != policy.RuleReject && r.Action != policy.RuleTempfail; milder && m.yes(60) {
		m.anchor(&r.Match)
	}
	m.fit(&r)
	return r
}

// created is a day, mostly some days ago; of some rules with a time of day, and of a few
// in the future, which lint refuses.
func (m *maker) created() time.Time {
	return today.Add(time.Duration(pick(m, -72, -72, -72, -72, -60, -1000, 7, 72)) * time.Hour)
}

// set is rules of which each is a rule by itself; of some, the first stands before
// one that refuses.
func (m *maker) set() []policy.Rule {
	var out []policy.Rule
	over, pass := m.yes(10), m.yes(6)
	for n := pick(m, 1, 1, 2, 2, 3, 4); len(out) < n; {
		r := m.rule(len(out))
		switch {
		case over && len(out) == 0:
			n = max(n, 2)
			r.Action, r.Priority, r.Mode = pick(m, policy.RuleAsPublished, policy.RuleQuarantine, policy.RuleTempfail), 3, policy.Enforce
		case over && len(out) == 1:
			r.Action, r.Priority, r.Mode, r.Sample = policy.RuleReject, 1, policy.Enforce, 0
		}
		if pass {
			m.pass(&r.Match)
			m.fit(&r)
		}
		if len(r.Faults()) == 0 {
			out = append(out, r)
		}
	}
	return out
}
