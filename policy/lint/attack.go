package lint

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
	"dmarcgate/policy/ruletest"
)

// maxDecisions bounds the attack on a whole set, ours: about ten seconds of one
// processor. Rules beyond it are named: not_attacked.
const maxDecisions = 1_500_000

// maxDepth is how many rules that stand before a rule are avoided one after the
// other.
const maxDepth = 2

// attack plays a third party against a set of rules. It decides every message by
// the function that decides real mail.
type attack struct {
	set   policy.Rules // as they are, but that those with a sample are off: the adversary sends again until each draw falls as he wants
	byID  map[string]*policy.Rule
	at    time.Time
	work  int // decisions made so far
	limit int
	left  map[*policy.Rule][]*policy.Rule // rules that the limit kept from being attacked: at all, or beside some of the others, of which the first is here

	deciding []*policy.Rule // those enforced that decide, in the order in which they are tried
	asks     map[*policy.Rule]*asked

	without []string // see Options
}

// off reports whether the adversary shall not have an ability.
func (a *attack) off(ability string) bool { return slices.Contains(a.without, ability) }

// newAttack makes the attack on rules that have no faults.
func newAttack(rules []*policy.Rule, o *Options) (*attack, error) {
	a := &attack{
		byID: make(map[string]*policy.Rule), at: o.Now, limit: maxDecisions, left: make(map[*policy.Rule][]*policy.Rule),
		asks: make(map[*policy.Rule]*asked), without: o.Without,
	}
	var all []policy.Rule
	for _, r := range slices.SortedFunc(slices.Values(rules), inTurn) {
		a.byID[r.ID], a.asks[r] = r, askedBy(&r.Match)
		drawn := *r
		drawn.Sample = 0
		if sampled(r) {
			drawn.Mode = policy.Off
		}
		all = append(all, drawn)
		if r.Mode == policy.Enforce && !r.Expired(a.at) && r.Action != policy.RuleSkipReport {
			a.deciding = append(a.deciding, r)
		}
	}
	var err error
	a.set, err = policy.NewRules(all)
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

// inTurn compares rules by the order in which they are tried.
func inTurn(a, b *policy.Rule) int {
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.ID, b.ID))
}

// stricter reports whether a rule can make an answer stricter.
func stricter(r *policy.Rule) bool {
	return r.Action != policy.RuleAccept && r.Action != policy.RuleSkipReport
}

// sampled reports whether a rule holds for a part of the messages that it matches.
func sampled(r *policy.Rule) bool { return r.Sample > 0 && r.Sample < 100 }

var attacked = []policy.Profile{policy.Strict, policy.Conformant}

// decide decides about a message under one profile.
func (a *attack) decide(f policy.Facts, p policy.Profile, rules policy.Rules) policy.Decision {
	a.work++
	return ruletest.Settings(policy.Given{Profile: p}, rules).Decide(f)
}

// trying is the attack on one rule, by what it lets in or by what it leaves out.
type trying struct {
	*attack
	rule    *policy.Rule
	set     policy.Rules
	try     func(s *spoof, blockers map[string]bool) // decides about a message, and adds the rules that decide in place of this one
	best    *Opening                                 // that takes the least
	every   []Opening
	avoids  bool    // what it leaves out is tried
	class   *asked  // what the plain message has of the rule's keys
	plain   []spoof // such a message, with nothing else arranged
	decided bool
	blocked *policy.Rule // a rule that decided in its place
}

func (a *attack) trying(r *policy.Rule) *trying {
	t := &trying{attack: a, rule: r, set: a.set.Trying(r.ID)}
	t.try = t.use
	return t
}

// used attacks one rule by what it lets in, with the others as they are.
func (a *attack) used(r *policy.Rule) []policy.Finding {
	if r.Expired(a.at) || a.spent(r) {
		return nil
	}
	t := a.trying(r)
	list := t.play(a.asks[r], a.at, maxSpoofs, 0)
	if len(list) == 0 {
		return []policy.Finding{neverHolds}
	}
	t.above(list[0].effort)
	return t.findings()
}

