package policy

import "dmarcgate/auth/dmarc"

// Decide turns facts into a decision. It does no I/O and cannot fail. What the
// facts lack (Facts.Lacking) counts as not holding, see Again.
//
// First the profile decides, then the rules: the enforced rule of the highest
// priority that matches has the last word, and those below it are named in
// Also. A rule that skips reports never has it: the first of them that is
// enforced and matches is named in Unreported, others in Also, and the rest go
// on as if there were none. At most MaxNamed rules are named in Also and in
// Shadow.
//
// There is one answer for a message, whoever its recipients are, so what a
// rule makes milder must be wanted for all of it. A rule that accepts, that
// skips reports, or that does less than the profile would, matches only if its
// keys about recipients (rcpt_domain and not_rcpt_domain) hold together for
// every recipient, and those about author domains (header_from, policy_domain,
// their not_, result, requested, arc_pass, body_changed, history_min and
// history_max) together for every author domain that did not pass. Any other
// rule matches if they hold for one recipient, and for one author domain that
// did not pass.
//
// A rule with a sample holds for messages whose draw is below it, and the
// profile is Monitor for those whose draw is below Observed. A message without
// Seed is in no sample, and is observed if any are.
func (s Settings) Decide(f Facts) Decision {
	d, _ := s.again(&f, -1)
	return d
}

// Again decides about facts that were stored. They may lack some that the
// settings need: then sure is false, and the decision is the one that would be
// made if the rules and evidence that need them did not hold.
//
// A client whose address has become that of its network still tells for sure
// whether it is in networks that are wider or elsewhere.
func (s Settings) Again(f Facts) (d Decision, sure bool) { return s.again(&f, -1) }

// decideProfile decides without the rules.
func (s Settings) decideProfile(f Facts) Decision {
	if s.unusable(f) {
		return s.decideFrom(f)
	}
	lead := leading(f.Authors)
	decision := Decision{Author: lead.Domain, Reason: lead.Verdict.Reason}
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
	switch f.From {
	case FromOneMailbox, FromSeveralMailboxes, FromSeveralDomains:
		return f.HeaderTruncated || len(f.Authors) == 0 || len(f.Authors) > MaxAuthors
	}
	return true
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
		p.Override = PolicyTestMode
	case !s.IgnorePct && a.Draw >= a.Verdict.Pct: // RFC 7489, Section 6.6.4
		p.Override = SampledOut
	default:
		return p
	}
	p.Applied = dmarc.Lower(p.Applied)
	return p
}

// decideAuthor decides for one author domain.
func (s Settings) decideAuthor(f Facts, a Author, p Policy) Decision {
	d := Decision{Author: a.Domain, Reason: a.Verdict.Reason}
	switch a.Verdict.Status {
	case dmarc.TempError:
		if a.Verdict.Cause == dmarc.CauseClient {
			return s.decideUnknown(p.Applied, d)
		}
		return s.decideTemporary(f, a, d)
	case dmarc.Fail:
		d.Requested, d.Override = a.Verdict.Policy, p.Override
		return s.enforce(f, a, p.Applied, d)
	}
	return d
}

// enforce carries a policy out as far as the profile goes.
func (s Settings) enforce(f Facts, a Author, p dmarc.Policy, d Decision) Decision {
	switch {
	case p == dmarc.None: // MUST NOT change the handling, RFC 9989, Section 5.4
		return d
	case s.Profile == Monitor:
		if s.Observed > 0 { // the profile wanted another answer: see settled
			d.Override = LocalPolicy
		}
		d.Reason += "; not enforced: " + s.unenforced()
		return d
	case p == dmarc.Quarantine:
		return s.quarantine(d)
	case a.cutByMTA(f):
		d.Override = LocalPolicy
		d.Reason += "; a signed header field may have been cut by the MTA, so nothing is refused"
		if d = s.quarantine(d); d.Action == Refuse {
			d.Action, d.Disposition = Tag, Quarantine
		}
		return d
	case s.Profile == Conformant:
		return s.weigh(f, a, d)
	}
	d.Action, d.Disposition = Refuse, Reject
	return d
}

func (s Settings) quarantine(d Decision) Decision {
	d.Action, d.Disposition = s.Quarantine, Quarantine
	if s.Quarantine == Refuse {
		d.Disposition = Reject
		d.Override = LocalPolicy
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

// decideTemporary answers a message that could not be judged: the owner's
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
			d.Reason += "; deferred long enough"
			d.Action, d.Disposition, d.Override = s.Quarantine, Quarantine, LocalPolicy
			if s.Quarantine == Refuse {
				d.Action = Tag // what could not be judged is never refused for good
			}
			return d
		}
	}
	d.Action = answer
	return d
}
