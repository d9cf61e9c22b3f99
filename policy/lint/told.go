package lint

import (
	"fmt"
	"slices"
	"strings"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// namesAuthors reports whether m is about the mail of certain authors alone:
// domains and organizations, but not every name below one.
func namesAuthors(m *policy.Match) bool {
	exact := func(list []pattern.Domain) bool {
		return len(list) > 0 && !slices.ContainsFunc(list, func(p pattern.Domain) bool {
			return p.Kind() == pattern.Below || p.Kind() == pattern.Organization && isSuffix(p.Name()) || p.Map() != nil && p.Map().HasBelow()
		})
	}
	return exact(m.Author) || exact(m.PolicyDomain)
}

// level says how bad it is that such a third party can use a rule, or gets past it.
func (t *trying) level() (policy.Level, string) {
	o, m := t.best, &t.rule.Match
	e, named := o.effort, namesAuthors(m)
	switch {
	case t.avoids:
		return policy.Warning, policy.CodeAvoided
	case o.Hides && named && (e >= party || !asksWho(m)): // its author says whose failures are not reported
		return policy.Remark, policy.CodeHidesReports
	case o.Hides && named: // and by what he limits it more than anybody else would
		return policy.Warning, policy.CodeHidesReports
	case o.Hides && e <= account:
		return policy.Error, policy.CodeHidesReports
	case e == anybody:
		return policy.Error, policy.CodeOpensAnybody
	case e == account && named && m.RcptDomain != nil:
		return policy.Warning, policy.CodeOpensAccount
	case e == account:
		return policy.Error, policy.CodeOpensAccount
	case e == customer && m.ARCPass != nil && (named || m.RcptDomain != nil):
		return policy.Remark, policy.CodeOpensCustomer // seals record truly what came in, for the recipients that use them
	case e == customer:
		return policy.Warning, policy.CodeOpensCustomer
	}
	return policy.Remark, policy.CodeOpensParty
}

// openingWords say who can use a rule or gets past it, and what to do about it.
var openingWords = map[string][2]string{
	policy.CodeHidesReports:  {"failing mail is left out of reports", "limit the rule to part of the mail, for example with author, policy_domain or client"},
	policy.CodeOpensAnybody:  {"any third party can use the rule", "add an authenticated criterion of the intended sender: client, iprev, spf_pass, dkim_pass or arc_pass"},
	policy.CodeOpensAccount:  {"anyone with an account or a host there can use the rule", "name the sender itself, or its authors in author and your recipients in rcpt_domain"},
	policy.CodeOpensCustomer: {"every customer of that service can use the rule", "name the authors that are meant in author, or another key of the sender itself"},
	policy.CodeOpensParty:    {"one named party can use the rule for authors that are not its own", "keep the rule if that party checks what it forwards; otherwise name the authors in author"},
	policy.CodeAvoided:       {"third parties get past the rule by what it leaves out", "leave out only what one named party proves, with not_client, not_spf_pass or not_dkim_pass"},
}

// findings says who can use the rule, how, and what comes of it; or that it has no
// effect, which is a mistake, but mail goes on.
func (t *trying) findings() (found []policy.Finding) {
	if o := t.best; o != nil {
		level, code := t.level()
		f := finding(level, code, "match", openingWords[code][0], openingWords[code][1])
		if by := o.spoof.by(); len(by) > 0 {
			f.Text += ": " + strings.Join(by, "; ")
		}
		if !o.Hides {
			f.Text += fmt.Sprintf("; a message that is answered with %v otherwise is answered with %v (profile %v)", o.From, o.To, o.Profile)
		}
		f.Spoof = o.given()
		found = append(found, f)
	}
	_, cut := t.left[t.rule]
	if by := t.blocked; !cut && !t.decided && by != nil && alwaysBefore(by, t.rule) {
		found = append(found, finding(policy.Warning, policy.CodeNeverDecides, "priority",
			fmt.Sprintf("no message was found that this rule decides: rule %q%s decides before", by.ID, place(by)),
			fmt.Sprintf("raise the priority above %d, or remove the rule", by.Priority)))
	}
	return found
}

// notAttacked says that the work limit was reached before a rule was attacked, or
// before it was tried beside others.
func notAttacked(beside []*policy.Rule) policy.Finding {
	text := "the rules are too many for one check: nobody has tried what this one opens"
	if len(beside) > 0 {
		text += fmt.Sprintf(" beside some of the others, such as rule %q%s", beside[0].ID, place(beside[0]))
	}
	return finding(policy.Warning, policy.CodeNotAttacked, "match", text, "join rules that do the same: a rule can name many networks and domains")
}

var neverHolds = finding(policy.Warning, policy.CodeNeverDecides, "match",
	"no message can match: keys of the rule exclude each other", "remove the key that is not meant")
