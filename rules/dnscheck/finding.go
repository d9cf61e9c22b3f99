package dnscheck

import (
	"fmt"
	"net/netip"
	"strings"

	"dmarcgate/policy"
	"dmarcgate/policy/lint"
	"dmarcgate/policy/lint/holder"
	"dmarcgate/site"
	"dmarcgate/term"
)

// maxTold is how many findings of one code an anchor has; the rest is counted.
const maxTold = 5

// maxText is how many bytes of a name from the DNS are shown.
const maxText = 100

// maxError is the same for the text of an error, which has names of its own.
const maxError = 300

// told is one thing to say about an item.
type told struct{ code, text, fix string }

// findings are what is to be said about an anchor.
func (a *anchor) findings() []site.Remark {
	var found []site.Remark
	add := func(t told) {
		r := a.place
		r.Level, r.Code, r.Text, r.Fix = site.LevelWarning, t.code, t.text, t.fix
		found = append(found, r)
	}
	seen := map[told]bool{}
	counts := map[string]int{}
	late := 0
	for _, one := range a.items {
		if !one.asked {
			late++
			continue
		}
		for _, t := range one.say() {
			if seen[t] {
				continue
			}
			seen[t] = true
			if counts[t.code]++; counts[t.code] <= maxTold {
				add(t)
			}
		}
	}
	for _, code := range policy.Codes() {
		if more := counts[code] - maxTold; more > 0 {
			add(told{code, fmt.Sprintf("the same holds for %s of this key", term.Count(more, "more item")), "see the items above"})
		}
	}
	limits := []struct {
		n    int
		text string
		fix  string
	}{
		{a.beyondMap, fmt.Sprintf("were not looked up: of a map, the first %d are", maxMapItems), "name fewer senders in the map"},
		{a.beyondNames, fmt.Sprintf("were not looked up: all rules have more than %d names and addresses", maxNames), "check the rules in parts, with --dir"},
		{late, fmt.Sprintf("were not looked up within %d seconds", maxSeconds), "run the command again: it is faster while the name servers know the answers"},
	}
	for _, l := range limits {
		if l.n > 0 {
			add(told{policy.CodeDNSLimit, fmt.Sprintf("%s %s", term.Count(l.n, "item"), l.text), l.fix})
		}
	}
	return found
}

// say tells what is wrong with a subject, for one item.
func (i item) say() []told {
	var out []told
	if i.err != nil {
		out = append(out, told{policy.CodeDNSFailed, fmt.Sprintf("%s could not be looked up: %s", i.name(), term.Bounded(i.err.Error(), maxError)), "run the command again"})
	}
	if i.client.IsValid() {
		return append(out, i.ofClient()...)
	}
	if i.missing {
		return append(out, told{
			policy.CodeDNSNoDomain, fmt.Sprintf("the domain %q does not exist: whoever registers it passes for %s", i.org, i.name()), "remove the name",
		})
	}
	if !i.spf || i.reach == nil {
		return out
	}
	return append(append(out, i.ofRecord()...), i.ofSenders()...)
}

// ofClient tells of a client whose name is that of a shared holder.
func (s *subject) ofClient() []told {
	for _, name := range s.names {
		if h, ok := holder.Sender(name); ok {
			return []told{{
				policy.CodeDNSSharedClient,
				fmt.Sprintf("%s is %q in the DNS, of %s (%s): whoever has the address next sends as this client", s.name(), shown(name), h.Words, shown(h.Name)),
				"use spf_pass or dkim_pass, or make sure that the address is yours for as long as the rule is active",
			}}
		}
	}
	return nil
}

// ofRecord tells how wide an SPF record is.
func (s *subject) ofRecord() []told {
	r, fix := s.reach, "use dkim_pass, or ask the owner of the domain to correct the record"
	var out []told
	switch {
	case r.Everybody:
		out = append(out, told{policy.CodeDNSEverybody, fmt.Sprintf("the SPF record of %s lets in everybody", s.name()), fix})
	case lint.TooMany(r.IPv4, r.IPv6):
		out = append(out, told{policy.CodeDNSWide, fmt.Sprintf(
			"the SPF record of %s lets in %d addresses of IPv4 and %d networks /64 of IPv6, more than one party has", s.name(), r.IPv4, r.IPv6,
		), fix})
	}
	if r.PTR {
		out = append(out, told{policy.CodeDNSPTR, fmt.Sprintf("the SPF record of %s has ptr: it lets in every host that has a name below a domain", s.name()), fix})
	}
	return out
}

// ofSenders tells whom an SPF record lets in besides the domain itself.
func (s *subject) ofSenders() []told {
	var out []told
	own, _ := holder.Sender(s.domain)
	seen := map[string]bool{own.Name: true}
	fix := "use dkim_pass, or an spf_pass of a domain with senders of its own"
	add := func(of, by, kind string) {
		if !seen[of] {
			seen[of] = true
			out = append(out, told{
				policy.CodeDNSSharedSender, fmt.Sprintf("the SPF record of %s lets in %s, of %s (%s)", s.name(), by, kind, shown(of)), fix,
			})
		}
	}
	for _, name := range s.reach.Names {
		if h, ok := holder.Sender(name); ok {
			add(h.Name, fmt.Sprintf("%q", shown(name)), h.Words)
		}
	}
	if r := s.reach; len(out) == 0 && own.Name == "" && !r.Everybody && !lint.TooMany(r.IPv4, r.IPv6) { // a record that was written out has networks for names
		for _, p := range s.reach.Networks {
			if h, ok := holder.At(p); ok && many(p) {
				add(h.Network.String(), p.String(), h.Words)
			}
		}
	}
	if len(s.lapsed) > 0 {
		out = append(out, told{
			policy.CodeDNSNoDomain,
			fmt.Sprintf("the SPF record of %s names domains that do not exist: whoever registers one passes for %s: %s", s.name(), s.name(), shown(strings.Join(s.lapsed, " "))), fix,
		})
	}
	return out
}

// many reports whether a network is more than the few addresses that a shared holder
// gives to one customer alone.
func many(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return p.Bits() <= 24
	}
	return p.Bits() <= 48
}

func shown(name string) string { return term.Bounded(name, maxText) }
