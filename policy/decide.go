package policy

import (
	"math/bits"
	"slices"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy/index"
	"dmarcgate/policy/sampling"
)

// Decide turns facts into a decision. It does no I/O and cannot fail. What needs a fact
// that is missing (Facts.Lacking) does not hold, but for what the facts suppose
// (Facts.Supposing).
//
// First the profile decides, by the published policies and the evidence, then the rules:
// the enforced rule of the highest priority that matches has the last word, and those
// below it are named in Also. A rule that skips reports never has it: the first of them
// that is enforced and matches is named in Unreported, others in Also, and the rest go on
// as if there were none. At most MaxNamed rules are named in Also and in Shadow.
//
// There is one answer for a message, whoever its recipients are, so what a rule makes
// milder must be wanted for all of it. A rule that accepts, that skips reports, or that
// does less than the profile would, matches only if its keys about recipients
// (rcpt_domain and not_rcpt_domain) hold together for every recipient, and those about
// author domains (author, policy_domain, their not_, result, requested, arc_pass,
// body_changed, history_min and history_max) together for every author domain that did
// not pass. Any other rule matches if they hold for one recipient, and for one author
// domain that did not pass. A rule about mail that passes (result = ["pass"]) is about
// the author domains that passed in place of those that did not. It has the last word
// only where it does more than the profile and the other rules: a pass of one author
// domain excuses no other (RFC 9989, Section 11.5).
//
// A rule that rejects and only defers, since what it asks for could not be checked
// (Facts.unchecked), gives way to a rule below it that rejects for other reasons.
//
// A rule with a sample holds for messages whose draw is below it, and the profile is
// Monitor for those outside EnforceShare. A message without Seed is in no sample, and
// outside a share of less than 100.
func (s Settings) Decide(f Facts) Decision {
	switch {
	case f.TooManyForged:
		return s.refuseForged(&f)
	case f.Skip != Evaluated:
		return Decision{Why: "not evaluated: " + string(f.Skip)}
	}
	s.takeShare(&f)
	return s.pressed(&f, s.evaluate(&f))
}

// refuseForged is the decision about a message with more forged header fields
// than are removed. Whatever the profile, the rules and the client are, it is
// not delivered with them (RFC 8601, Section 5). What the owners of its author
// domains ask for is told, and not weighed.
func (s Settings) refuseForged(f *Facts) Decision {
	d := Decision{Action: Reject, Disposition: Rejected, Reason: LocalPolicy, Why: "too many forged header fields"}
	for _, a := range f.Authors {
		d.Effective = append(d.Effective, s.lower(a))
	}
	return d
}

// takeShare makes the profile that of the message: Monitor outside the share that
// is enforced. EnforceShare is less than 100 then, and 100 elsewhere.
func (s *Settings) takeShare(f *Facts) {
	if s.Profile != Monitor && s.EnforceShare < 100 && !s.enforces(f) {
		s.Profile = Monitor
		return
	}
	s.EnforceShare = 100
}

// enforces reports whether the message is in the share that is enforced: its draw
// is among the EnforceShare highest of the 100.
func (s *Settings) enforces(f *Facts) bool {
	switch {
	case s.EnforceShare == 0:
		return false
	case f.missing(MissingSeed):
		return f.supposed&SupposeShare != 0
	}
	return f.Seed != 0 && sampling.DrawFrom(f.Seed, "ramp") >= 100-s.EnforceShare
}

// evaluate is the decision by profile and rules about facts as they are.
func (s *Settings) evaluate(f *Facts) Decision {
	d := s.decideProfile(*f)
	if s.Rules.Len() > 0 && (s.unusable(*f) || s.Rules.AboutPass() || slices.ContainsFunc(f.Authors, fallible)) {
		return s.overrule(f, d)
	}
	return d
}

// decideProfile decides without the rules.
func (s Settings) decideProfile(f Facts) Decision {
	if s.unusable(f) {
		return s.decideFrom(f)
	}
	lead := leading(f.Authors)
	decision := Decision{Author: lead.Domain, Why: lead.Verdict.Why}
	effective := make([]Policy, len(f.Authors))
	for i, a := range f.Authors {
		effective[i] = s.lower(a)
		// A pass of one author domain excuses no other (RFC 9989, Section
		// 11.5): the most severe answer wins.
		if d := s.decideAuthor(f, a, effective[i]); d.severerThan(decision) {
			decision = d
		}
	}
	decision.Effective = effective
	return decision
}

