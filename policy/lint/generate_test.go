package lint

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// generated is how many pairs of rules a property is tried on.
func generated(t *testing.T) int {
	t.Helper()
	const base = 20_000
	text := os.Getenv("DMARCGATE_SCALE")
	if text == "" {
		return base
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("DMARCGATE_SCALE = %q; want a whole number from 1 up", text)
	}
	return max(base, n*2000)
}

// maker makes rules and messages of few words, so that they meet.
type maker struct {
	*rand.Rand
	domains []*pattern.DomainMap
	nets    []*pattern.NetMap
}

// Words of generated messages and rules.
var (
	someDomains = []string{"bank.example", "news.bank.example", "shop.example", "forwarder.example", "a.lists.example", "lists.example", "stranger.example"}
	someClients = []string{"192.0.2.1", "192.0.2.200", "203.0.113.1", "2001:db8::1", "2001:db8:0:1::1", "2001:db8:1::1"}
	someNets    = []string{"192.0.2.0/24", "192.0.2.0/25", "192.0.2.1/32", "192.0.0.0/16", "203.0.113.0/26", "2001:db8::/32", "2001:db8::/48", "2001:db8::/64", "2001:db8:1::1/128"}
)

func pick[T any](m *maker, from ...T) T { return from[m.IntN(len(from))] }

func (m *maker) yes(percent int) bool { return m.IntN(100) < percent }

// newMaker makes the maps first: they are the same in all rules of a test, as map
// files are.
func newMaker(seed uint64) *maker {
	m := &maker{Rand: rand.New(rand.NewPCG(seed, 9989))}
	for i := range 3 {
		name := fmt.Sprintf("maps/%d", i)
		m.nets = append(m.nets, pattern.NewNetMap(name, []netip.Prefix{netip.MustParsePrefix(pick(m, someNets...)), netip.MustParsePrefix(pick(m, someNets...))}))
		m.domains = append(m.domains, pattern.NewDomainMap(name, m.patterns(true)))
	}
	return m
}

func (m *maker) patterns(orgs bool) []pattern.Domain {
	var out []pattern.Domain
	for range 1 + m.IntN(3) {
		p := pattern.NewDomain(pick(m, pattern.Exact, pattern.Exact, pattern.Below), pick(m, someDomains...))
		switch {
		case m.yes(20) && len(m.domains) == 3:
			p = pick(m, m.domains...).Pattern()
		case m.yes(20) && orgs:
			p = pattern.NewDomain(pattern.Organization, pick(m, someDomains...))
		case m.yes(10):
			p = pattern.NewDomain(pattern.Below, "example")
		}
		out = append(out, p)
	}
	return out
}

func (m *maker) networks() []pattern.Network {
	var out []pattern.Network
	for range 1 + m.IntN(3) {
		n := pattern.NetworkOf(netip.MustParsePrefix(pick(m, someNets...)))
		if m.yes(20) {
			n = pick(m, m.nets...).Pattern()
		}
		out = append(out, n)
	}
	return out
}

// match has each key with some chance.
func (m *maker) match() policy.Match {
	var out policy.Match
	const share = 8
	domains := func(orgs bool, keys ...*[]pattern.Domain) {
		for _, k := range keys {
			if m.yes(share) {
				*k = m.patterns(orgs)
			}
		}
	}
	not := &out.Not
	domains(false, &out.IPRev, &out.SPFPass, &out.DKIMPass, &out.ARCPass, &out.HELO, &out.MailFrom, &out.ListID, &out.RcptDomain)
	domains(true, &out.Author, &out.PolicyDomain, &out.Author)
	domains(false, &not.IPRev, &not.SPFPass, &not.DKIMPass, &not.HELO, &not.MailFrom, &not.ListID, &not.RcptDomain)
	domains(true, &not.Author, &not.PolicyDomain)
	for _, k := range []*[]pattern.Network{&out.Client, &out.Client, &not.Client} {
		if m.yes(share) {
			*k = m.networks()
		}
	}
	for _, k := range []**bool{&out.TLS, &out.NullPath, &out.IsList, &out.Automatic, &out.BodyChanged, &out.Authenticated} {
		if m.yes(share) {
			*k = ptr(m.yes(50))
		}
	}
	for _, k := range []**int{&out.HistoryMin, &out.HistoryMax} {
		if m.yes(share) {
			*k = ptr(m.IntN(200))
		}
	}
	m.words(&out)
	return out
}