// play tries messages that are as m asks, at most the number most, and where another
// rule decides, waits for its end or tries messages beside them that it does not match.
func (t *trying) play(m *asked, at time.Time, most, depth int) []spoof {
	list := t.spoofs(m, at, most)
	blockers := map[string]bool{}
	for i := range list {
		t.try(&list[i], blockers)
	}
	if depth == maxDepth || t.off("others") {
		return list
	}
	for _, id := range slices.Sorted(maps.Keys(blockers)) {
		by := t.byID[id]
		if end := by.Expires; !end.IsZero() && !t.rule.Expired(end) {
			t.play(m, end, maxDodges, depth+1)
		}
		for _, n := range exclusions(&by.Match, false) {
			if both, ok := t.meet(m, &n); ok && !t.spent(t.rule, by) {
				t.playAs(&n, &both, at, depth+1)
			}
		}
	}
	return list
}

// playAs is play with a plain message that is as n asks, too, but for who sends.
func (t *trying) playAs(n, m *asked, at time.Time, depth int) {
	class, plain := t.class, t.plain
	if t.avoids {
		if both, ok := t.meet(class, classOf(n)); ok {
			if plain := t.spoofs(&both, at, 1); len(plain) > 0 {
				t.class, t.plain = &both, plain
			}
		}
	}
	t.play(m, at, maxDodges, depth)
	t.class, t.plain = class, plain
}

// use tries what the rule lets in.
func (t *trying) use(s *spoof, blockers map[string]bool) {
	f := ruletest.Facts(s.Given, t.at)
	for _, p := range attacked {
		d := t.decide(f, p, t.set)
		switch {
		case d.Unreported == t.rule.ID:
			t.decided = true
			t.open(s, Opening{To: d.Action, Profile: p, Hides: true})
		case d.Rule == t.rule.ID:
			t.decided = true
			if base := t.base(f, p, d.Also); d.Action < base {
				t.open(s, Opening{To: d.Action, From: base, Profile: p})
			}
		case d.Rule != "" && slices.Contains(d.Also, t.rule.ID):
			t.blocked = t.byID[d.Rule]
			blockers[d.Rule] = true
		}
	}
}

// base is what the message is answered with where no rule makes anything milder: the
// severest answer of the profile and of the rules below that match, each alone.
func (t *trying) base(f policy.Facts, p policy.Profile, below []string) policy.Action {
	base := t.decide(f, p, policy.Rules{}).Action
	if len(below) == policy.MaxNamed { // and there may be more
		below = nil
		for _, u := range t.deciding {
			below = append(below, u.ID)
		}
	}
	for _, id := range below {
		if sampled(t.byID[id]) { // the adversary sends again until it does not hold
			continue
		}
		base = max(base, t.decide(f, p, t.set.Only(id)).Action)
	}
	return base
}

// open keeps an opening, unless the adversary cannot have it.
func (t *trying) open(s *spoof, o Opening) {
	if s.effort == beyond || t.off(efforts[s.effort]) || s.ownAffair() {
		return
	}
	o.spoof, o.effort = *s, s.effort
	if s.effort == party && s.wide() && !namesAuthors(&t.rule.Match) {
		o.effort = account // one of many hosts or names, in the name of any author, is no one party
	}
	t.every = append(t.every, o)
	if t.best == nil || o.effort < t.best.effort {
		t.best = &o
	}
}

// above tries messages that rules below this one match, too, which make answers
// stricter: so much is lost where this one decides. least is the effort of the
// rule alone; what has been found to take no more is enough.
func (t *trying) above(least effort) {
	if t.rule.Action == policy.RuleReject || t.rule.Action == policy.RuleSkipReport || t.off("below") {
		return
	}
	after, _ := slices.BinarySearchFunc(t.deciding, t.rule, inTurn)
	for _, u := range t.deciding[after:] {
		if t.best != nil && t.best.effort <= least {
			return
		}
		if u == t.rule || !stricter(u) {
			continue
		}
		if !sampled(u) {
			t.playBoth(t.asks[t.rule], u)
		}
		t.beside(u)
	}
}

// playBoth tries messages that m and another rule match; beside the plain message that
// passes as the other rule asks, and the one that passes in another way.
func (t *trying) playBoth(m *asked, u *policy.Rule) {
	if m.apart(t.asks[u]) || t.spent(t.rule, u) {
		return
	}
	if both, ok := t.meet(m, t.asks[u]); ok {
		like := *t.asks[u]
		t.playAs(&like, &both, t.at, maxDepth-1)
		if like.PassBy != nil && t.avoids {
			like.PassBy = others(passWays, like.PassBy)
			t.playAs(&like, &both, t.at, maxDepth-1)
		}
	}
}

