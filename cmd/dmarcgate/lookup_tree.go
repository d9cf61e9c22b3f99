package main

import (
	"fmt"
	"strings"

	"dmarcgate/auth/dmarc"
)

// maxAnswers is how many records of one answer the tree shows; JSON has all.
const maxAnswers = 20

// tree draws what lookup found.
func (s *sight) tree() *node {
	root := &node{text: s.Domain}
	s.recordNode(root)
	s.defectNodes(root)
	s.methodNodes(root)
	s.failingNodes(root)
	s.reachNode(root)
	s.destinationNodes(root)
	if len(s.Remarks) > 0 {
		remarks := root.add("remarks")
		for _, r := range s.Remarks {
			n := remarks.add("%s", r.Text)
			for _, line := range r.Publish {
				n.add("%s", line)
			}
		}
	}
	asked := root.add("%d DNS lookups", len(s.Asked))
	for _, a := range s.Asked {
		a.draw(asked)
	}
	return root
}

func (s *sight) recordNode(root *node) {
	switch d := s.found; {
	case s.Error != "":
		root.add("record: not known: %s", s.Error)
	case d.Source == dmarc.SourceNone:
		root.add("record: none")
	default:
		n := root.add("record: %s", printable(s.Record))
		n.add("found at %s (%s)", d.PolicyDomain, sourceWords[d.Source])
		n.add("policy for failing mail of %s: %s, pct=%d, testing=%v", s.Domain, s.Policy, d.Record.Pct, d.Record.T)
		n.add("alignment: DKIM %s, SPF %s", modeWords[d.Record.ADKIM], modeWords[d.Record.ASPF])
	}
}

var sourceWords = map[dmarc.Source]string{
	dmarc.SourceAuthor: "the author domain", dmarc.SourceOrg: "its organizational domain", dmarc.SourcePSD: "its public suffix",
}

var modeWords = map[dmarc.Mode]string{dmarc.Relaxed: "relaxed", dmarc.Strict: "strict"}

func (s *sight) defectNodes(root *node) {
	if len(s.Defects) == 0 {
		root.add("defects: none")
		return
	}
	n := root.add("defects")
	for _, d := range s.Defects {
		n.add("%s in %s, at byte %d: %q; %s", d.Kind, d.Name, d.Pos, d.Text, d.effect()).add("mend: %s", d.Mend)
	}
}

func (d defectSight) effect() string {
	if d.Changes {
		return "it changes what the record means"
	}
	return "it changes nothing here"
}

func (s *sight) methodNodes(root *node) {
	word := "the same for both ways to find it"
	if s.Differ {
		word = "DIFFERENT for receivers that find it in another way"
	}
	n := root.add("organizational domain and record: %s", word)
	for _, m := range s.Methods {
		name := methodWords[m.Method]
		if m.Method == s.Method {
			name += ", as configured here"
		}
		if m.Error != "" {
			n.add("%s: not known: %s", name, m.Error)
			continue
		}
		n.add("%s: %s; record at %s, policy %s", name, orNone(m.Org), orNone(m.PolicyDomain), m.Policy)
	}
}

var methodWords = map[string]string{
	dmarc.TreeWalk.String(): "tree walk (RFC 9989)", dmarc.PSL.String(): "public suffix list (RFC 7489)",
}

func (s *sight) failingNodes(root *node) {
	n := root.add("a message from %s without SPF and DKIM, by profile", s.Domain)
	for _, f := range s.Failing {
		text := f.Profile.String()
		if f.Percent < 100 {
			text += fmt.Sprintf(", %d of 100", f.Percent)
		}
		text += fmt.Sprintf(": %s, disposition %s", f.Action, f.Disposition)
		if f.Override != "" {
			text += fmt.Sprintf(" (%s)", f.Override)
		}
		n.add("%s", text).add("because: %s", f.Reason)
	}
}

func (s *sight) destinationNodes(root *node) {
	if len(s.Destinations) == 0 {
		return
	}
	n := root.add("reports go to")
	for _, d := range s.Destinations {
		to := n.add("%s %s: %s", d.Tag, printable(d.URI), consentWords[d.Consent])
		if d.Name != "" {
			to.add("asked: TXT %s", printable(d.Name))
		}
		if d.Why != "" {
			to.add("because: %s", d.Why)
		}
		if len(d.Instead) > 0 {
			to.add("its consent names: %s", printable(strings.Join(d.Instead, ",")))
		}
	}
}

var consentWords = map[consent]string{
	internal: "of the same organization", granted: "elsewhere, and consents", refused: "elsewhere, and does NOT consent: gets none",
	unknown: "not known whether it consents", ignored: "ignored",
}

// draw shows a question and what came of it.
func (a askedName) draw(parent *node) {
	n := parent.add("%s %s", a.Type, printable(a.Name))
	if a.Outcome != "" {
		n.text += " (" + a.state + ")"
	}
	switch {
	case a.Outcome == "" && a.Error == "":
		n.add("not asked: no name of the DNS")
		return
	case a.stale:
		n.add("no newer answer: %s", a.Error)
	case a.Error != "":
		n.add("no answer: %s", a.Error)
		return
	}
	answerNodes(n, a.Records, a.NXDomain)
}

// answerNodes shows the records of an answer, or that there are none.
func answerNodes(n *node, records []string, nxdomain bool) {
	switch {
	case nxdomain:
		n.add("no such name")
	case len(records) == 0:
		n.add("no record")
	}
	for i, r := range records {
		if i == maxAnswers {
			n.add("and %d more", len(records)-i)
			return
		}
		n.add("%q", printable(r))
	}
}
