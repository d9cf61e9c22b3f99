package lint

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
	"dmarcgate/policy/ruletest"
)

// maxDecisions bounds the attack on a whole set, ours: about ten seconds of one
// processor. Rules beyond it are named, see notAttacked.
const maxDecisions = 1_500_000

// maxDepth is how many rules that stand before a rule are avoided one after the
// other.
const maxDepth = 2

// attack plays a third party against a set of rules. It decides every message by
// the function that decides real mail.
type attack struct {
	set   policy.Rules // as they are, but that every draw falls as the adversary wants
	hard  policy.Rules // those alone that refuse, defer, or do as published
	none  policy.Rules // no rules: the profile alone
	byID  map[string]*policy.Rule
	order []*policy.Rule // those enforced that can make an answer stricter, in the order in which they are tried
	at    time.Time
	work  int // decisions made so far
	limit int
	left  map[*policy.Rule][]*policy.Rule // rules that the limit kept from being attacked: at all, or beside some of the others, of which the first is here

	sketches map[*policy.Rule]sketch

	without []string // see Options
}

// off reports whether the adversary shall not have an ability.
func (a *attack) off(ability string) bool { return slices.Contains(a.without, ability) }

// newAttack makes the attack on rules that have no faults.
func newAttack(rules []*policy.Rule, o *Options) (*attack, error) {
	a := &attack{
		byID: make(map[string]*policy.Rule), at: o.Now, limit: maxDecisions, left: make(map[*policy.Rule][]*policy.Rule),
		sketches: make(map[*policy.Rule]sketch), without: o.Without,
	}
	var all, hard []policy.Rule
	for _, r := range rules {
		a.byID[r.ID], a.sketches[r] = r, sketchOf(&r.Match)
		drawn := *r
		drawn.Sample = 0
		if tightens(r) {
			if r.Sample > 0 && r.Sample < 100 { // the adversary sends again until the draw spares him
				drawn.Mode = policy.Off
			} else {
				hard = append(hard, drawn)
			}
		}
		all = append(all, drawn)
	}
	var err error
	if a.set, err = policy.NewRules(all); err != nil {
		return nil, err
	}
	for _, r := range inOrder(rules) {
		if r.Mode == policy.Enforce && (tightens(r) || r.Action == policy.RuleQuarantine) && !r.Expired(a.at) {
			a.order = append(a.order, r)
		}
	}
	a.hard, err = policy.NewRules(hard)
	return a, err
}

// spent reports whether the work limit is reached, and keeps what is not tried
// because of it: r, or r beside another rule.
func (a *attack) spent(r *policy.Rule, beside ...*policy.Rule) bool {
	if a.work < a.limit {
		return false
	}
	a.left[r] = append(a.left[r], beside...)
	a.left[r] = a.left[r][:min(len(a.left[r]), 1)] // the first tells where to look
	return true
}

// tightens reports whether a rule is there to do more than the rest.
func tightens(r *policy.Rule) bool {
	return r.Action == policy.RuleReject || r.Action == policy.RuleTempfail || r.Action == policy.RuleAsPublished
}

var attacked = []policy.Profile{policy.Strict, policy.Conformant}

// decide decides about a message under one profile.
func (a *attack) decide(g policy.Given, f policy.Facts, p policy.Profile, rules policy.Rules) policy.Decision {
	a.work++
	g.Profile = p
	return ruletest.Settings(g, rules).Decide(f)
}

// opening is what a message gains by a rule.
type opening struct {
	spoof   spoof
	got     policy.Decision
	base    policy.Action // without rules that make the answer milder
	profile policy.Profile
	hides   bool // the rule keeps the message out of reports
}

// trying is the attack on one rule.
type trying struct {
	*attack
	rule    *policy.Rule
	set     policy.Rules
	opened  *opening
	told    func(opening) // of every opening; may be nil
	decided bool
	blocked *policy.Rule // a rule that decided in its place
}

// rule attacks one rule, with the others as they are.
func (a *attack) rule(r *policy.Rule) []policy.Finding {
	if r.Expired(a.at) || a.spent(r) {
		return nil
	}
	t := &trying{attack: a, rule: r, set: a.set.Trying(r.ID)}
	list := a.spoofs(&r.Match, a.at)
	if len(list) == 0 {
		return []policy.Finding{neverHolds()}
	}
	t.play(list, &r.Match, 0)
	t.meet(list[0].effort)
	return t.findings()
}

// meet tries messages that are also as rules below this one ask which make answers
// stricter: so much is lost where this one decides. least is the effort of the
// rule alone; what has been found to take no more is enough.
func (t *trying) meet(least effort) {
	if t.rule.Action == policy.RuleReject || t.rule.Action == policy.RuleSkipReport || t.off("below") {
		return
	}
	after, _ := slices.BinarySearchFunc(t.order, t.rule, inTurn)
	for _, u := range t.order[after:] {
		if t.opened != nil && t.effort(t.opened) <= least {
			return
		}
		if u == t.rule || t.sketches[u].apart(t.sketches[t.rule]) || t.spent(t.rule, u) {
			continue
		}
		if both, ok := t.attack.meet(&t.rule.Match, &u.Match); ok {
			list := t.spoofs(&both, t.at)
			for i := range list[:min(len(list), maxDodges)] {
				t.try(&list[i])
			}
		}
	}
}