func (m *maker) words(out *policy.Match) {
	if m.yes(10) {
		out.Listener = pick(m, []string{"mta"}, []string{"x", "y"}, []string{"mta", "x"})
	}
	if m.yes(50) {
		out.Result = pick(m, []string{"fail"}, []string{"none", "temperror"}, []string{"fail", "permerror"}, []string{"fail", "none", "permerror", "temperror"})
	}
	if m.yes(10) {
		out.SPF = pick(m, []string{"fail", "softfail"}, []string{"none"}, []string{"pass", "neutral"}, []string{"temperror", "permerror"})
	}
	if m.yes(10) {
		out.Result = []string{"pass"}
		if m.yes(40) {
			out.PassBy = pick(m, []string{"spf"}, []string{"dkim", "both"})
		}
		if m.yes(40) {
			out.EarlierSPFFail = ptr(m.yes(50))
		}
	}
	if m.yes(10) {
		out.Requested = pick(m, []string{"reject"}, []string{"none", "quarantine"})
	}
	if m.yes(10) {
		out.FromField = pick(m, []policy.From{policy.FromOneMailbox}, []policy.From{policy.FromSeveralDomains, policy.FromUnparsable})
	}
	if m.yes(10) {
		out.Hours = pick(m, []pattern.Hours{{Begin: 22 * 60, End: 6 * 60}}, []pattern.Hours{{Begin: 0, End: 14 * 60}, {Begin: 15 * 60, End: 24 * 60}})
	}
	if m.yes(10) {
		out.Weekdays = pick(m, []pattern.Weekday{pattern.Weekday(time.Saturday)}, []pattern.Weekday{pattern.Weekday(time.Sunday), pattern.Weekday(time.Saturday)})
	}
}

// pair is two enforced rules of different priorities, of which the second often
// asks for what the first does and more.
func (m *maker) pair() (upper, lower policy.Rule) {
	upper, lower = good(), good()
	upper.ID, upper.Action, upper.Match = "upper", policy.RuleAction(m.IntN(5)), m.match()
	lower.ID, lower.Action, lower.Match, lower.Priority = "lower", policy.RuleAction(m.IntN(5)), upper.Match, upper.Priority-1
	more := m.match()
	if upper.Match.HELO == nil {
		lower.Match.HELO = more.HELO
	}
	if upper.Match.RcptDomain == nil {
		lower.Match.RcptDomain = more.RcptDomain
	}
	if upper.Match.Author == nil || m.yes(20) {
		lower.Match.Author = more.Author
	}
	if upper.Match.Client == nil || m.yes(20) {
		lower.Match.Client = more.Client
	}
	return upper, lower
}

// maybe is a domain that may not be known.
func (m *maker) maybe() string { return pick(m, append(slices.Clone(someDomains), "")...) }

func (m *maker) result() string {
	return pick(m, "pass", "fail", "fail", "softfail", "none", "temperror", "permerror")
}

// message is a message with one author domain that can be asked for every key.
func (m *maker) message() policy.Facts {
	domain := pick(m, someDomains...)
	f := policy.Facts{
		Time: today.Add(time.Duration(m.IntN(7*24*60)) * time.Minute), Listener: pick(m, "mta", "x"), Version: policy.FactsVersion, Seed: 1 + m.Uint64N(1<<63),
		Client: netip.MustParseAddr(pick(m, someClients...)), ClientName: m.maybe(), Helo: m.maybe(), MailFrom: m.maybe(), ListID: m.maybe(),
		EarlierSPFFail: m.yes(50), NullPath: m.yes(20), IsList: m.yes(50), Automatic: m.yes(50), TLS: m.yes(50), FromField: policy.FromOneMailbox,
		SPF: policy.SPF{Result: m.result(), Domain: pick(m, someDomains...)},
		Authors: []policy.Author{{
			Domain: domain, Org: pick(m, "bank.example", "lists.example", domain), PolicyDomain: pick(m, "", domain, "example"),
			Verdict: dmarc.Verdict{Status: pick(m, dmarc.Fail, dmarc.Fail, dmarc.Fail, dmarc.Pass, dmarc.StatusNone, dmarc.TempError, dmarc.PermError), Policy: dmarc.Policy(m.IntN(3)), Pct: 100},
			History: policy.History{Messages: m.IntN(4) * 50},
		}},
	}
	for range m.IntN(3) {
		f.Recipients = append(f.Recipients, pick(m, someDomains...))
	}
	if m.yes(40) {
		f.DKIM = []policy.DKIM{{Result: m.result(), Domain: pick(m, someDomains...), HeaderOK: m.yes(70), SignedAt: f.Time.Add(-time.Hour)}}
		if m.yes(50) {
			f.Authors[0].Signers = []string{f.DKIM[0].Domain}
		}
	}
	if m.yes(30) {
		f.ARC = policy.ARC{Result: "pass", Sealers: []policy.Sealer{{Domain: pick(m, someDomains...), Selector: "s", Recorded: []policy.Recorded{{Method: "dmarc", Result: "pass", Domain: domain}}}}}
	}
	return f
}
