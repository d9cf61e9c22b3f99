package lint

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"dmarcgate/policy"
	"dmarcgate/policy/lint/holder"
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

	spoof  spoof
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
	t := a.trying(r)
	list, untried := narrowed(&r.Match)
	for i := range list {
		if a.spent(r) {
			untried++
			continue
		}
		t.play(askedBy(&list[i]), at, maxSpoofs, 0)
	}
	found = t.every
	slices.SortStableFunc(found, func(x, y Opening) int { return cmp.Or(cmp.Compare(x.effort, y.effort), cmp.Compare(y.From, x.From)) })
	seen := map[string]bool{}
	for i := range found {
		found[i].Who, found[i].How, found[i].Spoof = found[i].who(), found[i].spoof.by(), *found[i].given()
	}
	return slices.DeleteFunc(found, func(o Opening) bool {
		again := seen[o.Who]
		seen[o.Who] = true
		return again
	}), untried, nil
}

// narrowed returns m, and m with each item alone of the keys that prove who sends.
func narrowed(m *policy.Match) (list []policy.Match, untried int) {
	list = append(list, *m)
	for _, k := range keys {
		items := of(m, k.field)
		for i := 0; !k.denies && (k.kind != written || k.name == "Client") && items.Len() > 1 && i < items.Len(); i++ {
			if len(list) > maxItems {
				untried++
				continue
			}
			c := *m
			of(&c, k.field).Set(items.Slice(i, i+1))
			list = append(list, c)
		}
	}
	return list, untried
}

// given is the message as a test has it.
func (o *Opening) given() *policy.Given {
	g := o.spoof.Given
	if o.Profile != policy.Strict { // which tests have where they name none
		g.Profile = o.Profile
	}
	g.Time = g.Time.UTC().Truncate(time.Second)
	return &g
}

// who says in words who can send the message.
func (o *Opening) who() string {
	if o.effort == anybody {
		return "anybody"
	}
	var words []string
	for _, w := range o.spoof.used {
		if w.effort == o.spoof.effort {
			words = append(words, w.who(o.effort))
		}
	}
	return strings.Join(words, ", and ")
}

// who says who arranges w, for which it takes e.
func (w *way) who(e effort) string {
	h, shared := holder.Of(w.value)
	switch {
	case w.effort == party && e == party && w.kind != written:
		return fmt.Sprintf(proofs[w.kind].only, w.owner)
	case w.effort == party:
		return "anyone with a host or a name in " + w.owner
	case w.kind == byClient || !shared:
		return "anyone who can arrange that " + w.by
	case w.effort == customer:
		return fmt.Sprintf("every customer of %s, %s", h.Name, h.Words)
	}
	return fmt.Sprintf("anyone with an account at %s, %s", h.Name, h.Words)
}
