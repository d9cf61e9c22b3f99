package lint

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// effort is what it takes a third party, who may be hostile, to make a fact of a
// message true.
type effort uint8

const (
	anybody  effort = iota // writes it, waits for it, or registers a domain for it
	account                // opens an account at a holder that serves everybody
	customer               // buys a gateway or service that is sold to organizations, or stands behind the same NAT
	party                  // is one named party, or has it forward mail
	beyond                 // cannot
)

var efforts = [...]string{anybody: "anybody", account: "account", customer: "customer", party: "party", beyond: "beyond"}

// way is one way to make one part of a message what a rule asks for.
type way struct {
	effort effort
	by     string         // how it is done, for findings; "" where nothing has to be done
	value  string         // the name, or the address
	item   pattern.Domain // for inBothLists: what is in both lists
	owner  string         // domain or network of the one party that does it; "" otherwise
	kind   proof          // how value is proved
	wide   bool           // the party is one of many hosts or names, which need not have one owner
	set    func(*policy.Given)
}

// Names that stand for whoever is not named: the adversary's own domain and client,
// and a recipient and an author that no rule knows.
const (
	attackerName   = "stranger.example"
	victimName     = "victim.example"
	thirdPartyHost = "host.stranger.example"
)

// third parties are values of which one is left whatever a rule denies.
var (
	attackerNames = []string{attackerName, "stranger.test", "stranger.invalid", "stranger.example.net"}
	victimNames   = []string{victimName, "victim.test", "victim.invalid", "victim.example.net"}
	attackerAddrs = []netip.Addr{
		netip.MustParseAddr("198.51.100.77"), netip.MustParseAddr("203.0.113.77"), netip.MustParseAddr("192.0.2.77"), netip.MustParseAddr("2001:db8:77::77"),
	}
)

// maxWays bounds how many items of one key are tried: of a long list the first
// ones of each effort are enough.
const maxWays = 6

// proof is a key that is about who sends, which nobody can simply write.
type proof uint8

const (
	written proof = iota // HELO, MAIL FROM, List-Id, From, recipients
	bySPF
	byDKIM
	byName // a client name that DNS confirms
	byARC
	byClient
)

var proofWords = [...]string{bySPF: "SPF passes for", byDKIM: "a signature passes for", byName: "the client is named", byARC: "the message is sealed by"}

// names returns the names that all lists of yes hold, the cheapest first, and how
// the adversary comes by them. Without lists, others are taken: any that no denies.
func names(kind proof, no []pattern.Domain, others []string, yes ...[]pattern.Domain) []way {
	var found []way
	seen := map[string]bool{}
	add := func(name string, w way) {
		if !seen[name] && !oneHolds(no, name) && !slices.ContainsFunc(yes, func(l []pattern.Domain) bool { return l != nil && !oneHolds(l, name) }) {
			seen[name] = true
			w.value, w.kind = name, kind
			found = append(found, w)
		}
	}
	some := false
	for _, list := range yes {
		for _, p := range list {
			some = true
			for _, name := range namesIn(p) {
				add(name, cost(kind, name, p))
			}
		}
	}
	if !some {
		for _, name := range others {
			add(name, way{})
		}
	}
	slices.SortStableFunc(found, func(a, b way) int { return int(a.effort) - int(b.effort) })
	return found
}

// namesIn returns names that p holds: those of shared holders, one that the
// adversary registers where he can, and one that is as good as the rest.
func namesIn(p pattern.Domain) []string {
	shared := func() []string { return knownHolders().in(p) }
	switch p.Kind() {
	case pattern.Exact:
		return []string{p.Name()}
	case pattern.Organization:
		return []string{p.Name(), "host." + p.Name()}
	case pattern.Below:
		return append(shared(), "stranger."+p.Name())
	}
	list := shared()
	for q := range p.Map().Below() {
		if list = append(list, "stranger."+q.Name()); len(list) > 64 {
			break
		}
	}
	n := 0
	for q := range p.Map().All() {
		if q.Kind() != pattern.Below {
			list = append(list, namesIn(q)...)
		}
		if n++; n == maxWays {
			break
		}
	}
	return list
}

func oneHolds(list []pattern.Domain, name string) bool {
	org := dmarc.PublicSuffix().Org(name)
	return slices.ContainsFunc(list, func(p pattern.Domain) bool { return p.Holds(name, org) })
}