// play tries messages, and where another rule decides, messages beside them that
// this rule does not match.
func (t *trying) play(list []spoof, m *policy.Match, depth int) {
	blockers := map[string]bool{}
	for i := range list {
		for _, b := range t.try(&list[i]) {
			blockers[b] = true
		}
	}
	if depth == maxDepth || t.off("others") {
		return
	}
	for _, id := range sortedKeys(blockers) {
		if end := t.byID[id].Expires; !end.IsZero() && !t.rule.Expired(end) { // the adversary waits
			later := t.spoofs(m, end)
			t.play(later[:min(len(later), maxDodges)], m, depth+1)
		}
		for _, n := range negations(&t.byID[id].Match) {
			if both, ok := join(m, &n); ok && !t.spent(t.rule, t.byID[id]) {
				dodges := t.spoofs(&both, t.at)
				t.play(dodges[:min(len(dodges), maxDodges)], &both, depth+1)
			}
		}
	}
}

// try decides about one message, and returns the rules that decided in place of
// this one.
func (t *trying) try(s *spoof) (blockers []string) {
	f := ruletest.Facts(s.Given, t.at)
	for _, p := range attacked {
		d := t.decide(s.Given, f, p, t.set)
		switch {
		case d.Unreported == t.rule.ID:
			t.decided = true
			t.open(opening{spoof: *s, got: d, profile: p, hides: true})
		case d.Rule == t.rule.ID:
			t.decided = true
			if base := t.base(s.Given, f, p); d.Action < base {
				t.open(opening{spoof: *s, got: d, base: base, profile: p})
			}
		case d.Rule != "" && slices.Contains(d.Also, t.rule.ID):
			t.blocked = t.byID[d.Rule]
			blockers = append(blockers, d.Rule)
		}
	}
	return blockers
}

// base is what the message is answered with where no rule makes anything milder.
func (t *trying) base(g policy.Given, f policy.Facts, p policy.Profile) policy.Action {
	return max(t.decide(g, f, p, t.none).Action, t.decide(g, f, p, t.hard).Action, t.decide(g, f, p, t.set.Without(t.rule.ID)).Action)
}

// open keeps the opening that takes the least.
func (t *trying) open(o opening) {
	if o.spoof.effort == beyond || t.off(efforts[o.spoof.effort]) || o.ownAffair() {
		return
	}
	if t.told != nil {
		t.told(o)
	}
	if t.opened == nil || t.effort(&o) < t.effort(t.opened) {
		t.opened = &o
	}
}

// ownAffair: an owner that lets in mail in its own name opens nothing.
func (o *opening) ownAffair() bool {
	if o.spoof.effort != party {
		return false
	}
	for _, author := range o.spoof.Author {
		for _, owner := range o.spoof.owners {
			if !dmarc.Related(author, owner) {
				return false
			}
		}
	}
	return len(o.spoof.Author) > 0 && len(o.spoof.owners) > 0
}

// effort of an opening: one of many hosts or names in the name of any author is no
// one party.
func (t *trying) effort(o *opening) effort {
	if o.spoof.effort == party && o.spoof.wide && !namesAuthors(&t.rule.Match) {
		return account
	}
	return o.spoof.effort
}

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