// beside tries messages with two author domains, one that each rule is about: to a rule
// that makes nothing milder than the profile, one of them is enough.
func (t *trying) beside(u *policy.Rule) {
	rest := *t.asks[u]
	m, n := &rest.Match, &rest.Not
	about := m.Author != nil || m.PolicyDomain != nil || n.Author != nil || n.PolicyDomain != nil
	if t.rule.Action == policy.RuleAccept || !about || t.spent(t.rule, u) {
		return
	}
	second := names(written, slices.Concat(n.Author, n.PolicyDomain), victimNames, m.Author, m.PolicyDomain)
	m.Author, m.PolicyDomain, n.Author, n.PolicyDomain = nil, nil, nil, nil
	if both, ok := t.meet(t.asks[t.rule], &rest); ok && len(second) > 0 {
		both.beside = second[0].value
		set := t.set
		t.set = t.attack.set.Trying(t.rule.ID, u.ID) // the draw of a sample falls as the third party wants
		t.play(&both, t.at, maxDodges, maxDepth-1)
		t.set = set
	}
}

// avoided attacks a rule that refuses or defers: it says how a message that the rule
// would decide gets past by what the rule leaves out (its keys with "not_" and those
// that must be false). That is a warning at most, since without the rule the message
// would be let in just as well.
func (a *attack) avoided(r *policy.Rule) []policy.Finding {
	if !stricter(r) || r.Expired(a.at) || a.off("avoid") || a.spent(r) {
		return nil
	}
	t := a.trying(r)
	t.try, t.avoids, t.class = t.avoid, true, classOf(a.asks[r])
	t.past()
	if m := &r.Match; t.best == nil && slices.Contains(m.Result, passWord) { // who has mail pass has it come as the rule asks, too
		c := t.class
		c.Client, c.IPRev, c.SPFPass, c.DKIMPass, c.HELO, c.MailFrom = m.Client, m.IPRev, m.SPFPass, m.DKIMPass, m.HELO, m.MailFrom
		t.past()
		for i, list := range [][]pattern.Domain{m.DKIMPass, m.SPFPass} { // of the signer or the sender itself
			own, ok := t.meet(c, &asked{Match: policy.Match{Author: list}})
			if t.best != nil || list == nil || !ok {
				continue
			}
			if i == 0 {
				own.DKIMPass = nil
			} else {
				own.SPFPass, own.PassBy = nil, passWays[1:2]
			}
			t.class = &own
			t.past()
		}
	}
	return t.findings()
}

// past tries messages of the class that the rule does not match.
func (t *trying) past() {
	if t.plain = t.spoofs(t.class, t.at, 1); len(t.plain) == 0 {
		return
	}
	for _, n := range exclusions(&t.rule.Match, true) {
		if both, ok := t.meet(t.class, &n); ok && !t.spent(t.rule) {
			t.play(&both, t.at, maxSpoofs, 0)
		}
	}
	if sampled(t.rule) && !t.off("below") {
		t.behind()
	}
}

// behind tries messages that rules decide which stand before a rule with a sample.
// What those rules open is told of them by what is below, but for what a draw spares.
func (t *trying) behind() {
	before, _ := slices.BinarySearchFunc(t.deciding, t.rule, inTurn)
	set := t.set
	for _, u := range t.deciding[:before] {
		if u.Action < policy.RuleReject {
			t.set = t.attack.set.Trying(t.rule.ID, u.ID)
			t.playBoth(t.class, u)
		}
	}
	t.set = set
}

// avoid tries whether the rule decides the plain message, and the message of s is
// answered with less, though not less than without any rule, which is told of the other
// rule; or a draw spares it.
func (t *trying) avoid(s *spoof, blockers map[string]bool) {
	if s.effort >= party || t.best != nil && t.best.effort <= s.effort {
		return
	}
	plain, f := ruletest.Facts(s.plain(&t.plain[0].Given), t.at), ruletest.Facts(s.Given, t.at)
	for _, p := range attacked {
		was := t.decide(plain, p, t.set)
		switch {
		case was.Rule == t.rule.ID:
			now := t.decide(f, p, t.set)
			if now.Action < was.Action && (now.Rule == "" || sampled(t.rule) || now.Action >= t.decide(f, p, policy.Rules{}).Action) {
				t.open(s, Opening{From: was.Action, To: now.Action, Profile: p})
				clear(blockers) // this one is enough
				return
			}
			if now.Rule != "" {
				blockers[now.Rule] = true
			}
		case was.Rule != "" && slices.Contains(was.Also, t.rule.ID):
			blockers[was.Rule] = true
		}
	}
}
