package lint

import (
	"fmt"
	"slices"
	"time"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

func tooMany(n int) policy.Finding {
	return policy.Finding{Level: policy.Error, Code: policy.CodeTooMany, Fault: pattern.Fault{
		Text: fmt.Sprintf("%d rules are more than %d", n, policy.MaxRules),
		Fix:  "merge rules with the same effect: a rule can name many networks and domains",
	}}
}

func takenID(ids map[string]*policy.Rule, r *policy.Rule) []policy.Finding {
	first, taken := ids[r.ID]
	if !taken {
		ids[r.ID] = r
		return nil
	}
	return []policy.Finding{{Level: policy.Error, Code: policy.CodeDuplicateID, Fault: pattern.Fault{
		Key: "id", Text: fmt.Sprintf("%q is the id of another rule%s", r.ID, place(first)), Fix: "give each rule its own id",
	}}}
}

// place tells where a rule is written.
func place(r *policy.Rule) string {
	if r.File == "" {
		return ""
	}
	return fmt.Sprintf(" at %s:%d", r.File, r.Line)
}

// compareRules returns what is to be said about rules beside each other.
func compareRules(rules []*policy.Rule, now time.Time) map[*policy.Rule][]policy.Finding {
	deciding := rankedRules(slices.DeleteFunc(slices.Clone(rules), func(r *policy.Rule) bool {
		return r.Action == policy.RuleSkipReport || r.Expired(now)
	}))
	found := make(map[*policy.Rule][]policy.Finding)
	index := coverIndex(slices.DeleteFunc(slices.Clone(deciding), func(r ranked) bool { return !r.always() }))
	var open []ranked
	for i := range deciding {
		r := &deciding[i]
		if upper := index.hiding(r); upper != nil {
			found[r.Rule] = []policy.Finding{hidden(r, upper)}
		} else if r.Mode == policy.Enforce {
			open = append(open, *r)
		}
	}
	for _, o := range overlaps(open) {
		found[o.rule.Rule] = []policy.Finding{o.finding()}
	}
	return found
}

// always reports whether r decides about every message that it matches, as far
// as no rule of higher rank does. One that only watches decides nothing, and
// one for a sample leaves the rest to others.
func (r *ranked) always() bool { return r.Mode == policy.Enforce && (r.Sample == 0 || r.Sample == 100) }

// hiding returns a rule that decides whenever r would, or nil.
func (x *ruleIndex) hiding(r *ranked) *ranked {
	compared := 0
	for i := range r.shape {
		k := &r.shape[i]
		if k.not || k.isNumbers() {
			continue
		}
		for _, list := range x.holding(k.name, k.items[:1]) { // what holds all of the items holds the first
			for _, upper := range list {
				if upper.rank >= r.rank || compared == maxCompared {
					break
				}
				compared++
				if upper.hides(r) {
					return upper
				}
			}
		}
	}
	return nil
}

func (r *ranked) hides(lower *ranked) bool {
	lasts := r.Expires.IsZero() || !lower.Expires.IsZero() && !r.Expires.Before(lower.Expires)
	return lasts && r.shape.covers(lower.shape) && (r.quantified(lower) || lower.shape.covers(r.shape))
}

// perSubject are the keys of which a rule that makes the answer milder needs
// each author domain and each recipient, and any other rule one.
var perSubject = []string{"author", "policy_domain", "requested", "from_field", "arc_pass", "body_changed", "history", "rcpt_domain"}

// quantified reports whether r, where its keys hold for one author domain and
// one recipient, also holds for as many as it must when lower holds. A From
// field with several domains of which one has no record is left aside.
func (r *ranked) quantified(lower *ranked) bool {
	if r.Action == policy.RuleReject || lower.Action == policy.RuleAccept || r.Action == lower.Action {
		return true
	}
	return !slices.ContainsFunc(r.shape, func(k keySet) bool { return slices.Contains(perSubject, k.name) })
}

// hidden says that a rule has no effect. That is a mistake, but mail goes on;
// only two rules that contradict each other in so many words are an error,
// since nobody can know which of them is meant.
func hidden(r, upper *ranked) policy.Finding {
	f := policy.Finding{Level: policy.Warning, Code: policy.CodeUnreachable, Fault: pattern.Fault{
		Key:  "priority",
		Text: fmt.Sprintf("never decides: rule %q%s matches the same messages first", upper.ID, place(upper.Rule)),
		Fix:  fmt.Sprintf("raise the priority above %d, or remove the rule", upper.Priority),
	}}
	contrary := upper.Action != r.Action && r.shape.covers(upper.shape)
	switch {
	case contrary && r.Mode == policy.Enforce:
		f.Level, f.Code, f.Key = policy.Error, policy.CodeConflict, "match"
		fallthrough
	case contrary:
		f.Text = fmt.Sprintf("rule %q%s has the same match and another action, %v", upper.ID, place(upper.Rule), upper.Action)
		f.Fix = "keep one of the two rules, or add a criterion that distinguishes them"
	case r.Mode != policy.Enforce:
		f.Text = fmt.Sprintf("would never decide if enforced: rule %q%s matches the same messages first", upper.ID, place(upper.Rule))
	}
	return f
}

// overlap is a rule that another one of the same priority goes before.
type overlap struct {
	rule   *ranked
	others []*ranked
}

func (o overlap) finding() policy.Finding {
	first := o.others[0]
	text := fmt.Sprintf("rule %q%s can match the same message with another action (%v) and goes first only because of its id", first.ID, place(first.Rule), first.Action)
	if n := len(o.others) - 1; n > 0 {
		text += fmt.Sprintf(", as do %d more", n)
	}
	return policy.Finding{Level: policy.Warning, Code: policy.CodeOverlap, Fault: pattern.Fault{Key: "priority", Text: text, Fix: "give the two different priorities"}}
}
