package enforce

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"dmarcgate/auth/arc"
	"dmarcgate/auth/authres"
	"dmarcgate/auth/dmarc"
	"dmarcgate/milter"
	"dmarcgate/policy"
)

// tooManyForged is the reply to a message with more forged fields than are
// removed. It is no answer of DMARC, so no configured text fits.
const tooManyForged = "Message has too many header fields that only the receiving host may write (qid %s)"

// answer turns a decision into the reply and the header edits.
func (m *mail) answer(f policy.Facts, d policy.Decision) milter.Answer {
	s := m.set
	d.Why = withoutRule(d)
	switch {
	case f.TooManyForged:
		return milter.Answer{Reply: milter.Refuse(550, "5.7.1", fmt.Sprintf(tooManyForged, f.QueueID))}
	case d.Action == policy.Reject: // RFC 9989, Section 7.2: 550 5.7.1 and the word DMARC
		return milter.Answer{Reply: milter.Refuse(550, "5.7.1", s.Reply.fill(cmp.Or(s.Policy.Rules.Text(d), s.Reply.refusal(f, d)), f, d))}
	case d.Action == policy.Tempfail:
		return milter.Answer{Reply: milter.Refuse(451, "4.7.1", s.Reply.fill(cmp.Or(s.Policy.Rules.Text(d), s.Reply.Tempfail), f, d))}
	}
	a := milter.Answer{Edits: m.forged.removals()}
	if m.skip != policy.Evaluated {
		return a
	}
	switch d.Action {
	case policy.Tag:
		a.Edits = append(a.Edits, milter.InsertField(s.TagField, tagValue(d)))
	case policy.Hold:
		a.Edits = append(a.Edits, milter.Hold(holdReason(d)))
	}
	// Ours last, so that it ends up on top of all others (RFC 8601, Section 4.1).
	a.Edits = append(a.Edits, milter.InsertField(authenticationResults, authres.Format(s.AuthservID, authResults(f, d))))
	return a
}

// withoutRule returns the reason for those who read the answer or the message:
// what a rule of the site is called, they need not know.
func withoutRule(d policy.Decision) string {
	if d.Rule == "" {
		return d.Why
	}
	return strings.Replace(d.Why, "; rule "+d.Rule, "", 1)
}

// tagValue says what a filter or a user needs to know of a marked message.
func tagValue(d policy.Decision) string {
	return fmt.Sprintf("%s; %s", d.Disposition, reasonFor(d))
}

// holdReason names the cause before the domain, which can be longer than what
// Postfix keeps of a reason. Postfix 3.10 and later log the reason.
func holdReason(d policy.Decision) string {
	if d.Author == "" {
		return "DMARC: " + d.Why
	}
	return "DMARC: " + d.Why + " (" + d.Author + ")"
}

// reasonFor names the author domain with the reason.
func reasonFor(d policy.Decision) string {
	if d.Author == "" {
		return d.Why
	}
	return d.Author + ": " + d.Why
}

// Reply holds the texts of SMTP replies, each with {domain}, {why} and {qid}.
type Reply struct {
	Reject   string // of a refusal that the policy of the author domain speaks for
	Local    string // of a refusal of mail that passes, or for which its author domain asks nothing
	Tempfail string
	NoAuthor string // of a refusal without an author domain; {domain} is "the message"
	Help     string // link for the sender's postmaster, behind each text; may be empty
}

// refusal is the text for a message that is refused. It names the policy of the
// author domain only where the message fails and that policy asks for something: a
// rule can refuse all other mail, too.
func (r Reply) refusal(f policy.Facts, d policy.Decision) string {
	if d.Author == "" {
		return r.NoAuthor
	}
	for i, a := range f.Authors {
		if a.Domain == d.Author && a.Verdict.Status == dmarc.Fail && d.Effective[i].Applied != dmarc.None {
			return r.Reject
		}
	}
	return r.Local
}

// fill fills a text. The values are domains in A-label form, words of ours and
// the queue id; the milter room makes the rest printable.
func (r Reply) fill(text string, f policy.Facts, d policy.Decision) string {
	domain := d.Author
	if domain == "" {
		domain = "the message"
	}
	text = strings.NewReplacer("{domain}", domain, "{why}", d.Why, "{qid}", f.QueueID).Replace(text)
	if r.Help != "" {
		text += "; see " + r.Help
	}
	return text
}

// authResults lists what was found, in the order SPF, DKIM, ARC, DMARC.
func authResults(f policy.Facts, d policy.Decision) []authres.Result {
	out := []authres.Result{spfResult(f)}
	if len(f.DKIM) == 0 {
		out = append(out, authres.Result{Method: "dkim", Value: "none"})
	}
	for _, s := range f.DKIM {
		out = append(out, dkimResult(s))
	}
	if f.ARC.Result != "" && f.ARC.Result != arc.NotChecked.String() { // which is no word of RFC 8617, and no result
		out = append(out, arcResult(f))
	}
	if len(f.Authors) == 0 {
		return append(out, noAuthor(f, d))
	}
	return append(out, dmarcResults(f, d)...)
}

