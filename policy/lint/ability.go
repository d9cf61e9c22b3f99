package lint

import (
	"fmt"
	"slices"
	"strings"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/policy/lint/holder"
	"dmarcgate/policy/pattern"
)

// effort is what it takes a third party, who may be hostile, to make a fact of a
// message true. The first three are those of package holder.
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
	item   pattern.Domain // that has the name
	owner  string         // domain or network of the one party that does it; "" otherwise
	kind   proof          // how value is proved
	wide   bool           // the party is one of many hosts or names, which need not have one owner
	set    func(*policy.Given)
}

func cheaper(a, b way) int { return int(a.effort) - int(b.effort) }

// Names that stand for whoever is not named: the adversary's own domains, and authors
// that no rule knows. One of them is left whatever a rule denies.
var (
	attackerNames = []string{"stranger.example", "stranger.test", "stranger.invalid", "stranger.example.net"}
	victimNames   = []string{"victim.example", "victim.test", "victim.invalid", "victim.example.net"}
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

// proofs say what is proved of a name, and who alone can have it.
var proofs = [...]struct{ says, only string }{
	bySPF:    {"SPF passes for", "only the party that SPF lets send for %s"},
	byDKIM:   {"a signature passes for", "only the party that signs for %s"},
	byName:   {"the client is named", "only the owner of the client name %s"},
	byARC:    {"the message is sealed by", "only the sealer %s"},
	byClient: {"the client is in", "only the party at client %s"},
}

// names returns the names that all lists of yes hold, the cheapest first, and how
// the adversary comes by them. Without lists it is the first of others that no denies, or
// nothing.
func names(kind proof, no []pattern.Domain, others []string, yes ...[]pattern.Domain) (found []way) {
	seen := map[string]bool{}
	add := func(name string, w way) {
		if !seen[name] && !oneHolds(no, name) && !slices.ContainsFunc(yes, func(l []pattern.Domain) bool { return l != nil && !oneHolds(l, name) }) {
			seen[name] = true
			w.value, w.kind = name, kind
			found = append(found, w)
		}
	}
	items := slices.Concat(yes...)
	if items == nil && others == nil {
		return nothing
	}
	for _, p := range items {
		for _, name := range namesIn(p) {
			w := cost(kind, name, p)
			w.item = p
			add(name, w)
		}
	}
	for _, name := range others {
		if len(items)+len(found) == 0 {
			add(name, way{})
		}
	}
	slices.SortStableFunc(found, cheaper)
	return found
}

// namesIn returns names that p holds: those of shared holders, one that the
// adversary registers where he can, and one that is as good as the rest.
func namesIn(p pattern.Domain) []string {
	switch p.Kind() {
	case pattern.Exact:
		return []string{p.Name()}
	case pattern.Organization:
		return []string{p.Name(), "host." + p.Name()}
	case pattern.Below:
		return append(holder.In(p), "stranger."+p.Name())
	}
	list := holder.In(p)
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
	says := fmt.Sprintf("%s %q", proofs[kind].says, name)
	h, shared := holder.Of(name)
	switch {
	case isSuffix(name):
		return way{effort: anybody, by: says + ", a public suffix, below which anybody can have a domain"}
	case shared && kind == byARC && h.Seals:
		return way{effort: customer, by: says + ", which seals the mail of everybody who forwards through it", owner: name}
	case shared && (!h.SealsOnly || p.Kind() == pattern.Below) && !(kind == byDKIM && h.Tenant(name)):
		return way{effort: effort(h.Access), by: fmt.Sprintf("%s, of %s", says, h.Words)}
	case p.Kind() != pattern.Exact && strings.HasPrefix(name, "stranger.") && isSuffix(strings.TrimPrefix(name, "stranger.")):
		return way{effort: anybody, by: says + ", which anybody can register"}
	}
	listed := p.Map() != nil && p.Map().HasBelow() && !p.Map().Has(pattern.NewDomain(pattern.Exact, name))
	return way{effort: party, by: says, owner: name, wide: p.Kind() == pattern.Below || listed}
}

// isSuffix reports whether anybody can have a domain below name.
func isSuffix(name string) bool { return dmarc.PublicSuffix().Org(name) == "" }