// leading returns the author domain that speaks for the message when none is
// acted upon: the first that did not pass, else the first.
func leading(authors []Author) Author {
	for _, a := range authors {
		if a.Verdict.Status != dmarc.Pass && a.Verdict.Status != dmarc.StatusNone {
			return a
		}
	}
	return authors[0]
}

// unusable reports whether From gives no set of author domains to evaluate.
func (s Settings) unusable(f Facts) bool {
	switch f.FromField {
	case FromOneMailbox, FromSeveralMailboxes, FromSeveralDomains:
		return f.HeaderTruncated || len(f.Authors) == 0 || len(f.Authors) > MaxAuthors
	}
	return true
}

// decideAuthor decides for one author domain.
func (s Settings) decideAuthor(f Facts, a Author, p Policy) Decision {
	d := Decision{Author: a.Domain, Why: a.Verdict.Why}
	switch a.Verdict.Status {
	case dmarc.TempError:
		if a.Verdict.Cause == dmarc.CauseClient {
			return s.decideUnknown(p.Applied, d)
		}
		return s.decideTemporary(f, a, d)
	case dmarc.Fail:
		d.Requested, d.Reason = a.Verdict.Policy, p.Reason
		return s.enforce(f, a, p.Applied, d)
	}
	return d
}

// lower applies t and pct to the published policy of a failing author
// domain: together one step, never two.
func (s Settings) lower(a Author) Policy {
	p := Policy{Applied: a.Verdict.Policy}
	if a.Verdict.Status != dmarc.Fail && a.Verdict.Cause != dmarc.CauseClient || p.Applied == dmarc.None {
		return p
	}
	switch {
	case a.Verdict.Testing: // RFC 9989, Section 4.7, "t"
		p.Reason = PolicyTestMode
	case !s.IgnorePct && a.Draw >= a.Verdict.Pct: // RFC 7489, Section 6.6.4
		p.Reason = SampledOut
	default:
		return p
	}
	p.Applied = dmarc.Lower(p.Applied)
	return p
}

// enforce carries a policy out as far as the profile goes.
func (s Settings) enforce(f Facts, a Author, p dmarc.Policy, d Decision) Decision {
	switch {
	case p == dmarc.None: // MUST NOT change the handling, RFC 9989, Section 5.4
		return d
	case s.Profile == Monitor:
		if s.EnforceShare < 100 { // the profile wanted another answer: see takeShare
			d.Reason = LocalPolicy
		}
		d.Why += "; not enforced: " + s.unenforced()
		return d
	case p == dmarc.Quarantine:
		return s.quarantine(d)
	case a.cutByMTA(f):
		d.Reason = LocalPolicy
		d.Why += "; a signed header field may have been cut by the MTA, so nothing is refused"
		if d = s.quarantine(d); d.Action == Reject {
			d.Action, d.Disposition = Tag, Quarantined
		}
		return d
	case s.Profile == Conformant:
		return s.weigh(f, a, d)
	}
	d.Action, d.Disposition = Reject, Rejected
	return d
}

// weigh decides about a failing message whose policy to apply is reject.
func (s Settings) weigh(f Facts, a Author, d Decision) Decision {
	for _, row := range against {
		if row.test(f, a, s) {
			d.Evidence, d.Reason = row.name, row.reason
			d.Why += "; " + row.words
			return s.quarantine(d)
		}
	}
	for _, row := range decisive {
		if row.test(f, a, s) {
			d.Evidence = row.name
			d.Why += "; " + row.words
			d.Action, d.Disposition = Reject, Rejected
			return d
		}
	}
	// Without other knowledge p=reject is treated as quarantine, and the
	// deviation is reported.
	d.Evidence, d.Reason = NoEvidence, LocalPolicy
	d.Why += "; p=reject alone does not reject: profile conformant"
	return s.quarantine(d)
}

func (s Settings) quarantine(d Decision) Decision {
	d.Action, d.Disposition = s.Quarantine, Quarantined
	if s.Quarantine == Reject {
		d.Disposition = Rejected
		d.Reason = LocalPolicy
	}
	return d
}

// decideUnknown answers a message that did not pass and whose client is not
// known. A policy of none asks for nothing, whoever the client is. Tempfail has
// no end: our own host in front keeps the message until the site has corrected
// what cannot be read.
func (s Settings) decideUnknown(p dmarc.Policy, d Decision) Decision {
	if p != dmarc.None && s.Profile != Monitor {
		d.Action = s.TempUnknown
	}
	return d
}

