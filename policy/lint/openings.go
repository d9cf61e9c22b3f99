package lint

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// Opening is a way for a third party to get more out of a rule than the rest of the
// rules would give it.
type Opening struct {
	Who     string         // "anyone with an account at …"
	How     []string       // what has to be arranged
	From    policy.Action  // what the message is answered with otherwise
	To      policy.Action  // what it is answered with
	Hides   bool           // instead: it is left out of reports
	Profile policy.Profile // under which it is so
	Spoof   policy.Given

	effort effort
}

// maxItems is how many items of the keys about who sends Openings tries each for
// itself, our limit.
const maxItems = 100

// Openings returns who can use a rule for mail in the name of others: who needs the
// least first, each once, with the message that gains most. untried is how many items of lists were left
// out. What keeps the rules from being attacked, such as an id twice, is an error.
func Openings(rules []policy.Rule, id string, at time.Time) (found []Opening, untried int, err error) {
	var all []*policy.Rule
	for i := range rules {
		all = append(all, &rules[i])
	}
	a, err := newAttack(all, &Options{Now: at})
	if err != nil {
		return nil, 0, err
	}
	r := a.byID[id]
	if r == nil || r.Expired(at) {
		return nil, 0, nil
	}
	t := &trying{attack: a, rule: r, set: a.set.Trying(id)}
	t.told = func(o opening) { found = append(found, t.opening(&o)) }
	list, untried := narrowed(&r.Match)
	for i := range list {
		if a.spent(r) {
			untried++
			continue
		}
		t.play(t.spoofs(&list[i], at), &list[i], 0)
	}
	slices.SortStableFunc(found, func(x, y Opening) int { return cmp.Or(cmp.Compare(x.effort, y.effort), cmp.Compare(y.From, x.From)) })
	seen := map[string]bool{}
	return slices.DeleteFunc(found, func(o Opening) bool {
		again := seen[o.Who]
		seen[o.Who] = true
		return again
	}), untried, nil
}

// narrowed returns m, and m with each item of its keys about who sends alone.
func narrowed(m *policy.Match) (list []policy.Match, untried int) {
	list = append(list, *m)
	add := func(n int, one func(c *policy.Match, i int)) {
		for i := range n {
			if n == 1 {
				break
			}
			if len(list) > maxItems {
				untried++
				continue
			}
			c := *m
			one(&c, i)
			list = append(list, c)
		}
	}
	add(len(m.Client), func(c *policy.Match, i int) { c.Client = m.Client[i : i+1] })
	for _, key := range []func(*policy.Match) *[]pattern.Domain{
		func(m *policy.Match) *[]pattern.Domain { return &m.IPRev }, func(m *policy.Match) *[]pattern.Domain { return &m.SPFPass },
		func(m *policy.Match) *[]pattern.Domain { return &m.DKIMPass }, func(m *policy.Match) *[]pattern.Domain { return &m.ARCPass },
	} {
		items := *key(m)
		add(len(items), func(c *policy.Match, i int) { *key(c) = items[i : i+1] })
	}
	return list, untried
}

func (t *trying) opening(o *opening) Opening {
	e := t.effort(o)
	return Opening{
		Who: o.spoof.who(e), How: o.spoof.by, From: o.base, To: o.got.Action, Hides: o.hides, Profile: o.profile, Spoof: o.given(), effort: e,
	}
}

// given is the message as a test has it.
func (o *opening) given() policy.Given {
	g := o.spoof.Given
	if o.profile != policy.Strict { // which tests have where they name none
		g.Profile = o.profile
	}
	g.Time = g.Time.UTC().Truncate(time.Second)
	return g
}

// who says in words who can send the message.
func (s *spoof) who(e effort) string {
	if e == anybody {
		return "anybody"
	}
	var words []string
	for _, w := range s.used {
		if w.effort == s.effort {
			words = append(words, w.who(e))
		}
	}
	return strings.Join(words, ", and ")
}

// partyWords say who the one party is that can arrange something.
var partyWords = [...]string{
	bySPF: "only the party that SPF lets send for %s", byDKIM: "only the party that signs for %s", byName: "only the owner of the client name %s",
	byARC: "only the sealer %s", byClient: "only the party at client %s",
}

// who says who arranges w, for which it takes e.
func (w *way) who(e effort) string {
	h, shared := knownHolders().of(w.value)
	switch {
	case w.effort == party && e == party && w.kind != written:
		return fmt.Sprintf(partyWords[w.kind], w.owner)
	case w.effort == party:
		return "anyone with a host or a name in " + w.owner
	case w.kind == byClient || !shared:
		return "anyone who can arrange that " + w.by
	case w.effort == customer:
		return fmt.Sprintf("every customer of %s, %s", h.name, h.kind.words)
	}
	return fmt.Sprintf("anyone with an account at %s, %s", h.name, h.kind.words)
}
