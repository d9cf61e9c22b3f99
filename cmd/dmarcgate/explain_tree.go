package main

import (
	"fmt"
	"slices"
	"strings"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/results/blob"
)

// tree draws the explanation.
func (x *explanation) tree() *node {
	f := x.Facts
	root := &node{text: fmt.Sprintf("message from client %s, helo %s, MAIL FROM domain %s", clientText(f), orNone(printable(f.Helo)), printable(mailFromWord(f)))}
	switch {
	case f.UnknownClient != policy.ClientKnown && f.Relay.IsValid():
		root.add("client behind our relay %s not known (%s): SPF none, and DMARC does not fail", f.Relay, f.UnknownClient)
	case f.UnknownClient != policy.ClientKnown:
		root.add("client not known (%s): SPF none, and DMARC does not fail", f.UnknownClient)
	case f.Relay.IsValid():
		root.add("client read from the Received field of our relay %s", f.Relay)
	}
	if len(f.Trimmed) > 0 {
		root.add("left out, because a stored row has at most %d bytes: some of %s", blob.MaxRowBytes, printable(strings.Join(f.Trimmed, ", ")))
	}
	if f.Skip != policy.Evaluated {
		root.add("not evaluated: %s", f.Skip)
	} else {
		x.checks(root)
		for i := range f.Authors {
			x.author(root, i)
		}
	}
	if f.Forged > 0 {
		root.add("header fields from outside that only this host may write: %d", f.Forged)
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
func (x *explanation) checks(root *node) {
	f := x.Facts
	n := spfNode(root, "mailfrom", f.SPF)
	if x.Owner != "" {
		n.add("its owner says: %s", printable(x.Owner))
	}
	x.spfQueries(n, "mailfrom", "helo")
	if !f.NullPath {
		n = spfNode(root, "helo", f.HELO)
		n.add("not used for alignment")
		x.spfQueries(n, "helo")
	}
	dkim := root.add("dkim: %d signatures", len(f.DKIM))
	for _, s := range f.DKIM {
		signature(dkim, s)
	}
	x.chain(root)
	if len(f.Pressed) > 0 {
		root.add("not found out, because lookups gave way to those of other messages: %s", strings.Join(f.Pressed, ", "))
	}
	root.add("From: %s", f.From)
	if f.Cut {
		root.add("header longer than limits.header_fields or limits.header_bytes: only its beginning was evaluated")
	}
	if f.BIMIEligible {
		root.add("BIMI: eligible (one author domain, DMARC pass, policy at enforcement)")
	} else {
		root.add("BIMI: not eligible (needs one author domain, DMARC pass, and p=quarantine or reject without sp=none, pct below 100 and t=y)")
	}
}

func spfNode(root *node, identity string, s policy.SPF) *node {
	n := root.add("spf %s: %s for %s (%s)", identity, s.Result, orNone(s.Domain), printable(s.Reason))
	if s.Term != "" {
		n.add("term %s", printable(s.Term))
	}
	return n
}

// spfQueries shows what the check asked, of the first of the identities that
// was checked.
func (x *explanation) spfQueries(n *node, identity ...string) {
	i := slices.IndexFunc(x.SPF, func(c spfCheck) bool { return slices.Contains(identity, c.Identity) })
	if i < 0 {
		return
	}
	asked := x.SPF[i].Asked
	if len(asked) == 0 {
		return
	}
	q := n.add("asked, in order")
	for _, name := range asked {
		x.query(q, name)
	}
}

// query shows a question with its answer.
func (x *explanation) query(n *node, question string) {
	i := slices.IndexFunc(x.Lookups, func(a asked) bool { return a.question() == question })
	if i < 0 {
		n.add("%s", printable(question))
		return
	}
	x.Lookups[i].draw(n, "")
}

// draw shows a lookup, and what the daemon has instead.
func (a asked) draw(parent *node, number string) {
	n := parent.add("%s%s: %s", number, printable(a.question()), a.answer())
	if a.daemon != nil {
		n.add("the daemon has: %s", cached(*a.daemon))
	}
}

// signature shows all that is known of one.
func signature(parent *node, s policy.DKIM) {
	n := parent.add("%s: d=%s s=%s (%s)", s.Result, orNone(s.Domain), printable(s.Selector), printable(s.Reason))
	n.add("a=%s c=%s b=%s", orNone(s.Algorithm), orNone(s.Canon), orNone(s.B))
	if s.KeyBits > 0 {
		n.add("key of %d bits", s.KeyBits)
	} else {
		n.add("no key seen")
	}
	if !s.SignedAt.IsZero() {
		n.add("made at %s (t=)", s.SignedAt.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	if s.Testing {
		n.add("the key says t=y: its owner is testing, and rules do not count it (RFC 6376, Section 3.6.1)")
	}
	switch {
	case s.Result == "pass":
		n.add("header and body are as they were signed")
	case s.HeaderOK:
		n.add("the signed header fields are as they were signed, From among them; only the body is not")
	}
}

func (x *explanation) chain(root *node) {
	c := x.Facts.ARC
	switch {
	case c.Result == "" && x.Facts.Cut:
		root.add("arc: not evaluated, because a part of the header is missing")
		return
	case c.Result == "":
		root.add("arc: no chain")
		return
	}
	n := root.add("arc: %s (%s)", c.Result, printable(c.Reason))
	if c.Result == "pass" && c.OldestPass > 1 {
		n.add("changed on its way: the signatures verify from hop %d on", c.OldestPass)
	}
	for i, s := range c.Sealers {
		hop := n.add("hop %d sealed by %s, s=%s", i+1, orNone(s.Domain), printable(s.Selector))
		for _, r := range s.Recorded {
			hop.add("recorded %s=%s for %s", printable(r.Method), printable(r.Result), printable(r.Domain))
		}
	}
}

// author shows one author domain: its record and how it was found, what is
// aligned with it, and which policy comes of that.
func (x *explanation) author(root *node, i int) {
	a := x.Facts.Authors[i]
	n := root.add("dmarc %s: %s", a.Domain, a.Verdict.Status)
	switch a.Verdict.Cause {
	case dmarc.CausePressure:
		n.add("cause: pressure: a lookup gave way to those of other messages, or our DNS is down; no setting delivers for it")
	case dmarc.CauseOurs, dmarc.CauseDomain:
		n.add("cause: %s; [temperror] %s decides", a.Verdict.Cause, a.Verdict.Cause)
	}
	if a.PolicyDomain == "" {
		n.add("no record")
	} else {
		n.add("record at %s (%s): %s", a.PolicyDomain, a.Source, printable(a.Record))
		if len(a.Defects) > 0 {
			n.add("defects: %s; dmarcgate lookup %s says how to mend them", strings.Join(a.Defects, ", "), a.Domain)
		}
	}
	if i < len(x.Authors) {
		x.Authors[i].walk(n)
	}
	if a.Org != "" {
		n.add("organizational domain %s", a.Org)
	}
	if len(a.Differs) > 0 {
		n.add("the other method of discovery differs in: %s", strings.Join(a.Differs, ", "))
	}
	aligned := n.add("aligned: SPF %v, DKIM %v", a.Verdict.AlignedSPF, a.Verdict.AlignedDKIM)
	if i < len(x.Authors) {
		x.Authors[i].alignment(aligned)
	}
	if by := a.PassBy(); by != "" {
		n.add("passes by: %s", by)
	}
	n.add("because: %s", printable(a.Verdict.Reason))
	if x.Facts.EarlierSPFFail && a.Verdict.AlignedSPF {
		n.add("a field of the message says that SPF failed for this organization at an earlier host: " +
			"it may have been sent through a shared sender to make SPF pass")
	}
	x.policy(n, i)
	x.evidence(n, a)
}

func (p authorPath) walk(parent *node) {
	n := parent.add("search by %s, %d names, stopped %s", p.Method, len(p.Walk), p.Stopped)
	for _, w := range p.Walk {
		name := n.add("TXT %s", printable(w.Name))
		switch {
		case w.Error != "":
			name.add("no answer: %s", printable(w.Error))
		case len(w.Records) == 0 && w.Other > 0:
			name.add("no DMARC record, %d other TXT", w.Other)
		case len(w.Records) == 0:
			name.add("nothing")
		}
		for _, r := range w.Records {
			name.add("%s", printable(r))
		}
		for _, d := range w.Defects {
			name.add("defect: %s", printable(d))
		}
	}
}

func (p authorPath) alignment(parent *node) {
	for _, id := range p.Identifiers {
		word := "not aligned"
		if id.Aligned {
			word = "aligned"
		}
		name := id.Domain
		if id.Selector != "" {
			name += " (s=" + id.Selector + ")"
		}
		n := parent.add("%s %s for %s: %s: %s", id.Mechanism, id.Result, printable(name), word, printable(id.Why))
		if id.Mode != "" {
			n.add("mode %s", id.Mode)
		}
		if len(id.Asked) > 0 {
			n.add("asked beside: %s", printable(strings.Join(id.Asked, ", ")))
		}
	}
}

// policy shows how the published policy becomes the one that is applied.
func (x *explanation) policy(parent *node, i int) {
	a := x.Facts.Authors[i]
	applied := policy.Policy{Applied: a.Verdict.Policy}
	if i < len(x.Decision.Effective) {
		applied = x.Decision.Effective[i]
	}
	n := parent.add("policy: published %s, after t and pct %s", a.Published(), applied.Applied)
	if i < len(x.Authors) && x.Authors[i].Choice != "" {
		n.add("by %s", x.Authors[i].Choice)
	}
	if a.Verdict.Testing {
		n.add("t=y: the owner is testing")
	}
	if a.Verdict.Pct < 100 && a.PolicyDomain != "" {
		n.add("pct=%d, drawn %d%s", a.Verdict.Pct, a.Draw, x.drawNote())
	}
	if applied.Override != policy.AsPublished {
		n.add("one step lower: %s", applied.Override)
	}
}

func (x *explanation) drawNote() string {
	if x.Secret || x.stored {
		return ""
	}
	return " (without the site's secret, so the daemon draws another number)"
}

// evidence shows what the profile conformant weighs for an author domain.
func (x *explanation) evidence(parent *node, a policy.Author) {
	if !policy.EvidenceMatters(a.Verdict) {
		return
	}
	n := parent.add("evidence for and against a rejection, which the profile conformant weighs")
	if len(a.Signers) > 0 {
		n.add("signatures that are aligned: %s", printable(strings.Join(a.Signers, ", ")))
	}
	switch s := a.Standing; {
	case !s.Asked:
		n.add("whether the domain sends mail: not asked, or not answered")
	case s.Missing:
		n.add("the domain does not exist")
	case s.NoMail != "":
		n.add("the domain says that it sends no mail: %s", s.NoMail)
	default:
		n.add("the domain exists and does not say that it sends no mail")
	}
	switch h := a.History; {
	case h.Messages > 0:
		n.add("%d messages of the organization in %d days, %d with an aligned DKIM pass", h.Messages, policy.HistoryDays, h.DKIMPass)
	case x.stored:
		n.add("no history of the organization")
	default:
		n.add("no history of the organization: only the daemon has it, see --qid")
	}
}

// decision shows what is done, and what of it is the profile's and what a
// rule's.
func (x *explanation) decision(root *node) {
	d := x.Decision
	profile := ""
	if x.Profile != "" {
		profile = ", profile " + x.Profile
	}
	n := root.add("decision%s: %s", profile, d.Action)
	n.add("disposition %s, requested %s, override %s", d.Disposition, d.Requested, orNone(string(d.Override)))
	if why := d.ReportReason(x.Facts); why != d.Override {
		n.add("in reports: %s, because the policy is not enforced (RFC 9990, Section 3.1.6)", why)
	}
	if d.Evidence != policy.NotWeighed {
		n.add("evidence: %s", d.Evidence)
	}
	if d.Author != "" && len(x.Facts.Authors) > 1 {
		n.add("for %s, the strictest of the author domains", d.Author)
	}
	n.add("because: %s", printable(d.Reason))
	if len(x.Facts.Recipients) > 1 {
		n.add("one answer for recipients of %d domains: a milter can give no other", len(x.Facts.Recipients))
	}
	ruleParts(n, d)
	x.again(n)
}

// ruleParts names every rule that had a part in a decision.
func ruleParts(n *node, d policy.Decision) {
	if d.Rule != "" {
		n.add("rule %s", d.Rule)
	}
	if d.Unreported != "" {
		n.add("rule %s keeps the message out of reports to domain owners", d.Unreported)
	}
	if len(d.Also) > 0 {
		n.add("also matched: %s", strings.Join(d.Also, ", "))
	}
	for _, s := range d.Shadow {
		n.add("in shadow, rule %s would have answered %s", s.Rule, s.Action)
	}
}

func (x *explanation) answer(root *node) {
	if x.stored {
		return
	}
	n := root.add("answer to the MTA: %s", printable(x.Reply))
	for _, e := range x.Edits {
		n.add("%s", printable(strings.ReplaceAll(e, "\n", "")))
	}
}

// second shows where others agree. What is known to differ, and which RFC is
// for which side, stands in docs/decisions.md.
func (x *explanation) second(root *node) {
	if x.Second == nil {
		return
	}
	n := root.add("second opinion, of blitiri.com.ar/go/spf and go-msgauth")
	if x.Second.Error != "" {
		n.add("%s", printable(x.Second.Error))
	}
	for _, o := range x.Second.Opinions {
		word := "agrees"
		if !o.Agree {
			word = "DIFFERS"
		}
		about := n.add("%s: ours %s, theirs %s: %s", printable(o.About), o.Ours, printable(o.Theirs), word)
		if o.Words != "" && !o.Agree {
			about.add("they say: %s", printable(o.Words))
		}
	}
}

// purposes in the order of the tree, with what else they are for.
var purposes = []struct{ name, words string }{
	{"spf", "spf, MAIL FROM and HELO, and whether author domains send mail"}, {"dkim", "dkim, keys of signatures and of ARC"}, {"dmarc", "dmarc, records and organizational domains"},
}

// queries shows every lookup by what it was for.
func (x *explanation) queries(root *node) {
	if x.stored {
		return
	}
	n := root.add("%d DNS lookups, with a cache that was empty before; numbered by their answers", len(x.Lookups))
	for _, p := range purposes {
		var of *node
		for i, a := range x.Lookups {
			if a.Purpose != p.name {
				continue
			}
			if of == nil {
				of = n.add("%s", p.words)
			}
			a.draw(of, fmt.Sprintf("%d. ", i+1))
		}
	}
}

// failing lists the author domains for which the message failed.
func (x *explanation) failing() []int {
	var out []int
	for i, a := range x.Facts.Authors {
		if a.Verdict.Status != dmarc.Pass && a.Verdict.Status != dmarc.StatusNone {
			out = append(out, i)
		}
	}
	return out
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return printable(s)
}

// mailFromWord is the domain of MAIL FROM; "<>" is the null path alone.
func mailFromWord(f policy.Facts) string {
	if f.NullPath {
		return "<>"
	}
	return orNone(f.MailFrom)
}