func sortedKeys(set map[string]bool) []string {
	var list []string
	for k := range set {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

// level says how bad it is that such a third party can use the rule.
func (t *trying) level(o *opening) (policy.Level, string) {
	m := &t.rule.Match
	e := t.effort(o)
	named := namesAuthors(m)
	switch {
	case o.hides && named && (e >= party || !asksMore(m)): // its author says whose failures are not reported
		return policy.Remark, policy.CodeHidesReports
	case o.hides && named: // and by what he limits it more than anybody else would
		return policy.Warning, policy.CodeHidesReports
	case o.hides && e <= account:
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

func (t *trying) findings() []policy.Finding {
	var found []policy.Finding
	if o := t.opened; o != nil {
		level, code := t.level(o)
		given := o.given()
		found = append(found, policy.Finding{Level: level, Code: code, Fault: t.fault(o, code), Spoof: &given})
	}
	if _, cut := t.left[t.rule]; !cut && !t.decided && t.blocked != nil && alwaysBefore(t.blocked, t.rule) {
		found = append(found, t.neverDecides())
	}
	return found
}

// fault says who can use the rule, how, and what comes of it.
func (t *trying) fault(o *opening, code string) pattern.Fault {
	f := pattern.Fault{Key: "match"}
	switch code {
	case policy.CodeHidesReports:
		f.Text, f.Fix = "failing mail is left out of reports", "limit the rule to part of the mail, for example with author, policy_domain or client"
	case policy.CodeOpensAnybody:
		f.Text, f.Fix = "any third party can use the rule", "add an authenticated criterion of the intended sender: client, iprev, spf_pass, dkim_pass or arc_pass"
	case policy.CodeOpensAccount:
		f.Text, f.Fix = "anyone with an account or a host there can use the rule", "name the sender itself, or its authors in author and your recipients in rcpt_domain"
	case policy.CodeOpensCustomer:
		f.Text, f.Fix = "every customer of that service can use the rule", "name the authors that are meant in author, or another key of the sender itself"
	default:
		f.Text, f.Fix = "one named party can use the rule for authors that are not its own", "keep the rule if that party checks what it forwards; otherwise name the authors in author"
	}
	if len(o.spoof.by) > 0 {
		f.Text += ": " + strings.Join(o.spoof.by, "; ")
	}
	if !o.hides {
		f.Text += fmt.Sprintf("; a message that is answered with %v otherwise is answered with %v (profile %v)", o.base, o.got.Action, o.profile)
	}
	return f
}

// notAttacked says that the work limit was reached before a rule was attacked, or
// before it was tried beside others.
func notAttacked(beside []*policy.Rule) policy.Finding {
	text := "the rules are too many for one check: nobody has tried what this one opens"
	if len(beside) > 0 {
		text += fmt.Sprintf(" beside some of the others, such as rule %q%s", beside[0].ID, place(beside[0]))
	}
	return policy.Finding{Level: policy.Warning, Code: policy.CodeNotAttacked, Fault: pattern.Fault{
		Key: "match", Text: text, Fix: "join rules that do the same: a rule can name many networks and domains",
	}}
}

func neverHolds() policy.Finding {
	return policy.Finding{Level: policy.Warning, Code: policy.CodeNeverDecides, Fault: pattern.Fault{
		Key: "match", Text: "no message can match: keys of the rule exclude each other", Fix: "remove the key that is not meant",
	}}
}

// neverDecides says that a rule has no effect: a mistake, but mail goes on.
func (t *trying) neverDecides() policy.Finding {
	by := t.blocked
	f := policy.Finding{Level: policy.Warning, Code: policy.CodeNeverDecides, Fault: pattern.Fault{
		Key:  "priority",
		Text: fmt.Sprintf("no message was found that this rule decides: rule %q%s decides before", by.ID, place(by)),
		Fix:  fmt.Sprintf("raise the priority above %d, or remove the rule", by.Priority),
	}}
	return f
}

// alwaysBefore reports whether a rule that decides in place of r does so for every
// message, and for as long as r lasts.
func alwaysBefore(by, r *policy.Rule) bool {
	return (by.Sample == 0 || by.Sample == 100) && (by.Expires.IsZero() || !r.Expires.IsZero() && !by.Expires.Before(r.Expires))
}

// conflicts finds enforced rules that have the match of one before them and another
// action: nobody can know which of the two is meant.
func conflicts(rules []*policy.Rule, at time.Time) map[*policy.Rule]policy.Finding {
	found := make(map[*policy.Rule]policy.Finding)
	first := make(map[string]*policy.Rule)
	for _, r := range inOrder(rules) {
		if r.Mode != policy.Enforce || r.Action == policy.RuleSkipReport || r.Expired(at) {
			continue
		}
		key := canonical(&r.Match)
		by, twice := first[key]
		if !twice {
			first[key] = r
		} else if by.Action != r.Action && alwaysBefore(by, r) {
			found[r] = policy.Finding{Level: policy.Error, Code: policy.CodeConflict, Fault: pattern.Fault{
				Key:  "match",
				Text: fmt.Sprintf("rule %q%s has the same match and another action, %v", by.ID, place(by), by.Action),
				Fix:  "keep one of the two rules, or add a criterion that distinguishes them",
			}}
		}
	}
	return found
}

// inOrder returns the rules in the order in which they are tried.
func inOrder(rules []*policy.Rule) []*policy.Rule {
	return slices.SortedFunc(slices.Values(rules), inTurn)
}

func inTurn(a, b *policy.Rule) int {
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.ID, b.ID))
}

// canonical writes a match in one way, whatever the order of its items.
func canonical(m *policy.Match) string {
	c := *m
	if c.Result == nil {
		c.Result = []string{dmarc.Fail.String()}
	}
	for _, k := range lists {
		for _, list := range []*[]pattern.Domain{k.yes(&c), k.no(&c)} {
			*list = sorted(*list)
		}
	}
	c.SPF, c.PassBy = sorted(c.SPF), sorted(c.PassBy)
	c.Client, c.Not.Client, c.ARCPass = sorted(c.Client), sorted(c.Not.Client), sorted(c.ARCPass)
	c.Result, c.Requested, c.FromField, c.Listener = sorted(c.Result), sorted(c.Requested), sorted(c.FromField), sorted(c.Listener)
	text, err := json.Marshal(c)
	if err != nil { // not for a match that has been read
		return fmt.Sprintf("%p", m)
	}
	return string(text)
}

func sorted[T any](list []T) []T {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b T) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return list
}
