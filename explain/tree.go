package explain

import (
	"fmt"
	"slices"
	"strings"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/results/blob"
	"dmarcgate/term"
)

// Tree draws the explanation. Text from mail and DNS in it is printable.
func (x *Explanation) Tree() *term.Node {
	f := x.Facts
	root := &term.Node{Text: fmt.Sprintf("message from client %s, helo %s, MAIL FROM domain %s", clientText(f), term.OrNone(term.Printable(f.Helo)), term.Printable(mailFromWord(f)))}
	switch {
	case f.UnknownClient != policy.ClientKnown && f.Relay.IsValid():
		root.Add("client behind our relay %s not known (%s): SPF none, and DMARC does not fail", f.Relay, f.UnknownClient)
	case f.UnknownClient != policy.ClientKnown:
		root.Add("client not known (%s): SPF none, and DMARC does not fail", f.UnknownClient)
	case f.Relay.IsValid():
		root.Add("client read from the Received field of our relay %s", f.Relay)
	}
	if len(f.Trimmed) > 0 {
		root.Add("left out, because a stored row has at most %d bytes: some of %s", blob.MaxRowBytes, term.Printable(strings.Join(f.Trimmed, ", ")))
	}
	if f.Skip != policy.Evaluated {
		root.Add("not evaluated: %s", f.Skip)
	} else {
		x.checks(root)
		for i := range f.Authors {
			x.author(root, i)
		}
	}
	if f.Forged > 0 {
		root.Add("header fields from outside that only this host may write: %d", f.Forged)
	}
	x.decision(root)
	x.told(root)
	x.answer(root)
	x.missing(root)
	x.limits(root)
	x.second(root)
	x.queries(root)
	return root
}

// clientText is the address of the client, or that it is not known.
func clientText(f policy.Facts) string {
	if !f.Client.IsValid() {
		return "unknown"
	}
	return f.Client.String()
}

// checks shows what SPF, DKIM and ARC gave.
func (x *Explanation) checks(root *term.Node) {
	f := x.Facts
	n := spfNode(root, "mailfrom", f.SPF)
	if x.Owner != "" {
		n.Add("its owner says: %s", term.Printable(x.Owner))
	}
	x.spfQueries(n, "mailfrom", "helo")
	if !f.NullPath {
		n = spfNode(root, "helo", f.HELO)
		n.Add("not used for alignment")
		x.spfQueries(n, "helo")
	}
	dkim := root.Add("dkim: %d signatures", len(f.DKIM))
	for _, s := range f.DKIM {
		signature(dkim, s)
	}
	x.chain(root)
	if len(f.Pressed) > 0 {
		root.Add("not determined, because lookups were dropped in favor of other messages: %s", strings.Join(f.Pressed, ", "))
	}
	root.Add("From: %s", f.FromField)
	if f.HeaderTruncated {
		root.Add("header longer than limits.header_fields or limits.header_bytes: only its beginning was evaluated")
	}
	if f.BIMIEligible {
		root.Add("BIMI: eligible (one author domain, DMARC pass, policy at enforcement)")
	} else {
		root.Add("BIMI: not eligible (needs one author domain, DMARC pass, and p=quarantine or reject without sp=none, pct below 100 and t=y)")
	}
}

func spfNode(root *term.Node, identity string, s policy.SPF) *term.Node {
	n := root.Add("spf %s: %s for %s (%s)", identity, s.Result, term.OrNone(s.Domain), term.Printable(s.Why))
	if s.Term != "" {
		n.Add("term %s", term.Printable(s.Term))
	}
	return n
}

// spfQueries shows what the check queried, of the first of the identities that
// was checked.
func (x *Explanation) spfQueries(n *term.Node, identity ...string) {
	i := slices.IndexFunc(x.SPF, func(c spfCheck) bool { return slices.Contains(identity, c.Identity) })
	if i < 0 {
		return
	}
	queried := x.SPF[i].Queried
	if len(queried) == 0 {
		return
	}
	q := n.Add("queried, in order")
	for _, name := range queried {
		x.query(q, name)
	}
}

