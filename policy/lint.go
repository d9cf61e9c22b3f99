package policy

import (
	"cmp"
	"slices"
	"time"

	"dmarcgate/policy/pattern"
)

// Limits of rules.
const (
	MaxRules    = 10_000
	MaxRuleID   = 64
	MaxPriority = 1000

	MaxReportComment = 200 // our limit; a report repeats it in each row

	// MaxNamed is how many rules a decision names beside the one that decided,
	// and how many in shadow: a row is kept for each message.
	MaxNamed = 32
)

// Level is how bad a finding is.
type Level uint8

// The levels. The zero value is the milder one.
const (
	Warning Level = iota // the rules work, perhaps not as they are meant
	Error                // the rules are not loaded
)

// Finding is what Lint says about a rule.
type Finding struct {
	Level Level
	Code  string // one word of Codes, for programs
	Rule  string // id
	File  string
	Line  int // of the rule
	pattern.Fault
}

// LintOptions are what Lint knows besides the rules. The zero value knows
// nothing, and what it would need to know is not checked.
type LintOptions struct {
	Now       time.Time
	ReportsOf string               // schema of the reports: "rfc9990" or "rfc7489"
	LastMatch map[string]time.Time // by id; nil when it is not known
	Listeners []string             // names; nil when they are not known
}

// Lint returns what is wrong or doubtful in a set of rules: errors first, then
// in the order of the rules. What is wrong in a rule by itself is what Faults
// says, with codes; a rule with an error has no warnings as well, and neither
// has one that is off.
func Lint(rules []Rule, o LintOptions) []Finding {
	var findings []Finding
	var sound []*Rule
	add := func(found []Finding, r *Rule) {
		for _, f := range found {
			f.Rule, f.File, f.Line = r.ID, r.File, r.Line
			findings = append(findings, f)
		}
	}
	ids := make(map[string]*Rule)
	for i := range rules {
		r := &rules[i]
		wrong := append(r.errors(&o), takenID(ids, r)...)
		add(wrong, r)
		if len(wrong) == 0 && r.Mode != Off {
			sound = append(sound, r)
		}
	}
	if len(rules) > MaxRules {
		findings = append(findings, tooMany(len(rules)))
	}
	among := compareRules(sound, o.Now)
	for _, r := range sound {
		add(append(among[r], run(doubtChecks, r, &o)...), r)
	}
	slices.SortStableFunc(findings, func(a, b Finding) int { return cmp.Compare(b.Level, a.Level) })
	return findings
}

// Faults returns what keeps r from being a rule, or nil: errors, without the
// place. A rule that is off is checked like any other.
func (r Rule) Faults() []Finding { return r.errors(&LintOptions{}) }

// errors returns the errors of r by itself, of its anchors the worst.
func (r *Rule) errors(o *LintOptions) []Finding {
	found := run(faultChecks, r, o)
	if weak := run(anchorChecks, r, o); len(weak) > 0 {
		found = append(found, weak[0])
	}
	return found
}

// check looks at one rule by itself.
type check struct {
	code  string
	level Level
	find  func(*Rule, *LintOptions) (pattern.Fault, bool)
}

func run(checks []check, r *Rule, o *LintOptions) []Finding {
	var found []Finding
	for _, c := range checks {
		if f, bad := c.find(r, o); bad {
			found = append(found, Finding{Level: c.level, Code: c.code, Fault: f})
		}
	}
	return found
}

// fault is bad or no fault at all.
func fault(bad bool, key, text, mend string) (pattern.Fault, bool) {
	return pattern.Fault{Key: key, Text: text, Mend: mend}, bad
}