// cost is what the adversary does to have name, of which p is the item, proved by
// kind.
func cost(kind proof, name string, p pattern.Domain) way {
	if kind == written {
		return way{}
	}
	says := fmt.Sprintf("%s %q", proofWords[kind], name)
	h, shared := knownHolders().of(name)
	switch {
	case isSuffix(name):
		return way{effort: anybody, by: fmt.Sprintf("%s, a public suffix, below which anybody can have a domain", says)}
	case shared && kind == byARC && (h.kind.name == mailboxKind || h.kind.name == sealingKind):
		return way{effort: customer, by: fmt.Sprintf("%s, which seals the mail of everybody who forwards through it", says), owner: name}
	case shared && (h.kind.name != sealingKind || p.Kind() == pattern.Below) && !(kind == byDKIM && h.tenant(name)):
		return way{effort: h.kind.effort, by: fmt.Sprintf("%s, of %s", says, h.kind.words)}
	case kind == byName && ovhName(name):
		return way{effort: account, by: says + ", a rented server"}
	case p.Kind() != pattern.Exact && strings.HasPrefix(name, "stranger.") && isSuffix(strings.TrimPrefix(name, "stranger.")):
		return way{effort: anybody, by: fmt.Sprintf("%s, which anybody can register", says)}
	}
	return way{effort: party, by: says, owner: name, wide: p.Kind() == pattern.Below || p.Map() != nil && p.Map().HasBelow() && !p.Map().Has(pattern.NewDomain(pattern.Exact, name))}
}

// isSuffix reports whether anybody can have a domain below name.
func isSuffix(name string) bool { return dmarc.PublicSuffix().Org(name) == "" }

// ovhName: OVH names the addresses of rented servers so, as ip-51-68-1.eu.
func ovhName(name string) bool {
	labels := strings.Split(name, ".")
	if len(labels) < 2 {
		return false
	}
	host, tld := labels[len(labels)-2], labels[len(labels)-1]
	return (tld == "eu" || tld == "net") && strings.HasPrefix(host, "ip-") && strings.Count(host, "-") == 3 && strings.Trim(host[3:], "0123456789-") == ""
}

// addresses returns client addresses that the networks of yes hold and those of no
// do not, the cheapest first.
func addresses(yes, no []pattern.Network) []way {
	var found []way
	add := func(a netip.Addr, w way) {
		in := func(n pattern.Network) bool { return n.Covers(netip.PrefixFrom(a, a.BitLen())) }
		if a.IsValid() && !slices.ContainsFunc(no, in) {
			w.value, w.kind = a.String(), byClient
			found = append(found, w)
		}
	}
	if yes == nil {
		for _, a := range attackerAddrs {
			add(a, way{})
		}
		return found
	}
	width := widthOf(yes)
	for _, n := range yes {
		for _, h := range knownHolders().nets {
			if n.Overlaps(h.net) {
				add(inBoth(n, h.net), way{effort: h.kind.effort, by: fmt.Sprintf("the client is in %v, of %s", h.net, h.kind.words)})
			}
		}
		for _, p := range widest(n) {
			w := way{effort: party, by: fmt.Sprintf("the client is in %v", n), owner: n.String(), wide: wider(p, narrow4, narrow6)}
			switch {
			case width.effort < party:
				w.effort, w.by, w.owner = width.effort, width.by, ""
			case slices.ContainsFunc(privateNetworks, func(s netip.Prefix) bool { return s.Overlaps(p) }):
				w.effort, w.by = customer, fmt.Sprintf("the client is in %v, which can be every client behind a NAT or proxy of yours", n)
			}
			for _, a := range some(p) {
				add(a, w)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b way) int { return int(a.effort) - int(b.effort) })
	return found[:min(len(found), 64)]
}

// widthOf tells whether networks are too many addresses for one party: whoever
// rents a host has one of them.
func widthOf(list []pattern.Network) way {
	var own []netip.Prefix
	var maps []*pattern.NetMap
	for _, n := range list {
		for _, p := range widest(n) {
			if wider(p, widest4, widest6) {
				return way{effort: account, by: fmt.Sprintf("the client is in %v, which is wider than what one party has", p)}
			}
		}
		if p, ok := n.Prefix(); ok {
			own = append(own, p)
		} else {
			maps = append(maps, n.Map())
		}
	}
	n4, n6 := pattern.JoinNetMaps("", append(maps, pattern.NewNetMap("", own))...).Size()
	text := fmt.Sprintf("the client is in one of %d addresses", n4)
	if n4 <= manyAddresses {
		text = fmt.Sprintf("the client is in one of %d networks /%d", n6, narrow6)
	}
	switch most := max(n4, n6); {
	case most > tooMuchAddresses:
		return way{effort: account, by: text + ", more than one party has"}
	case most > manyAddresses:
		return way{effort: customer, by: text}
	}
	return way{effort: party}
}

// inBoth returns an address that is in n and in p, as far as that is easily found.
func inBoth(n pattern.Network, p netip.Prefix) netip.Addr {
	for _, q := range append(widest(n), p) {
		for _, a := range some(q) {
			if p.Contains(a) && n.Covers(netip.PrefixFrom(a, a.BitLen())) {
				return a
			}
		}
	}
	return netip.Addr{}
}

// some returns a few addresses of p: its first ones, and one further on.
func some(p netip.Prefix) []netip.Addr {
	first := p.Masked().Addr()
	list := []netip.Addr{first}
	if p.IsSingleIP() {
		return list
	}
	b := first.AsSlice()
	b[len(b)-1] |= 1
	second, _ := netip.AddrFromSlice(b)
	list = append(list, second)
	for i := p.Bits(); i < first.BitLen(); i++ { // the last address
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return append(list, last)
}