// decideTemporary answers a message that could not be evaluated: the owner's
// policy cannot be applied (RFC 9989, Section 5.3.6), and handling is local.
func (s Settings) decideTemporary(f Facts, a Author, d Decision) Decision {
	// An identifier equal to the author domain passed; whatever the record
	// says, it asks for nothing.
	if a.Verdict.AlignedSPF || a.Verdict.AlignedDKIM || s.Profile == Monitor {
		return d
	}
	answer := s.TempOurs
	switch a.Verdict.Cause {
	case dmarc.CauseOurs:
	case dmarc.CausePressure:
		// A sender can arrange it, so no setting delivers: the next attempt
		// finds what was answered meanwhile.
		answer = Tempfail
	default:
		answer = s.TempDomain
		if answer == Tempfail && f.Deferred >= s.MaxDefer {
			d.Why += "; deferred long enough"
			d.Action, d.Disposition, d.Reason = s.Quarantine, Quarantined, LocalPolicy
			if s.Quarantine == Reject {
				d.Action = Tag // what could not be evaluated is never refused for good
			}
			return d
		}
	}
	d.Action = answer
	return d
}

// overrule applies the rules to what the profile decided.
func (s *Settings) overrule(f *Facts, profile Decision) Decision {
	t := s.trial(f, profile)
	var some index.Bits
	s.Rules.find(&some, &t)
	out := ruling{Decision: profile, watch: s.Profile == Monitor}
	for w, word := range some[:some.Words(s.Rules.Len())] {
		for ; word != 0; word &= word - 1 {
			out.apply(&t, s.Rules.at(w*64+bits.TrailingZeros64(word)))
		}
	}
	return out.finish()
}

// ruling is a decision while rules are applied, in their order.
type ruling struct {
	Decision
	pass               Decision // of the rule about mail that passes that has the highest priority; Rule is empty without one
	watch              bool     // no rule decides
	defers, passDefers bool     // the rule of Decision, or of pass, rejects, but for what could not be checked
	skips              uint32   // a bit for each of Shadow that would leave the decision as it is; MaxNamed are enough
}

func (u *ruling) apply(t *trial, r *Rule) {
	d, matches := t.try(r)
	word, defers := &u.Decision, &u.defers
	if r.Match.passes() {
		word, defers = &u.pass, &u.passDefers
	}
	switch {
	case !matches:
	case u.watch || r.Mode == Shadow:
		u.see(r, d)
	case r.Action == RuleSkipReport && u.Unreported == "":
		u.Unreported = r.ID
	case r.Action != RuleSkipReport && (word.Rule == "" || *defers && d.Action == Reject):
		u.also(word.Rule)
		d.Rule, d.Why, d.Shadow, d.Unreported, d.Also = r.ID, d.Why+"; rule "+r.ID, u.Shadow, u.Unreported, u.Also
		*word, *defers = d, r.Action == RuleReject && d.Action == Tempfail
	default:
		u.also(r.ID)
	}
}

func (u *ruling) also(id string) {
	if id != "" && len(u.Also) < MaxNamed {
		u.Also = append(u.Also, id)
	}
}

func (u *ruling) see(r *Rule, d Decision) {
	if len(u.Shadow) == MaxNamed {
		return
	}
	if r.Action == RuleSkipReport {
		u.skips |= 1 << len(u.Shadow)
	}
	u.Shadow = append(u.Shadow, ShadowDecision{Rule: r.ID, Action: d.Action, Disposition: d.Disposition})
}

// finish takes the severer of the two answers, and says of the rules that would only have kept the message out of
// reports that they leave what was decided in the end.
func (u *ruling) finish() Decision {
	if u.pass.Action > u.Action {
		u.also(u.Rule)
		u.pass.Shadow, u.pass.Unreported, u.pass.Also = u.Shadow, u.Unreported, u.Also
		u.Decision = u.pass
	} else {
		u.also(u.pass.Rule)
	}
	for skips := u.skips; skips != 0; skips &= skips - 1 {
		s := &u.Shadow[bits.TrailingZeros32(skips)]
		s.Action, s.Disposition = u.Action, u.Disposition
	}
	return u.Decision
}

// pressed is the decision about a message of which something gave way: to
// tempfail it, if what gave way could have led to another answer. A sender can
// arrange that lookups give way, and must gain nothing by it; the next attempt
// finds what was answered meanwhile.
func (s *Settings) pressed(f *Facts, d Decision) Decision {
	for _, other := range f.Unpressed() {
		if s.evaluate(&other).Action != d.Action {
			return Decision{
				Action: Tempfail, Requested: d.Requested, Author: d.Author, Effective: d.Effective, Also: d.Also, Shadow: d.Shadow,
				Unreported: d.Unreported, Why: d.Why + "; what could change the answer was not found out: our DNS is overloaded or down",
			}
		}
	}
	return d
}
