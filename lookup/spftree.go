package lookup

import (
	"context"
	"fmt"

	"dmarcgate/auth/spf"
	"dmarcgate/dnscache"
	"dmarcgate/term"
)

// spfTerm is a term of an SPF record that needs DNS, with all below it.
type spfTerm struct {
	Term  string    `json:"term"`
	Terms int       `json:"dns_terms"`  // with those below
	Voids int       `json:"void_terms"` // of these, those that find nothing
	Why   string    `json:"why,omitempty"`
	Below []spfTerm `json:"below,omitempty"`
}

// spfTree follows the SPF record, where there is one.
func (l looker) spfTree(ctx context.Context, s *domainReport) {
	var t dnscache.Trail
	tree, _ := spf.TreeOf(ctx, l.dns.View(dnscache.SPF).Traced(t.Add), s.Domain) // each failure is in its branch
	s.addLookups(t.Lookups())
	top := newSPFTerm(tree)
	s.SPFTree = &top
}

func newSPFTerm(b spf.Branch) spfTerm {
	t := spfTerm{Term: term.Bounded(b.Term, maxText), Terms: b.Terms, Voids: b.Voids, Why: b.Why}
	for _, below := range b.Below {
		t.Below = append(t.Below, newSPFTerm(below))
	}
	return t
}

// spfNode shows the tree with the limits of RFC 7208.
func (s *domainReport) spfNode(root *term.Node) {
	t := s.SPFTree
	if t == nil {
		return
	}
	text := fmt.Sprintf("SPF needs at most %d of %d DNS terms, %d of %d find nothing (RFC 7208, Section 4.6.4)", t.Terms, spf.MaxTerms, t.Voids, spf.MaxVoids)
	if t.Terms > spf.MaxTerms || t.Voids > spf.MaxVoids {
		text += ": BEYOND THE LIMIT, an error for clients that match late or not at all"
	}
	t.draw(root.Add("%s", text))
}

func (t *spfTerm) draw(n *term.Node) {
	if t.Why != "" {
		n.Text += ": " + term.Printable(t.Why)
	}
	for i := range t.Below {
		b := &t.Below[i]
		text := term.Printable(b.Term)
		if b.Terms > 1 {
			text += fmt.Sprintf(" (%d terms)", b.Terms)
		}
		b.draw(n.Add("%s", text))
	}
}
