package report

import (
	"fmt"
	"slices"
	"strings"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/results"
)

// Comments of reasons.
const (
	commentSeveral  = "several From domains"
	commentTestMode = "t=y"
	commentError    = "temperror"
	commentProfile  = "policy not enforced"
	commentAlone    = "p=reject alone does not reject (RFC 9989, Section 7.4)"
)

// forwarded is a reason of RFC 7489 that a rule may give.
const forwarded policy.Reason = "forwarded"

// local are the reasons that a decision of this site can have, as opposed to what t and
// pct do.
var local = []policy.Reason{policy.LocalPolicy, policy.TrustedForwarder, policy.MailingList, policy.Other, forwarded}

// appendReasons says why the message was not treated as the owner of author i asks (RFC
// 9990, Section 3.1.6): what t or pct did, and then why the rest was not applied. A
// difference never goes without a reason. A message with several author domains is counted
// for each of them, and has one answer.
func appendReasons(list []Reason, row *results.Row, i int) []Reason {
	a, d := &row.Facts.Authors[i], &row.Decision
	due := due(d, a, i)
	if a.Verdict.Status == dmarc.Fail {
		switch due.Reason {
		case policy.PolicyTestMode:
			list = append(list, Reason{string(policy.PolicyTestMode), commentTestMode})
		case policy.SampledOut:
			list = append(list, Reason{string(policy.SampledOut), fmt.Sprintf("pct=%d", a.Verdict.Pct)})
		}
	}
	done, several := d.Disposition, len(row.Facts.Authors) > 1
	mine := a.Domain == d.Author || !several
	if own := mine && a.Verdict.Status != dmarc.Pass && slices.Contains(local, d.Reason); own ||
		int(done) < int(due.Applied) || int(done) > int(due.Applied) && mine {
		list = append(list, localReason(row, a, int(done) < int(due.Applied)))
	}
	if several {
		list = append(list, Reason{string(policy.Other), commentSeveral})
	}
	return list
}

// due is what the owner of author i asks for after t and pct: nothing for a pass.
func due(d *policy.Decision, a *policy.Author, i int) policy.Policy {
	switch {
	case a.Verdict.Status == dmarc.Pass:
		return policy.Policy{}
	case i < len(d.Effective):
		return d.Effective[i]
	}
	return policy.Policy{Applied: a.Verdict.Policy}
}

// localReason is the reason of this site for an answer that is milder than what is due, or
// another one.
func localReason(row *results.Row, a *policy.Author, milder bool) Reason {
	d := &row.Decision
	open := a.Verdict.Status == dmarc.TempError
	reason := d.Reason
	switch {
	case slices.Contains(local, reason):
	case open: // no policy can be applied (RFC 9989, Section 5.3.6)
		reason = policy.Other
	default:
		reason = policy.LocalPolicy
	}
	switch {
	case d.ReportComment != "":
		return Reason{string(reason), plain(d.ReportComment)}
	case open:
		return Reason{string(reason), commentError}
	case d.Rule != "":
		return Reason{Type: string(reason)}
	}
	return Reason{string(reason), evidenceComment(row, milder)}
}

// evidenceComment says what the profile went by.
func evidenceComment(row *results.Row, milder bool) string {
	switch e := row.Decision.Evidence; {
	case e == policy.NoEvidence:
		return commentAlone
	case e == policy.ARCSealer:
		return arcComment(&row.Facts.ARC)
	case e != policy.NotWeighed:
		return plain("evidence: " + string(e))
	case milder && row.Decision.Disposition == policy.Delivered:
		return commentProfile
	}
	return ""
}

// arcComment is the text that RFC 8617, Section 7.2.2, wants for a decision that the chain
// has changed, newest hop first, as far as it is not longer than MaxText.
func arcComment(c *policy.ARC) string {
	var b strings.Builder
	b.WriteString("arc=" + plain(c.Result))
	for i := len(c.Sealers) - 1; i >= 0; i-- {
		s := &c.Sealers[i]
		if !usableName(s.Domain) || !usableSelector(s.Selector) {
			continue
		}
		hop := fmt.Sprintf(" as[%d].d=%s as[%d].s=%s", i+1, s.Domain, i+1, s.Selector)
		if b.Len()+len(hop) > MaxText {
			break
		}
		b.WriteString(hop)
	}
	return b.String()
}
