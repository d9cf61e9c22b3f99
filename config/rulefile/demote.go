package rulefile

import (
	"slices"

	"dmarcgate/config/tomlfile"
	"dmarcgate/policy"
	"dmarcgate/policy/lint"
	"dmarcgate/policy/pattern"
)

// maxDemotions is how often rules are demoted because others were, our limit: each
// time all rules are attacked again.
const maxDemotions = 4

// attackCodes are the codes of what third parties gain by a rule, which depends on the
// data and the attack of this version.
var attackCodes = []string{policy.CodeOpensAnybody, policy.CodeOpensAccount, policy.CodeOpensCustomer, policy.CodeHidesReports}

// lint lints the rules. Errors that the rules may not be loaded with are added to
// errs. Other errors are those of rules that mayDemote: one for each rule, which is
// not enforced from here on.
//
// A rule that no longer decides can uncover another one that it stood before, so
// the rest is attacked again.
func (s *ruleTexts) lint(errs *tomlfile.Errors, o lint.Options, mayDemote func(id string) bool) (warnings, demoted []policy.Finding) {
	told := make(map[string]bool)
	for round := 0; ; round++ {
		var wrong []policy.Finding
		warnings, wrong = s.findings(o)
		if slices.ContainsFunc(wrong, func(f policy.Finding) bool {
			return !(slices.Contains(attackCodes, f.Code) && mayDemote(f.Rule)) && (round == 0 || f.Code != policy.CodeConflict)
		}) {
			for _, f := range wrong {
				errs.Add(problemOf(f))
			}
			return warnings, nil
		}
		for _, f := range wrong {
			if !told[f.Rule] {
				told[f.Rule] = true
				demoted = append(demoted, f)
			}
		}
		switch {
		case !s.demote(told):
			return warnings, demoted
		case round == maxDemotions:
			return warnings, append(demoted, s.demoteRest()...)
		}
	}
}

// findings returns what lint.Rules finds, each with the line of its key, but for
// what limits says.
func (s *ruleTexts) findings(o lint.Options) (warnings, wrong []policy.Finding) {
	for _, f := range lint.Rules(s.rules, o) {
		if place, ok := s.ids[f.Rule]; ok && f.Key != "" && f.Line == place.line {
			f.Line = place.at(f.Key)
		}
		switch {
		case f.Level != policy.Error:
			warnings = append(warnings, f)
		case f.Code != policy.CodeTooMany: // see limits
			wrong = append(wrong, f)
		}
	}
	return warnings, wrong
}

// demote puts those of the rules into shadow that are enforced, and reports whether
// there was one.
func (s *ruleTexts) demote(ids map[string]bool) bool {
	done := false
	for i := range s.rules {
		if r := &s.rules[i]; r.Mode == policy.Enforce && ids[r.ID] {
			r.Mode, done = policy.Shadow, true
		}
	}
	return done
}

// demoteRest puts every rule into shadow that can make an answer milder.
func (s *ruleTexts) demoteRest() []policy.Finding {
	var found []policy.Finding
	for i := range s.rules {
		r := &s.rules[i]
		if r.Mode == policy.Enforce && r.Action != policy.RuleReject && r.Action != policy.RuleTempfail {
			r.Mode = policy.Shadow
			found = append(found, policy.Finding{Level: policy.Error, Code: policy.CodeNotAttacked, Rule: r.ID, File: r.File, Line: r.Line, Fault: pattern.Fault{
				Key: "match", Text: "stands behind too many rules that are refused to be checked", Fix: "fix the other rules first",
			}})
		}
	}
	return found
}

// problemOf is an error of a rule in the words of a file.
func problemOf(f policy.Finding) tomlfile.Problem {
	key := "rule"
	if f.Key != "" {
		key += "." + f.Key
	}
	return tomlfile.Problem{File: f.File, Line: f.Line, Key: key, Text: f.Text, Fix: f.Fix, Code: f.Code, Rule: f.Rule}
}
