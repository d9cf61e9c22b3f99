package policy

import (
	"time"

	"dmarcgate/auth/dmarc"
)

// Settings are the site's choices for one listener. The zero value enforces
// nothing.
type Settings struct {
	Profile Profile
	// Observed is the share of messages, in percent, for which the profile is
	// Monitor whatever Profile says, so that a site can begin with a few.
	Observed uint8
	// Suspended is when an operator's order to enforce nothing ends. It changes
	// no decision, only what is said of it: see Suspend. Zero is no such order.
	Suspended  time.Time `json:",omitzero"`
	Quarantine Action    // Tag, Hold or Refuse: what quarantine means here
	// IgnorePct ignores the pct tag, as RFC 9989, Appendix A.6, has it. The
	// default honours it, because published records still rely on it.
	IgnorePct bool
	// TempOurs answers a message that could not be judged because our own
	// resolver answers nobody: Tag (deliver, marked) or Tempfail.
	TempOurs Action
	// TempDomain answers one that could not be judged because the DNS of the
	// sender's domain fails: Tempfail, Tag, or the action of Quarantine.
	TempDomain Action
	// TempUnknown answers one that did not pass and whose client is not known:
	// Accept, Tag or Tempfail.
	TempUnknown Action
	// MaxDefer is how long the same author domain and client may be answered
	// with Tempfail for its own DNS; afterwards the message is quarantined. A
	// lame delegation must not be a way past the policy.
	MaxDefer time.Duration
	// From answers messages whose From field gives nothing to evaluate.
	From FromAnswers
	// Known is whom the profile Conformant believes.
	Known Known
	// Rules override what the rest decides. Under the profile Monitor they
	// only record what they would have done.
	Rules Rules
}

// Decision is what is done with a message, and why. The zero value delivers.
type Decision struct {
	Action      Action       `json:"action"`
	Disposition Disposition  `json:"disposition"`
	Requested   dmarc.Policy `json:"requested"` // the strictest policy published for a failing author domain
	Override    Override     `json:"override,omitempty"`
	Evidence    Evidence     `json:"evidence,omitempty"`  // what the profile went by, also when a rule decided in the end
	Reason      string       `json:"reason"`              // one clause in words, free of text from the message
	Author      string       `json:"author,omitempty"`    // the author domain that decided
	Effective   []Policy     `json:"effective,omitempty"` // for each of Facts.Authors

	Rule   string           `json:"rule,omitempty"`   // id of the rule that decided
	Also   []string         `json:"also,omitempty"`   // ids of enforced rules of lower rank that matched too
	Shadow []ShadowDecision `json:"shadow,omitempty"` // what rules that only watch would have done

	ReportComment string `json:"report_comment,omitempty"` // of the rule that decided, where the override is its reason
	Unreported    string `json:"unreported,omitempty"`     // id of the rule that keeps the message out of reports
}

// ShadowDecision is what a rule would have done with the message, had it been
// the one to decide.
type ShadowDecision struct {
	Rule        string      `json:"rule"`
	Action      Action      `json:"action"`
	Disposition Disposition `json:"disposition"`
}

// Policy is the published policy of one author domain after t and pct.
type Policy struct {
	Applied  dmarc.Policy `json:"applied"`
	Override Override     `json:"override,omitempty"`
}

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

// ReportReason is the reason that a report gives for the disposition of a message
// with these facts (RFC 9990, Section 3.1.6): Override, or LocalPolicy where less
// was done than the owner asks for after t and pct and nothing else says why, as
// under the profile Monitor. Override itself may say what t and pct did. A row keeps the two apart, so that what a site has
// decided about single messages can be told from what it does not enforce at all.
func (d Decision) ReportReason(f Facts) Override {
	if lowered := d.Override == PolicyTestMode || d.Override == SampledOut; d.Override != AsPublished && !lowered || d.Action == Tempfail {
		return d.Override
	}
	for i, p := range d.Effective {
		if i < len(f.Authors) && f.Authors[i].Verdict.Status == dmarc.Fail && p.Applied != dmarc.None && int(d.Disposition) < int(p.Applied) {
			return LocalPolicy
		}
	}
	return d.Override
}

// severerThan orders decisions by what is done, then by what was asked for,
// so that the record of a message names the domain that mattered.
func (d Decision) severerThan(o Decision) bool {
	if d.Action != o.Action {
		return d.Action > o.Action
	}
	return d.Requested > o.Requested
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

// Suspend returns the settings of a listener that an operator has put to
// Monitor until then. One that enforces nothing anyway stays as it is.
func (s Settings) Suspend(until time.Time) Settings {
	if s.Profile != Monitor {
		s.Profile, s.Observed, s.Suspended = Monitor, 0, until.UTC().Truncate(time.Second)
	}
	return s
}

// unenforced is why a message is only watched.
func (s Settings) unenforced() string {
	switch {
	case s.Observed > 0: // see settled
		return "outside enforce_share"
	case !s.Suspended.IsZero():
		return "dmarcgate monitor until " + s.Suspended.Format(time.RFC3339)
	}
	return "profile monitor"
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
