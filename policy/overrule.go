package policy

import (
	"slices"

	"dmarcgate/auth/dmarc"
)

// overrule applies the rules to what the profile decided.
func (s Settings) overrule(f Facts, profile Decision) Decision {
	if s.Rules.Len() == 0 || !s.unusable(f) && !slices.ContainsFunc(f.Authors, fallible) {
		return profile
	}
	t := s.trial(f, profile)
	d := profile
	for i := range s.Rules.list {
		r := &s.Rules.list[i]
		out, matches := t.try(r)
		switch {
		case !matches:
		case r.Mode != Enforce || s.Profile == Monitor:
			d.Shadow = append(d.Shadow, ShadowDecision{Rule: r.ID, Action: out.Action, Disposition: out.Disposition})
		case d.Rule == "":
			out.Shadow = d.Shadow
			d = out
		default:
			d.Also = append(d.Also, r.ID)
		}
	}
	return d
}

// fallible reports whether rules can be about a: they never are about a pass.
func fallible(a Author) bool { return resultOf(a.Verdict) != dmarc.Pass.String() }

// trial is one message before the rules.
type trial struct {
	facts      Facts
	subjects   []subject
	quarantine Action
	profile    Decision // what is done without a rule
	published  Decision // what is done under the profile strict
	asked      Decision // what the domain owners ask for, after t and pct
}

// subject is an author domain as rules see it.
type subject struct {
	Author
	result string // pass, or one of ruleResults
}

func (s Settings) trial(f Facts, profile Decision) trial {
	t := trial{facts: f, profile: profile, quarantine: s.Quarantine}
	strict := s
	strict.Profile = Strict
	t.published = strict.decideProfile(f)
	t.published.Evidence = profile.Evidence
	if s.unusable(f) {
		t.subjects = []subject{{result: dmarc.PermError.String()}}
		return t
	}
	t.asked = Settings{Profile: Strict, Quarantine: Tag, IgnorePct: s.IgnorePct}.decideProfile(f)
	for _, a := range f.Authors {
		t.subjects = append(t.subjects, subject{Author: a, result: resultOf(a.Verdict)})
	}
	if t.quarantine == Refuse && t.undecided() {
		t.quarantine = Tag // temperror is never a rejection
	}
	return t
}

// resultOf takes a message whose record is not known for passed when an
// identifier equal to its author domain has: no record asks for anything then.
func resultOf(v dmarc.Verdict) string {
	if v.Status == dmarc.TempError && (v.AlignedSPF || v.AlignedDKIM) {
		return dmarc.Pass.String()
	}
	return v.Status.String()
}

func (t *trial) undecided() bool {
	return slices.ContainsFunc(t.subjects, func(s subject) bool { return s.result == dmarc.TempError.String() })
}

// try returns what r makes of the message, if r matches it.
func (t *trial) try(r *Rule) (Decision, bool) {
	if r.Mode == Off || r.Expired(t.facts.Time) || !r.Match.origin(&t.facts) {
		return Decision{}, false
	}
	d := t.outcome(r)
	milder := r.Action == RuleAccept || d.Action < t.profile.Action
	about, ok := r.Match.authors(t.subjects, milder)
	if !ok || !r.Match.recipients(t.facts.Recipients, milder) {
		return Decision{}, false
	}
	if !milder && r.Action != RuleAsPublished {
		d.name(about)
	}
	d.Rule = r.ID
	d.Reason += "; rule " + r.ID
	return d, true
}

// outcome is what r does with a message that it matches.
func (t *trial) outcome(r *Rule) Decision {
	d := t.profile
	switch r.Action {
	case RuleAccept:
		d.Action, d.Disposition = Accept, None
	case RuleQuarantine:
		d.Action, d.Disposition = t.quarantine, Quarantine
		if t.quarantine == Refuse {
			d.Disposition = Reject
		}
	case RuleTempfail:
		d.Action, d.Disposition = Tempfail, None
	case RuleReject:
		d.Action, d.Disposition = Refuse, Reject
	default:
		return t.published
	}
	d.Override = t.override(r, d)
	return d
}

// override says how d differs from what the owners asked for. Doing more than
// that is local policy, whatever the rule is for (RFC 9990, Section 3.1.6).
func (t *trial) override(r *Rule, d Decision) Override {
	switch {
	case d.Action == Tempfail && t.asked.Disposition < Reject:
		return LocalPolicy
	case d.Action == Tempfail:
		return r.reason()
	case d.Disposition > t.asked.Disposition:
		return LocalPolicy
	case d.Disposition < t.asked.Disposition:
		return r.reason()
	}
	return t.asked.Override
}

// name makes the decision one about an author domain that the rule is about.
func (d *Decision) name(about []subject) {
	if slices.ContainsFunc(about, func(s subject) bool { return s.Domain == d.Author }) {
		return
	}
	d.Author, d.Reason, d.Evidence = about[0].Domain, about[0].Verdict.Reason, NotWeighed
}

// origin reports whether the keys hold that are about where the message came
// from.
func (m *Match) origin(f *Facts) bool {
	return (m.ClientIP == nil || f.clientHeld(m.ClientIP)) && (m.SPFPass == nil || f.spfPass(m.SPFPass)) &&
		(m.DKIMPass == nil || f.dkimPass(m.DKIMPass)) && (m.Listener == nil || slices.Contains(m.Listener, f.Listener))
}

// recipients reports whether rcpt_domain holds, for every recipient or for
// one. A message of which no recipient is known is nobody's.
func (m *Match) recipients(domains []string, every bool) bool {
	if m.RcptDomain == nil {
		return true
	}
	n := 0
	for _, d := range domains {
		if oneHolds(m.RcptDomain, d, "") {
			n++
		}
	}
	return n > 0 && (!every || n == len(domains))
}

// authors returns the author domains for which header_from and result hold,
// and whether that is enough of them.
func (m *Match) authors(all []subject, every bool) ([]subject, bool) {
	var about []subject
	complete := true
	for _, s := range all {
		from := m.HeaderFrom == nil || oneHolds(m.HeaderFrom, s.Domain, s.Org)
		result := m.result(s.result)
		if from && result {
			about = append(about, s)
		}
		complete = complete && from && (result || s.result == dmarc.Pass.String())
	}
	return about, len(about) > 0 && (complete || !every)
}

func (m *Match) result(result string) bool {
	if m.Result == nil {
		return result == dmarc.Fail.String()
	}
	return slices.Contains(m.Result, result)
}

func oneHolds(patterns []DomainPattern, domain, org string) bool {
	return slices.ContainsFunc(patterns, func(p DomainPattern) bool { return p.holds(domain, org) })
}
