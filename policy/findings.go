package policy

import (
	"dmarcgate/policy/index"
	"dmarcgate/policy/pattern"
)

// Limits of rules.
const (
	MaxRules    = index.Max
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
	Remark  Level = iota // the rules work as they are written; somebody should know what they open
	Warning              // the rules work, perhaps not as they are meant
	Error                // the rules are not loaded
)

// Finding is what is said about a rule.
type Finding struct {
	Level Level
	Code  string // one word of Codes, for programs
	Rule  string // id
	File  string
	Line  int // of the rule
	pattern.Fault
	// Spoof is a message that shows what is said, as a [[rule.test]] gives it; nil
	// where there is none.
	Spoof *Given
}

// Faults returns what keeps r from being a rule, or nil: errors, without the
// place. A rule that is off is checked like any other. Whether it is safe to do
// what r says is the business of package lint.
func (r Rule) Faults() []Finding {
	var found []Finding
	for _, c := range faultChecks {
		if f, bad := c.find(&r); bad {
			found = append(found, Finding{Level: Error, Code: c.code, Fault: f})
		}
	}
	return found
}

// check looks at one rule by itself.
type check struct {
	code string
	find func(*Rule) (pattern.Fault, bool)
}

// fault is bad or no fault at all.
func fault(bad bool, key, text, fix string) (pattern.Fault, bool) {
	return pattern.Fault{Key: key, Text: text, Fix: fix}, bad
}
