package lint

import (
	"fmt"
	"iter"
	"slices"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// anchorChecks are the errors of a rule that accepts, the worst first: whether
// what it accepts by can be trusted. One is enough to say.
var anchorChecks = []check{
	{policy.CodeUnanchored, policy.Error, unanchored},
	{policy.CodePublicSuffix, policy.Error, publicSuffix},
	{policy.CodeWideNetwork, policy.Error, wideNetwork},
	{policy.CodeOpenNetwork, policy.Error, openNetwork},
	{policy.CodeManyAddresses, policy.Error, tooManyAddresses},
	{policy.CodeSharedSender, policy.Error, sharedSender},
	{policy.CodeWildcards, policy.Error, wildcards},
}

// anchor is a key of a rule that a third party cannot make hold by what he
// writes, with what it names.
type anchor struct {
	key      string // "match.client"
	networks []pattern.Network
	domains  []pattern.Domain
}

// anchors returns those that m has. All of them must hold, so that one which is
// narrow is enough to trust m; of its list any item is enough, so that it is as
// good as the worst of them. What is denied anchors nothing: anybody can be not
// somebody.
func anchorsOf(m *policy.Match) []anchor {
	all := []anchor{
		{"match.client", m.Client, nil}, {"match.iprev", nil, m.IPRev}, {"match.spf_pass", nil, m.SPFPass},
		{"match.dkim_pass", nil, m.DKIMPass}, {"match.arc_pass", nil, m.ARCPass},
	}
	return slices.DeleteFunc(all, func(a anchor) bool { return len(a.networks)+len(a.domains) == 0 })
}

// grade is how few can make an anchor hold.
type grade uint8

const (
	narrow grade = iota // one sender
	wide                // many hosts or names, of one owner as it seems
	sealer              // everybody who writes to the customers of a provider that records what it receives
	shared              // everybody who gets an account
)

func (a anchor) grade() grade {
	worst := narrow
	for _, n := range a.networks {
		if wideNet(n) {
			worst = max(worst, wide)
		}
	}
	for _, p := range a.domains {
		if m, ok := mailerOf(p); ok {
			worst = max(worst, a.gradeOf(m, p))
		} else if p.Kind() == pattern.Below || p.Map() != nil && p.Map().HasBelow() {
			worst = max(worst, wide)
		}
	}
	return worst
}

// gradeOf is the grade of a domain of a shared service.
func (a anchor) gradeOf(m mailer, p pattern.Domain) grade {
	arc := a.key == "match.arc_pass"
	switch {
	case arc && (m.kind == mailboxes || m.kind == sealing):
		return sealer
	case m.kind == sealing && p.Kind() == pattern.Exact, a.key == "match.dkim_pass" && m.signsForTenant(p):
		return narrow
	}
	return shared
}

// carries reports whether everything hangs on key: no other anchor of an
// accepting rule is narrow.
func carries(r *policy.Rule, key string) bool {
	return r.Action == policy.RuleAccept && !slices.ContainsFunc(anchorsOf(&r.Match), func(a anchor) bool { return a.key != key && a.grade() == narrow })
}

// namesAuthors reports whether m is about the mail of certain authors alone:
// domains and organizations, but not every name below one.
func namesAuthors(m *policy.Match) bool {
	return len(m.Author) > 0 && !slices.ContainsFunc(m.Author, func(p pattern.Domain) bool {
		return p.Kind() == pattern.Below || wideDomain(p) || p.Map() != nil && p.Map().HasBelow()
	})
}

func unanchored(r *policy.Rule, _ *Options) (pattern.Fault, bool) {
	return fault(r.Action == policy.RuleAccept && len(anchorsOf(&r.Match)) == 0, "match",
		"matches only data that the sender controls", "add an authenticated criterion of the intended sender: client, iprev, spf_pass, dkim_pass or arc_pass")
}

func publicSuffix(r *policy.Rule, _ *Options) (pattern.Fault, bool) {
	if r.Action != policy.RuleAccept {
		return pattern.Fault{}, false
	}
	for _, a := range anchorsOf(&r.Match) {
		for _, p := range a.domains {
			for q := range wideOnes(p) {
				if f, bad := everybody(q); bad {
					f.Key = a.key
					if p.Map() != nil {
						f.Text += fmt.Sprintf(", in %q", p)
					}
					return f, true
				}
			}
		}
	}
	return pattern.Fault{}, false
}

// wideOnes returns p, or what a map has that can hold more than one domain.
func wideOnes(p pattern.Domain) iter.Seq[pattern.Domain] {
	if m := p.Map(); m != nil {
		return m.Below()
	}
	return func(yield func(pattern.Domain) bool) { yield(p) }
}

// wideDomain reports whether p holds domains of owners that have nothing to do
// with each other: everything below a public suffix. Whoever asks about a map
// looks at what it holds.
func wideDomain(p pattern.Domain) bool {
	return p.Kind() != pattern.Listed && p.Kind() != pattern.Exact && dmarc.PublicSuffix().Org(p.Name()) == ""
}

func everybody(p pattern.Domain) (pattern.Fault, bool) {
	return fault(wideDomain(p), "", fmt.Sprintf("%q matches everybody below a public suffix", p), "name the domains of the sender")
}

// sharedSender: whoever gets an account there can use the rule, in the name of
// every author that it does not exclude.
func sharedSender(r *policy.Rule, o *Options) (pattern.Fault, bool) {
	if namesAuthors(&r.Match) {
		return pattern.Fault{}, false
	}
	return anySharedSender(r, o)
}

func sharedSenderOfAuthors(r *policy.Rule, o *Options) (pattern.Fault, bool) {
	f, bad := anySharedSender(r, o)
	f.Fix = "make sure that these authors send through this service, or name a narrower sender"
	return f, bad && namesAuthors(&r.Match)
}

func anySharedSender(r *policy.Rule, _ *Options) (pattern.Fault, bool) {
	if !carries(r, "") {
		return pattern.Fault{}, false
	}
	for _, a := range anchorsOf(&r.Match) {
		for _, p := range a.domains {
			if m, ok := mailerOf(p); ok && a.gradeOf(m, p) == shared {
				return fault(true, a.key, fmt.Sprintf("%s is %v, where anybody can get an account", m.nameIn(p), m.kind),
					"name the sender itself, or the intended authors in author")
			}
		}
	}
	return pattern.Fault{}, false
}

// wildcards: many hosts in the name of many authors.
func wildcards(r *policy.Rule, _ *Options) (pattern.Fault, bool) {
	anchors := anchorsOf(&r.Match)
	if r.Action != policy.RuleAccept || len(anchors) == 0 || namesAuthors(&r.Match) ||
		slices.ContainsFunc(anchors, func(a anchor) bool { return a.grade() != wide }) {
		return pattern.Fault{}, false
	}
	return fault(true, anchors[0].key, "many senders can write in the name of any author",
		fmt.Sprintf("name the hosts or domains of the sender (networks of at most /%d and /%d), or the authors in author", narrow4, narrow6))
}

// openSealer: a large provider seals whatever its customers forward. It records
// truly what it received, which is good for the recipients that use it.
func openSealer(r *policy.Rule, _ *Options) (pattern.Fault, bool) {
	anchors := anchorsOf(&r.Match)
	if r.Action != policy.RuleAccept || len(r.Match.RcptDomain) > 0 || namesAuthors(&r.Match) || !carries(r, "match.arc_pass") {
		return pattern.Fault{}, false
	}
	for _, a := range anchors {
		if a.grade() == sealer {
			return fault(true, a.key, "large providers seal mail for everybody who forwards through them",
				"name the authors in author, or the recipients who have their mail forwarded in rcpt_domain")
		}
	}
	return pattern.Fault{}, false
}
