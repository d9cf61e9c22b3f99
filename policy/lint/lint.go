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
		wrong := append(errorsOf(r, &o), takenID(ids, r)...)
		add(wrong, r)
		if len(wrong) == 0 {
			sound = append(sound, r)
		}
	}
	if len(rules) > policy.MaxRules {
		findings = append(findings, tooMany(len(rules)))
	}
	among := attackAll(sound, &o)
	for _, r := range sound {
		found := append(among[r], run(doubtChecks, r, &o)...)
		if r.Mode == policy.Off {
			found = slices.DeleteFunc(found, func(f policy.Finding) bool { return f.Level != policy.Error })
		}
		add(found, r)
	}
	slices.SortStableFunc(findings, func(a, b policy.Finding) int { return cmp.Compare(b.Level, a.Level) })
	return findings
}

// errorsOf returns the errors of r by itself.
func errorsOf(r *policy.Rule, o *Options) []policy.Finding {
	return append(r.Faults(), run(optionChecks, r, o)...)
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
		found[r] = append(a.rule(r), a.avoided(r)...)
	}
	contrary, overlaps := conflicts(rules, a.at), a.overlaps(rules) // after what matters more, if not all can be tried
	for _, r := range rules {
		never := slices.IndexFunc(found[r], func(f policy.Finding) bool { return f.Code == policy.CodeNeverDecides })
		f, unclear := overlaps[r]
		switch c, wrong := contrary[r]; {
		case wrong && never >= 0:
			found[r][never] = c
		case wrong:
			found[r] = append(found[r], c)
		case unclear && never < 0:
			found[r] = append(found[r], f)
		}
		if beside, cut := a.left[r]; cut {
			found[r] = append(found[r], notAttacked(beside))
		}
	}
	return found
}

// meant says which of the words was probably meant by one that is none of
// them, or what they are.
func meant(word string, words []string) string {
	if near := pattern.Nearest(word, words); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "write " + pattern.Alternatives(words)
}

// optionChecks are the errors of one rule that options tell.
var optionChecks = []check{
	{policy.CodeUnknownListener, policy.Error, unknownListener},
	{policy.CodeCreatedAhead, policy.Error, createdAhead},
}

// check looks at one rule by itself.
type check struct {
	code  string
	level policy.Level
	find  func(*policy.Rule, *Options) (pattern.Fault, bool)
}

func run(checks []check, r *policy.Rule, o *Options) []policy.Finding {
	var found []policy.Finding
	for _, c := range checks {
		if f, bad := c.find(r, o); bad {
			found = append(found, policy.Finding{Level: c.level, Code: c.code, Fault: f})
		}
	}
	return found
}

// fault is bad or no fault at all.
func fault(bad bool, key, text, fix string) (pattern.Fault, bool) {
	return pattern.Fault{Key: key, Text: text, Fix: fix}, bad
}

// unknownListener: it would never match.
func unknownListener(r *policy.Rule, o *Options) (pattern.Fault, bool) {
	for _, l := range r.Match.Listener {
		if o.Listeners != nil && !slices.Contains(o.Listeners, l) {
			return fault(true, "match.listener", fmt.Sprintf("unknown word %q", l), meant(l, o.Listeners))
		}
	}
	return pattern.Fault{}, false
}

// zones is how far the day of created can be ahead of UTC: the day has begun
// elsewhere, and clocks differ.
const zones = 24 * time.Hour

// createdAhead: the day would tell nobody how old the rule is, and a rule that is
// idle could not be told.
func createdAhead(r *policy.Rule, o *Options) (pattern.Fault, bool) {
	return fault(!o.Now.IsZero() && r.Created.Sub(o.Now) > zones, "created",
		fmt.Sprintf("%s is in the future: today is %s (UTC)", policy.Moment(r.Created), o.Now.UTC().Format(time.DateOnly)),
		"write the day on which the rule was written, or correct the clock of this host")
}
