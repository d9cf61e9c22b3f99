// Package ruletest runs the tests of rules, which rule files have as
// [[rule.test]]: it makes a message of what is given, decides about the message
// under the rules, and compares the decision with what is expected.
//
// It changes no rules and looks at no stored mail.
package ruletest

import (
	"fmt"
	"slices"
	"strings"

	"dmarcgate/policy"
)

// Failure is a test that did not come out as it says.
type Failure struct {
	Rule     string // whose test it is
	File     string
	Line     int
	Got      policy.Decision
	Expected policy.Expect
	skips    bool // the rule skips reports
}

// Text says what was expected, what came, and by which rules, on one line.
func (f Failure) Text() string {
	var want, got []string
	compare := func(what, expected, came string) {
		if expected != came {
			want, got = append(want, fmt.Sprintf("%s %q", what, expected)), append(got, fmt.Sprintf("%s %q", what, came))
		}
	}
	if e := f.Expected; e.Rule != nil {
		compare("rule", *e.Rule, named(f.Got, f.skips))
	}
	if e := f.Expected; e.Applied != "" {
		compare("applied", e.Applied, applied(f.Got))
	}
	if e := f.Expected; e.Reason != nil {
		compare("reason", string(*e.Reason), string(f.Got.Reason))
	}
	text := "expected " + strings.Join(want, ", ") + "; came " + strings.Join(got, ", ") + " (" + f.Got.Why
	if len(f.Got.Also) > 0 {
		text += "; also matched: " + strings.Join(f.Got.Also, ", ")
	}
	return text + ")"
}

// named is the rule that a test is about: the one that decided, or the one that
// keeps the message out of reports.
func named(d policy.Decision, skips bool) string {
	if skips {
		return d.Unreported
	}
	return d.Rule
}

// applied is what was done, in the words of a test.
func applied(d policy.Decision) string {
	if d.Action == policy.Tempfail {
		return "tempfail"
	}
	return d.Disposition.String()
}

func met(e policy.Expect, d policy.Decision, skips bool) bool {
	return (e.Rule == nil || *e.Rule == named(d, skips)) && (e.Applied == "" || e.Applied == applied(d)) && (e.Reason == nil || *e.Reason == d.Reason)
}

// Run runs the tests of all rules, and returns those that did not come out as
// they say.
//
// A test runs in the whole set. The rule that it belongs to counts as enforced,
// the others are as they are, and no rule with a sample is left out by a draw.
// Everything else is as by default: quarantine tags, and a domain whose own DNS
// fails gets tempfail. Domains belong together by the public suffix list built
// in, and alignment is relaxed.
func Run(rules policy.Rules) []Failure {
	list := rules.List()
	if !slices.ContainsFunc(list, func(r policy.Rule) bool { return len(r.Tests) > 0 }) {
		return nil
	}
	drawn := Drawn(rules)
	var failures []Failure
	for _, r := range list {
		if len(r.Tests) == 0 {
			continue
		}
		skips := r.Action == policy.RuleSkipReport
		for _, t := range r.Tests {
			d := decide(drawn, r, t.Given)
			if !met(t.Expect, d, skips) {
				failures = append(failures, Failure{Rule: r.ID, File: r.File, Line: t.Line, Got: d, Expected: t.Expect, skips: skips})
			}
		}
	}
	return failures
}

// Drawn returns the rules as tests have them: none is left out by its sample.
func Drawn(rules policy.Rules) policy.Rules {
	list := rules.List()
	for i := range list {
		list[i].Sample = 0
	}
	drawn, err := policy.NewRules(list)
	if err != nil {
		panic(err) // rules without a sample are as good as with one
	}
	return drawn
}

func decide(drawn policy.Rules, r policy.Rule, g policy.Given) policy.Decision {
	return Settings(g, drawn.Trying(r.ID)).Decide(Facts(g, r.Created))
}

// Expected returns what a test of r with this message has to expect for Run to find
// it met. The rules are those that Drawn returns.
func Expected(drawn policy.Rules, r policy.Rule, g policy.Given) policy.Expect {
	d := decide(drawn, r, g)
	id := named(d, r.Action == policy.RuleSkipReport)
	return policy.Expect{Rule: &id, Applied: applied(d)}
}
