package lookup

import (
	"fmt"
	"strings"

	"dmarcgate/auth/dmarc"
	"dmarcgate/report/consent"
	"dmarcgate/term"
)

// tree draws what lookup found.
func (s *domainReport) tree() *term.Node {
	root := &term.Node{Text: s.Domain}
	s.recordNode(root)
	s.defectNodes(root)
	s.methodNodes(root)
	s.failingNodes(root)
	s.reachNode(root)
	s.spfNode(root)
	s.keyNodes(root)
	s.destinationNodes(root)
	if len(s.Remarks) > 0 {
		remarks := root.Add("remarks")
		for _, r := range s.Remarks {
			n := remarks.Add("%s", r.Text)
			for _, line := range r.Publish {
				n.Add("%s", line)
			}
		}
	}
	queried := root.Add("%d DNS lookups", len(s.Queried))
	for _, a := range s.Queried {
		a.draw(queried)
	}
	return root
}

func (s *domainReport) recordNode(root *term.Node) {
	switch d := s.found; {
	case s.Error != "":
		root.Add("record: not known: %s", s.Error)
	case d.Source == dmarc.SourceNone:
		root.Add("record: none")
	default:
		n := root.Add("record: %s", term.Printable(s.Record))
		n.Add("found at %s (%s)", d.PolicyDomain, sourceWords[d.Source])
		n.Add("policy for failing mail of %s: %s, pct=%d, testing=%v", s.Domain, s.Policy, d.Record.Pct, d.Record.T)
		n.Add("alignment: DKIM %s, SPF %s", modeWords[d.Record.ADKIM], modeWords[d.Record.ASPF])
	}
}

var sourceWords = map[dmarc.Source]string{
	dmarc.SourceAuthor: "the author domain", dmarc.SourceOrg: "its organizational domain", dmarc.SourcePSD: "its public suffix",
}

var modeWords = map[dmarc.Mode]string{dmarc.Relaxed: "relaxed", dmarc.Strict: "strict"}

func (s *domainReport) defectNodes(root *term.Node) {
	if len(s.Defects) == 0 {
		root.Add("defects: none")
		return
	}
	n := root.Add("defects")
	for _, d := range s.Defects {
		n.Add("%s in %s, at byte %d: %q; %s", d.Kind, d.Name, d.Pos, d.Text, d.effect()).Add("fix: %s", d.Fix)
	}
}

func (d defectReport) effect() string {
	if d.Changes {
		return "changes the meaning of the record"
	}
	return "changes nothing here"
}

func (s *domainReport) methodNodes(root *term.Node) {
	word := "same result with both discovery methods"
	if s.Differ {
		word = "DIFFERENT result with the other discovery method"
	}
	n := root.Add("organizational domain and record: %s", word)
	for _, m := range s.Methods {
		name := methodWords[m.Method]
		if m.Method == s.Method {
			name += ", as configured here"
		}
		if m.Error != "" {
			n.Add("%s: not known: %s", name, m.Error)
			continue
		}
		n.Add("%s: %s; record at %s, policy %s", name, term.OrNone(m.Org), term.OrNone(m.PolicyDomain), m.Policy)
	}
}

var methodWords = map[string]string{
	dmarc.TreeWalk.String(): "tree walk (RFC 9989)", dmarc.PSL.String(): "public suffix list (RFC 7489)",
}

func (s *domainReport) failingNodes(root *term.Node) {
	n := root.Add("a message from %s without SPF and DKIM, by profile", s.Domain)
	for _, f := range s.Failing {
		text := f.Profile.String()
		if f.Percent < 100 {
			text += fmt.Sprintf(", %d of 100", f.Percent)
		}
		text += fmt.Sprintf(": %s, disposition %s", f.Action, f.Disposition)
		if f.Reason != "" {
			text += fmt.Sprintf(" (%s)", f.Reason)
		}
		n.Add("%s", text).Add("why: %s", f.Why)
	}
}

func (s *domainReport) destinationNodes(root *term.Node) {
	if len(s.Destinations) == 0 {
		return
	}
	n := root.Add("reports go to")
	for _, d := range s.Destinations {
		to := n.Add("%s %s: %s", d.Tag, term.Printable(d.URI), consentWords[d.Consent])
		if d.Name != "" {
			to.Add("queried: TXT %s", term.Printable(d.Name))
		}
		if d.Why != "" {
			to.Add("why: %s", d.Why)
		}
		if len(d.Instead) > 0 {
			to.Add("consent record names: %s", term.Printable(strings.Join(d.Instead, ",")))
		}
	}
}

var consentWords = map[consent.State]string{
	consent.Internal: "of the same organization", consent.Granted: "external, with consent", consent.Refused: "external, WITHOUT consent: gets no reports",
	consent.Unknown: "consent not known", consent.Ignored: "ignored",
}

// draw shows a question and what came of it.
func (a queriedName) draw(parent *term.Node) {
	n := parent.Add("%s %s", a.Type, term.Printable(a.Name))
	if a.Outcome != "" {
		n.Text += " (" + a.state + ")"
	}
	switch {
	case a.Outcome == "" && a.Error == "":
		n.Add("not queried: not a DNS name")
		return
	case a.stale:
		n.Add("no newer answer: %s", a.Error)
	case a.Error != "":
		n.Add("no answer: %s", a.Error)
		return
	}
	n.Answer(a.Records, a.NXDomain)
}
