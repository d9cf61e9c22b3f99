package lint

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// Options are what the function Rules knows besides the rules. The zero value knows
// nothing, and what it would need to know is not checked.
type Options struct {
	Now       time.Time
	ReportsOf string               // schema of the reports: "rfc9990" or "rfc7489"
	LastMatch map[string]time.Time // by id; nil when it is not known
	Listeners []string             // names; nil when they are not known
	Without   []string             // what the third party shall not be able to do, words of Abilities: for tests of this package
}

// Rules returns errors and warnings of a set of rules: errors first, then
// in the order of the rules. What is wrong in a rule by itself is what Faults
// says, with codes; a rule with an error has no warnings as well, and neither
// has one that is off.
func Rules(rules []policy.Rule, o Options) []policy.Finding {
	var findings []policy.Finding
	var sound []*policy.Rule
	add := func(found []policy.Finding, r *policy.Rule) {
		for _, f := range found {
			f.Rule, f.File, f.Line = r.ID, r.File, r.Line
			findings = append(findings, f)
		}
	}
	ids := make(map[string]*policy.Rule)
	for i := range rules {
		r := &rules[i]
		wrong := append(r.Faults(), errorsOf(r, &o)...)
		if first, taken := ids[r.ID]; taken {
			wrong = append(wrong, finding(policy.Error, policy.CodeDuplicateID, "id",
				fmt.Sprintf("%q is the id of another rule%s", r.ID, place(first)), "give each rule its own id"))
		} else {
			ids[r.ID] = r
		}
		if add(wrong, r); len(wrong) == 0 {
			sound = append(sound, r)
		}
	}
	if n := len(rules); n > policy.MaxRules {
		findings = append(findings, finding(policy.Error, policy.CodeTooMany, "", fmt.Sprintf("%d rules are more than %d", n, policy.MaxRules),
			"merge rules with the same effect: a rule can name many networks and domains"))
	}
	gains := attackAll(sound, &o)
	for _, r := range sound {
		found := append(gains[r], doubts(r, &o)...)
		if r.Mode == policy.Off {
			found = slices.DeleteFunc(found, func(f policy.Finding) bool { return f.Level != policy.Error })
		}
		add(found, r)
	}
	slices.SortStableFunc(findings, func(a, b policy.Finding) int { return cmp.Compare(b.Level, a.Level) })
	return findings
}

// attackAll returns, for each rule, what a third party gains by it.
func attackAll(rules []*policy.Rule, o *Options) map[*policy.Rule][]policy.Finding {
	a, err := newAttack(rules, o)
	if err != nil { // an id twice, or too many: said already
		return nil
	}
	return a.all(rules)
}

func (a *attack) all(rules []*policy.Rule) map[*policy.Rule][]policy.Finding {
	found := make(map[*policy.Rule][]policy.Finding)
	for _, r := range rules {
		found[r] = append(a.used(r), a.avoided(r)...)
	}
	contrary := a.contrary() // after what matters more, if not all can be tried
	for _, r := range rules {
		never := slices.IndexFunc(found[r], func(f policy.Finding) bool { return f.Code == policy.CodeNeverDecides })
		switch f, is := contrary[r]; {
		case is && never < 0:
			found[r] = append(found[r], f)
		case is && f.Code == policy.CodeConflict:
			found[r][never] = f
		}
		if beside, cut := a.left[r]; cut {
			found[r] = append(found[r], notAttacked(beside))
		}
	}
	return found
}

func finding(level policy.Level, code, key, text, fix string) policy.Finding {
	return policy.Finding{Level: level, Code: code, Fault: pattern.Fault{Key: key, Text: text, Fix: fix}}
}

// place tells where a rule is written.
func place(r *policy.Rule) string {
	if r.File == "" {
		return ""
	}
	return fmt.Sprintf(" at %s:%d", r.File, r.Line)
}

// zones is how far the day of created can be ahead of UTC: the day has begun
// elsewhere, and clocks differ.
const zones = 24 * time.Hour

// errorsOf returns the errors of one rule that options tell: a listener that does not
// exist would never match, and by a day in the future nobody could tell how old the
// rule is, nor that it is idle.
func errorsOf(r *policy.Rule, o *Options) (found []policy.Finding) {
	unknown := slices.IndexFunc(r.Match.Listener, func(l string) bool { return o.Listeners != nil && !slices.Contains(o.Listeners, l) })
	if unknown >= 0 {
		word, fix := r.Match.Listener[unknown], "write "+pattern.Alternatives(o.Listeners)
		if near := pattern.Nearest(word, o.Listeners); near != "" {
			fix = fmt.Sprintf("did you mean %q?", near)
		}
		found = append(found, finding(policy.Error, policy.CodeUnknownListener, "match.listener", fmt.Sprintf("unknown word %q", word), fix))
	}
	if !o.Now.IsZero() && r.Created.Sub(o.Now) > zones {
		found = append(found, finding(policy.Error, policy.CodeCreatedAhead, "created",
			fmt.Sprintf("%s is in the future: today is %s (UTC)", policy.Moment(r.Created), o.Now.UTC().Format(time.DateOnly)),
			"write the day on which the rule was written, or correct the clock of this host"))
	}
	return found
}