// query shows a question with its answer.
func (x *Explanation) query(n *term.Node, question string) {
	i := slices.IndexFunc(x.Lookups, func(a queried) bool { return a.question() == question })
	if i < 0 {
		n.Add("%s", term.Printable(question))
		return
	}
	x.Lookups[i].draw(n, "")
}

// draw shows a lookup, and what the daemon has instead.
func (a queried) draw(parent *term.Node, number string) {
	n := parent.Add("%s%s: %s", number, term.Printable(a.question()), a.answer())
	if a.daemon != nil {
		n.Add("the daemon has: %s", *a.daemon)
	}
}

// signature shows all that is known of one.
func signature(parent *term.Node, s policy.DKIM) {
	n := parent.Add("%s: d=%s s=%s (%s)", s.Result, term.OrNone(s.Domain), term.Printable(s.Selector), term.Printable(s.Why))
	n.Add("a=%s c=%s b=%s", term.OrNone(s.Algorithm), term.OrNone(s.Canon), term.OrNone(s.B))
	if s.KeyBits > 0 {
		n.Add("key of %d bits", s.KeyBits)
	} else {
		n.Add("no key seen")
	}
	if !s.SignedAt.IsZero() {
		n.Add("made at %s (t=)", s.SignedAt.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	if s.Testing {
		n.Add("the key has t=y: the owner is testing, and rules do not count the signature (RFC 6376, Section 3.6.1)")
	}
	switch {
	case s.Result == "pass":
		n.Add("header hash and body hash verify")
	case s.HeaderOK:
		n.Add("header hash verifies (From signed); body hash does not match")
	}
}

func (x *Explanation) chain(root *term.Node) {
	c := x.Facts.ARC
	switch {
	case c.Result == "" && x.Facts.HeaderTruncated:
		root.Add("arc: not evaluated, because a part of the header is missing")
		return
	case c.Result == "":
		root.Add("arc: no chain")
		return
	}
	n := root.Add("arc: %s (%s)", c.Result, term.Printable(c.Why))
	if c.Result == "pass" && c.OldestPass > 1 {
		n.Add("changed on its way: the signatures verify from hop %d on", c.OldestPass)
	}
	for i, s := range c.Sealers {
		hop := n.Add("hop %d sealed by %s, s=%s", i+1, term.OrNone(s.Domain), term.Printable(s.Selector))
		for _, r := range s.Recorded {
			hop.Add("recorded %s=%s for %s", term.Printable(r.Method), term.Printable(r.Result), term.Printable(r.Domain))
		}
	}
}

// author shows one author domain: its record and how it was found, what is
// aligned with it, and which policy comes of that.
func (x *Explanation) author(root *term.Node, i int) {
	a := x.Facts.Authors[i]
	n := root.Add("dmarc %s: %s", a.Domain, a.Verdict.Status)
	switch a.Verdict.Cause {
	case dmarc.CausePressure:
		n.Add("cause: pressure: a lookup was dropped in favor of other messages, or our DNS is down; no setting delivers such mail")
	case dmarc.CauseOurs, dmarc.CauseDomain:
		n.Add("cause: %s; [temperror] %s decides", a.Verdict.Cause, a.Verdict.Cause)
	}
	if a.PolicyDomain == "" {
		n.Add("no record")
	} else {
		n.Add("record at %s (%s): %s", a.PolicyDomain, a.Source, term.Printable(a.Record))
		if len(a.Defects) > 0 {
			n.Add("defects: %s; for fixes run dmarcgate lookup %s", strings.Join(a.Defects, ", "), a.Domain)
		}
	}
	if i < len(x.Authors) {
		x.Authors[i].walk(n)
	}
	if a.Org != "" {
		n.Add("organizational domain %s", a.Org)
	}
	if len(a.Differs) > 0 {
		n.Add("other discovery method differs in: %s", strings.Join(a.Differs, ", "))
	}
	aligned := n.Add("aligned: SPF %v, DKIM %v", a.Verdict.AlignedSPF, a.Verdict.AlignedDKIM)
	if i < len(x.Authors) {
		x.Authors[i].alignment(aligned)
	}
	if by := a.PassBy(); by != "" {
		n.Add("passes by: %s", by)
	}
	n.Add("why: %s", term.Printable(a.Verdict.Why))
	if x.Facts.EarlierSPFFail && a.Verdict.AlignedSPF {
		n.Add("a field of the message says that SPF failed for this organization at an earlier host: " +
			"possibly sent through a shared sender to make SPF pass")
	}
	x.policy(n, i)
	x.evidence(n, a)
}

func (p authorPath) walk(parent *term.Node) {
	n := parent.Add("search by %s, %d names, stopped %s", p.Method, len(p.Walk), p.Stopped)
	for _, w := range p.Walk {
		name := n.Add("TXT %s", term.Printable(w.Name))
		switch {
		case w.Error != "":
			name.Add("no answer: %s", term.Printable(w.Error))
		case len(w.Records) == 0 && w.Other > 0:
			name.Add("no DMARC record, %d other TXT", w.Other)
		case len(w.Records) == 0:
			name.Add("nothing")
		}
		for _, r := range w.Records {
			name.Add("%s", term.Printable(r))
		}
		for _, d := range w.Defects {
			name.Add("defect: %s", term.Printable(d))
		}
	}
}

func (p authorPath) alignment(parent *term.Node) {
	for _, id := range p.Identifiers {
		word := "not aligned"
		if id.Aligned {
			word = "aligned"
		}
		name := id.Domain
		if id.Selector != "" {
			name += " (s=" + id.Selector + ")"
		}
		n := parent.Add("%s %s for %s: %s: %s", id.Mechanism, id.Result, term.Printable(name), word, term.Printable(id.Why))
		if id.Mode != "" {
			n.Add("mode %s", id.Mode)
		}
		if len(id.Queried) > 0 {
			n.Add("queried beside: %s", term.Printable(strings.Join(id.Queried, ", ")))
		}
	}
}

// policy shows how the published policy becomes the one that is applied.
func (x *Explanation) policy(parent *term.Node, i int) {
	a := x.Facts.Authors[i]
	applied := policy.Policy{Applied: a.Verdict.Policy}
	if i < len(x.Decision.Effective) {
		applied = x.Decision.Effective[i]
	}
	n := parent.Add("policy: published %s, after t and pct %s", a.Published(), applied.Applied)
	if i < len(x.Authors) && x.Authors[i].Choice != "" {
		n.Add("by %s", x.Authors[i].Choice)
	}
	if a.Verdict.Testing {
		n.Add("t=y: the owner is testing")
	}
	if a.Verdict.Pct < 100 && a.PolicyDomain != "" {
		n.Add("pct=%d, drawn %d%s", a.Verdict.Pct, a.Draw, x.drawNote())
	}
	if applied.Reason != policy.AsPublished {
		n.Add("one step lower: %s", applied.Reason)
	}
}

func (x *Explanation) drawNote() string {
	if x.Secret || x.stored {
		return ""
	}
	return " (without the site's secret, so the daemon draws another number)"
}

// evidence shows what the profile conformant weighs for an author domain.
func (x *Explanation) evidence(parent *term.Node, a policy.Author) {
	if !policy.EvidenceMatters(a.Verdict) {
		return
	}
	n := parent.Add("evidence for and against a rejection (profile conformant)")
	if len(a.Signers) > 0 {
		n.Add("signatures that are aligned: %s", term.Printable(strings.Join(a.Signers, ", ")))
	}
	switch s := a.SendsMail; {
	case !s.Queried:
		n.Add("sends-mail status: not queried, or no answer")
	case s.Missing:
		n.Add("the domain does not exist")
	case s.NoMail != "":
		n.Add("the domain says that it sends no mail: %s", s.NoMail)
	default:
		n.Add("the domain exists and does not say that it sends no mail")
	}
	switch h := a.History; {
	case h.Messages > 0:
		n.Add("%d messages of the organization in %d days, %d with an aligned DKIM pass", h.Messages, policy.HistoryDays, h.DKIMPass)
	case x.stored:
		n.Add("no history of the organization")
	default:
		n.Add("no history of the organization: only the daemon has it, see --qid")
	}
}

// decision shows what is done, and what of it is the profile's and what a
// rule's.
func (x *Explanation) decision(root *term.Node) {
	d := x.Decision
	profile := ""
	if x.Profile != "" {
		profile = ", profile " + x.Profile
	}
	n := root.Add("decision%s: %s", profile, d.Action)
	n.Add("disposition %s, requested %s, reason %s", d.Disposition, d.Requested, term.OrNone(string(d.Reason)))
	if why := d.ReportReason(x.Facts); why != d.Reason {
		n.Add("in reports: %s, because the policy is not enforced (RFC 9990, Section 3.1.6)", why)
	}
	if d.Evidence != policy.NotWeighed {
		n.Add("evidence: %s", d.Evidence)
	}
	if d.Author != "" && len(x.Facts.Authors) > 1 {
		n.Add("for %s, the strictest of the author domains", d.Author)
	}
	n.Add("why: %s", term.Printable(d.Why))
	if len(x.Facts.Recipients) > 1 {
		n.Add("one answer for recipients of %d domains: a milter cannot answer for each recipient", len(x.Facts.Recipients))
	}
	ruleParts(n, d)
	x.again(n)
}

// ruleParts names every rule that had a part in a decision.
func ruleParts(n *term.Node, d policy.Decision) {
	if d.Rule != "" {
		n.Add("rule %s", d.Rule)
	}
	if d.Unreported != "" {
		n.Add("rule %s keeps the message out of reports to domain owners", d.Unreported)
	}
	if len(d.Also) > 0 {
		n.Add("also matched: %s", strings.Join(d.Also, ", "))
	}
	for _, s := range d.Shadow {
		n.Add("in shadow, rule %s would have answered %s", s.Rule, s.Action)
	}
}

func (x *Explanation) answer(root *term.Node) {
	if x.stored {
		return
	}
	n := root.Add("answer to the MTA: %s", term.Printable(x.Reply))
	for _, e := range x.Edits {
		n.Add("%s", term.Printable(strings.ReplaceAll(e, "\n", "")))
	}
}

// second shows where others agree. What is known to differ, and which RFC is
// for which side, stands in docs/decisions.md.
func (x *Explanation) second(root *term.Node) {
	if x.Second == nil {
		return
	}
	n := root.Add("second opinion, of blitiri.com.ar/go/spf and go-msgauth")
	if x.Second.Error != "" {
		n.Add("%s", term.Printable(x.Second.Error))
	}
	for _, o := range x.Second.Opinions {
		word := "agrees"
		if !o.Agree {
			word = "DIFFERS"
		}
		about := n.Add("%s: ours %s, theirs %s: %s", term.Printable(o.About), o.Ours, term.Printable(o.Theirs), word)
		if o.Words != "" && !o.Agree {
			about.Add("they say: %s", term.Printable(o.Words))
		}
	}
}

// purposes in the order of the tree, with what else they are for.
var purposes = []struct{ name, words string }{
	{"spf", "spf, MAIL FROM and HELO, and whether author domains send mail"}, {"dkim", "dkim, keys of signatures and of ARC"}, {"dmarc", "dmarc, records and organizational domains"},
}

// queries shows every lookup by what it was for.
func (x *Explanation) queries(root *term.Node) {
	if x.stored {
		return
	}
	n := root.Add("%d DNS lookups with an initially empty cache, in order of their answers", len(x.Lookups))
	for _, p := range purposes {
		var of *term.Node
		for i, a := range x.Lookups {
			if a.Purpose != p.name {
				continue
			}
			if of == nil {
				of = n.Add("%s", p.words)
			}
			a.draw(of, fmt.Sprintf("%d. ", i+1))
		}
	}
}

// failing lists the author domains for which the message failed.
func (x *Explanation) failing() []int {
	var out []int
	for i, a := range x.Facts.Authors {
		if a.Verdict.Status != dmarc.Pass && a.Verdict.Status != dmarc.StatusNone {
			out = append(out, i)
		}
	}
	return out
}

// mailFromWord is the domain of MAIL FROM; "<>" is the null path alone.
func mailFromWord(f policy.Facts) string {
	if f.NullPath {
		return "<>"
	}
	return term.OrNone(f.MailFrom)
}
