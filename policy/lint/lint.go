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
		if len(wrong) == 0 && r.Mode != policy.Off {
			sound = append(sound, r)
		}
	}
	if len(rules) > policy.MaxRules {
		findings = append(findings, tooMany(len(rules)))
	}
	among := compareRules(sound, o.Now)
	for _, r := range sound {
		add(append(among[r], run(doubtChecks, r, &o)...), r)
	}
	slices.SortStableFunc(findings, func(a, b policy.Finding) int { return cmp.Compare(b.Level, a.Level) })
	return findings
}

// Faults returns what keeps r from being loaded by itself: errors, without the
// place. They are those of policy.Rule.Faults, and the worst of its anchors.
func Faults(r policy.Rule) []policy.Finding { return errorsOf(&r, &Options{}) }

// errorsOf returns the errors of r by itself, of its anchors the worst.
func errorsOf(r *policy.Rule, o *Options) []policy.Finding {
	found := append(r.Faults(), run(listenerChecks, r, o)...)
	if weak := run(anchorChecks, r, o); len(weak) > 0 {
		found = append(found, weak[0])
	}
	return found
}

// listenerChecks are the errors of one rule that options tell.
var listenerChecks = []check{{policy.CodeUnknownListener, policy.Error, unknownListener}}

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
