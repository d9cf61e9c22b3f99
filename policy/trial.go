package policy

import (
	"math/bits"
	"slices"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy/sampling"
	"dmarcgate/scope"
)

// fallible reports whether rules can be about a that are not about mail that
// passes.
func fallible(a Author) bool { return resultOf(a.Verdict) != dmarc.Pass.String() }

// trial is one message before the rules. It has copies, because what it pointed
// to would have to be allocated for each message.
type trial struct {
	settings   Settings
	facts      Facts
	room       [MaxAuthors]subject
	count      int
	unusable   bool
	quarantine Action
	profile    Decision // what is done without a rule
	strict     Decision // see published
	asks       Decision // see asked
	haveStrict bool
	haveAsks   bool
}

// subject is an author domain as rules see it.
type subject struct {
	*Author
	result string // pass, or one of ruleResults
}

// policyOrg is the Organizational Domain of the policy domain: that of the
// author domain, but for a record of a public suffix (RFC 9989, Section 4.10),
// which is above it.
func (s *subject) policyOrg() string {
	if scope.AtOrBelow(s.PolicyDomain, s.Org) {
		return s.Org
	}
	return ""
}

func (s *Settings) trial(f *Facts, profile Decision) trial {
	t := trial{settings: *s, facts: *f, profile: profile, quarantine: s.Quarantine, unusable: s.unusable(*f)}
	if t.unusable {
		t.room[0], t.count = subject{Author: &Author{}, result: dmarc.PermError.String()}, 1
		return t
	}
	for i := range f.Authors {
		t.room[i] = subject{Author: &f.Authors[i], result: resultOf(f.Authors[i].Verdict)}
	}
	t.count = len(f.Authors)
	if t.quarantine == Reject && t.undecided() {
		t.quarantine = Tag // temperror is never a rejection
	}
	return t
}

// subjects returns the author domains, or nobody for a From field that gives
// none.
func (t *trial) subjects() []subject { return t.room[:t.count] }

// published is what is done under the profile strict.
func (t *trial) published() Decision {
	if !t.haveStrict {
		strict := t.settings
		strict.Profile = Strict
		t.strict, t.haveStrict = strict.decideProfile(t.facts), true
		t.strict.Evidence = t.profile.Evidence
	}
	return t.strict
}

// asked is what the domain owners ask for, after t and pct.
func (t *trial) asked() *Decision {
	if !t.haveAsks && !t.unusable {
		t.asks = Settings{Profile: Strict, EnforceShare: 100, Quarantine: Tag, IgnorePct: t.settings.IgnorePct}.decideProfile(t.facts)
	}
	t.haveAsks = true
	return &t.asks
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
	return slices.ContainsFunc(t.subjects(), func(s subject) bool { return s.result == dmarc.TempError.String() })
}

// try returns what r makes of the message, and whether r matches it.
func (t *trial) try(r *Rule) (d Decision, matches bool) {
	if r.Expired(t.facts.Time) || !r.Match.message(&t.facts) {
		return d, false
	}
	d = t.outcome(r)
	milder := t.milder(r, d)
	about, holds := r.Match.authors(t, milder)
	if !holds || !r.Match.recipients(&t.facts, milder) || !t.drawn(r) {
		return d, false
	}
	t.explain(r, &d)
	if !milder && r.Action != RuleAsPublished {
		t.name(&d, about)
	}
	if r.Action == RuleReject && d.Action == Tempfail {
		d.Why += "; what could not be checked may pass another time"
	}
	return d, true
}

// milder reports whether a rule that does d does less than the profile, so that
// it must hold for all of the message. One about mail that passes makes nothing
// milder.
func (t *trial) milder(r *Rule, d Decision) bool {
	return !r.Match.passes() && (r.Action == RuleAccept || r.Action == RuleSkipReport || d.Action < t.profile.Action)
}

// drawn reports whether the message is in the sample of r: who raises it adds
// messages, and loses none.
func (t *trial) drawn(r *Rule) bool {
	switch {
	case r.Sample == 0 || r.Sample >= 100:
		return true
	case t.facts.missing(MissingSeed):
		return t.facts.supposes()
	}
	return t.facts.Seed != 0 && sampling.DrawFrom(t.facts.Seed, r.ID) < r.Sample
}

// outcome is what r does with a message that it matches, see explain.
func (t *trial) outcome(r *Rule) Decision {
	d := t.profile
	switch r.Action {
	case RuleSkipReport:
		return d
	case RuleAccept:
		d.Action, d.Disposition = Accept, Delivered
	case RuleQuarantine:
		d.Action, d.Disposition = t.quarantine, Quarantined
		if t.quarantine == Reject {
			d.Disposition = Rejected
		}
	case RuleTag:
		d.Action, d.Disposition = Tag, Quarantined
	case RuleTempfail:
		d.Action, d.Disposition = Tempfail, Delivered
	case RuleReject:
		d.Action, d.Disposition = Reject, Rejected
		if m := &r.Match; (m.SPF != nil || m.Authenticated != nil || m.PassBy != nil) && t.facts.unchecked() && t.profile.Action < Reject {
			d.Action, d.Disposition = Tempfail, Delivered // what could not be checked is never refused for good because of the rule
		}
	default:
		return t.published()
	}
	return d
}

// explain says how d differs from what the owners asked for.
func (t *trial) explain(r *Rule, d *Decision) {
	if r.Action == RuleSkipReport || r.Action == RuleAsPublished {
		return
	}
	d.Reason = t.reason(r, d)
	if d.Reason == r.reason() {
		d.ReportComment = r.ReportComment
	}
}

// reason: doing more than was asked for is local policy, whatever the rule is
// for (RFC 9990, Section 3.1.6).
func (t *trial) reason(r *Rule, d *Decision) Reason {
	asked := t.asked()
	switch {
	case d.Action == Tempfail && asked.Disposition < Rejected:
		return LocalPolicy
	case d.Action == Tempfail:
		return r.reason()
	case d.Disposition > asked.Disposition:
		return LocalPolicy
	case d.Disposition < asked.Disposition:
		return r.reason()
	}
	return asked.Reason
}

// name makes a decision one about an author domain that its rule is about, of
// which about has the bits.
func (t *trial) name(d *Decision, about uint8) {
	for i, s := range t.subjects() {
		if about&(1<<i) != 0 && s.Domain == d.Author {
			return
		}
	}
	s := t.room[bits.TrailingZeros8(about)]
	d.Author, d.Why, d.Evidence = s.Domain, s.Verdict.Why, NotWeighed
}