// dmarcResults has one result for each author domain, and first the one that
// decided: mail readers and filters often look at the first alone.
func dmarcResults(f policy.Facts, d policy.Decision) []authres.Result {
	var first, others []authres.Result
	for i, a := range f.Authors {
		r := dmarcResult(a, d.Effective[i], d)
		if a.Domain == d.Author {
			first = append(first, r)
		} else {
			others = append(others, r)
		}
	}
	return append(first, others...)
}

// spfResult names the identity that was checked; for the null path that is
// HELO (RFC 8601, Section 2.7.2).
func spfResult(f policy.Facts) authres.Result {
	property := "mailfrom"
	if f.NullPath {
		property = "helo"
	}
	r := authres.Result{Method: "spf", Value: f.SPF.Result}
	if f.SPF.Result != "pass" && f.SPF.Result != "none" {
		r.Reason = f.SPF.Why
	}
	if f.SPF.Domain != "" {
		r.Properties = []authres.Property{{Type: "smtp", Name: property, Value: f.SPF.Domain}}
	}
	return r
}

func dkimResult(s policy.DKIM) authres.Result {
	r := authres.Result{Method: "dkim", Value: s.Result}
	if s.Result != "pass" {
		r.Reason = s.Why
	}
	var comments []string
	if s.KeyBits > 0 {
		comments = append(comments, fmt.Sprintf("%d-bit key", s.KeyBits))
	}
	if s.Testing {
		comments = append(comments, "testing")
	}
	r.Comment = strings.Join(comments, ", ")
	for _, p := range []authres.Property{
		{Type: "header", Name: "d", Value: s.Domain}, {Type: "header", Name: "s", Value: s.Selector},
		{Type: "header", Name: "a", Value: s.Algorithm}, {Type: "header", Name: "b", Value: s.B},
	} {
		if p.Value != "" {
			r.Properties = append(r.Properties, p)
		}
	}
	return r
}

// arcResult names the client, and the oldest hop whose signature still verifies
// (RFC 8617, Section 6).
func arcResult(f policy.Facts) authres.Result {
	r := authres.Result{Method: "arc", Value: f.ARC.Result}
	if f.ARC.Result != "pass" {
		r.Reason = f.ARC.Why
		return r
	}
	if f.Client.IsValid() {
		r.Properties = append(r.Properties, authres.Property{Type: "smtp", Name: "remote-ip", Value: f.Client.String()})
	}
	r.Properties = append(r.Properties, authres.Property{Type: "header", Name: "oldest-pass", Value: strconv.Itoa(f.ARC.OldestPass)})
	return r
}

// dmarcResult writes the comment (p=… dis=…) that filters built for OpenDMARC
// match, and the typed property of RFC 9989, Section 9.1, which carries the
// policy after t and pct.
func dmarcResult(a policy.Author, p policy.Policy, d policy.Decision) authres.Result {
	r := authres.Result{Method: "dmarc", Value: a.Verdict.Status.String()}
	if a.PolicyDomain != "" {
		r.Comment = fmt.Sprintf("p=%s dis=%s", a.Verdict.Policy, d.Disposition)
		r.Properties = append(r.Properties, authres.Property{Type: "policy", Name: "dmarc", Value: p.Applied.String()})
	}
	if d.Evidence != policy.NotWeighed && d.Author == a.Domain {
		r.Properties = append(r.Properties, authres.Property{Type: "policy", Name: "evidence", Value: keyword(string(d.Evidence))})
	}
	if d.Reason != policy.AsPublished && d.Author == a.Domain {
		r.Properties = append(r.Properties, authres.Property{Type: "policy", Name: "reason", Value: keyword(string(d.Reason))})
	}
	if a.Verdict.Status == dmarc.TempError || a.Verdict.Status == dmarc.PermError {
		r.Reason = a.Verdict.Why
	}
	r.Properties = append(r.Properties, authres.Property{Type: "header", Name: "from", Value: a.Domain})
	return r
}

// keyword writes a word of ours as other filters write theirs.
func keyword(s string) string { return strings.ReplaceAll(s, "_", "-") }

// noAuthor is the result of a message whose From gives nothing to evaluate.
func noAuthor(f policy.Facts, d policy.Decision) authres.Result {
	if f.FromField == policy.FromMissing || f.FromField == policy.FromEmptyGroup {
		return authres.Result{Method: "dmarc", Value: "none", Reason: d.Why}
	}
	return authres.Result{Method: "dmarc", Value: "permerror", Reason: d.Why}
}
