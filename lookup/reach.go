package lookup

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"dmarcgate/auth/spf"
	"dmarcgate/dnscache"
	"dmarcgate/policy/lint/holder"
	"dmarcgate/term"
)

// reachReport is whom the SPF record of a domain lets in. What they send passes
// SPF for the domain, and so DMARC.
type reachReport struct {
	IPv4      uint64         `json:"ipv4_addresses"`
	IPv6      uint64         `json:"ipv6_networks"` // of /64
	Everybody bool           `json:"everybody,omitempty"`
	Shared    []sharedSender `json:"shared_senders"`
	Unknown   []string       `json:"unknown_terms"` // whom they let in is not known
}

// sharedSender is a sender for everybody that a record names.
type sharedSender struct {
	Name string `json:"name"` // in the record, or in one that it includes
	Of   string `json:"of"`   // the well-known domain
	Kind string `json:"kind"`
}

// reach finds whom the SPF record lets in, where there is one.
func (l looker) reach(ctx context.Context, s *domainReport) {
	var t dnscache.Trail
	r := spf.ReachOf(ctx, l.dns.View(dnscache.SPF).Traced(t.Add), s.Domain)
	s.addLookups(t.Lookups())
	out := reachReport{IPv4: r.IPv4, IPv6: r.IPv6, Everybody: r.Everybody, Shared: []sharedSender{}, Unknown: append([]string{}, r.Unknown...)}
	for _, name := range r.Names {
		h, ok := holder.Sender(name)
		known := slices.ContainsFunc(out.Shared, func(o sharedSender) bool { return o.Of == h.Name })
		if ok && !known {
			out.Shared = append(out.Shared, sharedSender{term.Bounded(name, maxText), h.Name, h.Words})
		}
	}
	s.SPF = &out
}

// reachNode shows it.
func (s *domainReport) reachNode(root *term.Node) {
	r := s.SPF
	if r == nil {
		return
	}
	n := root.Add("SPF lets in %s", r.text())
	for _, o := range r.Shared {
		n.Add("among them %s (%s): %s, whose customers can all send mail that passes SPF", o.Of, term.Printable(o.Name), o.Kind)
	}
	if len(r.Unknown) > 0 {
		n.Add("and whom these let in, which is not known: %s", term.Printable(strings.Join(r.Unknown, " ")))
	}
}

func (r *reachReport) text() string {
	if r.Everybody {
		return "EVERYBODY: whoever sends mail passes SPF"
	}
	if r.IPv4 == 0 && r.IPv6 == 0 {
		return "no address"
	}
	var parts []string
	if r.IPv4 > 0 {
		parts = append(parts, plural(r.IPv4, "IPv4 address", "IPv4 addresses"))
	}
	if r.IPv6 > 0 {
		parts = append(parts, plural(r.IPv6, "IPv6 network of /64", "IPv6 networks of /64"))
	}
	return strings.Join(parts, " and ")
}

func plural(n uint64, one, many string) string {
	switch n {
	case 1:
		return "1 " + one
	case math.MaxUint64:
		return "all " + many
	}
	return fmt.Sprintf("%d %s", n, many)
}
