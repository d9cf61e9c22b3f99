package spf

import (
	"cmp"
	"context"
	"math"
	"net/netip"
	"slices"
	"strings"
)

// Reach is whom an SPF record lets in: the clients for which it says pass. What
// stands before a term and says something else for a part of them is left out
// of account, so it is an upper bound.
type Reach struct {
	IPv4 uint64 // addresses, each once
	IPv6 uint64 // networks of /64, each once: the least that one host has; math.MaxUint64 is that many or more

	// Everybody tells that all clients pass, by +all or by networks.
	Everybody bool
	// Names are the domains whose records or hosts count, in the order of the
	// record: of include, redirect, a and mx, without the domain itself.
	Names []string
	// Unknown are terms that let in clients whom only the message tells: exists,
	// ptr, and macros; and those for which the DNS had no answer, or that are
	// beyond the limits of a check. As written.
	Unknown []string
	// Networks are those that IPv4 and IPv6 count, sorted; some may be in others.
	Networks []netip.Prefix
	// PTR tells that ptr lets in clients by their name (RFC 7208, Section 5.5).
	PTR bool
	// Err is the first failure of the DNS: the record may let in more.
	Err error
}

// maxReach is how many networks are taken of a record with all that it includes:
// our limit, far above what ten lookups give.
const maxReach = 20_000

// ReachOf finds whom the record of a domain lets in. It looks up at most as many
// terms as a check may (RFC 7208, Section 4.6.4).
func ReachOf(ctx context.Context, r Resolver, domain string) Reach {
	w := reaching{dns: r, seen: map[string]bool{}}
	w.walk(ctx, domain)
	w.out.Networks = w.networks
	w.out.count(w.networks)
	return w.out
}

// reaching is the walk through a record.
type reaching struct {
	dns      Resolver
	out      Reach
	networks []netip.Prefix
	seen     map[string]bool // domains whose record has been walked through
	terms    int
}

func (w *reaching) walk(ctx context.Context, domain string) {
	if w.seen[domain] {
		return
	}
	w.seen[domain] = true
	found, err := lookupRecord(ctx, w.dns, domain)
	if w.failed(err) || found.failure != nil || !found.record.published {
		w.unknown("the record of " + domain)
		return
	}
	all := false
	for i := range found.record.terms {
		t := &found.record.terms[i]
		if t.mechanism == mAll { // what stands behind it is never reached (Section 5.1)
			all = true
			w.out.Everybody = w.out.Everybody || t.result == Pass
			break
		}
		if t.result == Pass {
			w.term(ctx, domain, t)
		}
	}
	if spec := found.record.redirect; spec != "" && !all { // Section 6.1
		w.name(spec, "redirect="+spec, func(name string) { w.walk(ctx, name) })
	}
}

// term adds what one directive lets in.
func (w *reaching) term(ctx context.Context, domain string, t *term) {
	switch t.mechanism {
	case mIP4, mIP6:
		w.add(t.network)
		return
	case mExists, mPTR:
		w.out.PTR = w.out.PTR || t.mechanism == mPTR
		w.unknown(t.text)
		return
	}
	spec := t.domain
	if spec == "" {
		spec = domain
	}
	w.name(spec, t.text, func(name string) {
		switch t.mechanism {
		case mInclude:
			w.walk(ctx, name)
		case mA:
			w.host(ctx, name, t)
		case mMX:
			hosts, err := w.dns.MX(ctx, name)
			if w.failed(err) || len(hosts) > maxMX {
				w.unknown(t.text)
				return
			}
			for _, host := range hosts {
				w.mention(host)
				w.host(ctx, host, t)
			}
		}
	})
}

// name calls f with the name that a domain-spec stands for, if that does not
// depend on the message and the limit of terms is not reached.
func (w *reaching) name(spec, text string, f func(name string)) {
	w.terms++
	if strings.IndexByte(spec, '%') >= 0 || w.terms > maxTerms {
		w.unknown(text)
		return
	}
	name := strings.TrimSuffix(strings.ToLower(fitName(spec)), ".")
	w.mention(name)
	f(name)
}

// mention adds a name that counts.
func (w *reaching) mention(name string) {
	if !slices.Contains(w.out.Names, name) && !w.seen[name] && len(w.out.Names) < maxReach {
		w.out.Names = append(w.out.Names, name)
	}
}

// host adds the networks of the addresses of a host.
func (w *reaching) host(ctx context.Context, name string, t *term) {
	if !isName(name) {
		return
	}
	four, err := w.dns.A(ctx, name)
	six, err6 := w.dns.AAAA(ctx, name)
	if w.failed(err) || w.failed(err6) {
		w.unknown(t.text)
	}
	for _, a := range four {
		w.add(netip.PrefixFrom(a, int(t.bits4)))
	}
	for _, a := range six {
		w.add(netip.PrefixFrom(a, int(t.bits6)))
	}
}

func (w *reaching) add(p netip.Prefix) {
	if len(w.networks) == maxReach {
		w.unknown("more networks than can be counted")
		return
	}
	w.networks = append(w.networks, p.Masked())
}

// failed reports whether the DNS had no answer, and keeps why.
func (w *reaching) failed(err error) bool {
	if err == nil || isStale(err) {
		return false
	}
	w.out.Err = cmp.Or(w.out.Err, err)
	return true
}

func (w *reaching) unknown(text string) {
	if text = printable(text, maxTerm); !slices.Contains(w.out.Unknown, text) && len(w.out.Unknown) < maxTerms {
		w.out.Unknown = append(w.out.Unknown, text)
	}
}

// count counts what networks hold, each address once.
func (r *Reach) count(networks []netip.Prefix) {
	slices.SortFunc(networks, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits() // the wider one first
	})
	var last netip.Prefix
	var next netip.Addr // the first address that has not been counted, of /64s
	for _, p := range networks {
		if last.IsValid() && last.Contains(p.Addr()) && last.Addr().Is4() == p.Addr().Is4() {
			continue
		}
		last = p
		if p.Addr().Is4() {
			r.IPv4 += 1 << (32 - p.Bits())
			continue
		}
		if p.Bits() > 64 { // a host: its /64, once
			p = netip.PrefixFrom(p.Addr(), 64).Masked()
			if p.Addr() == next {
				continue
			}
			next = p.Addr()
		}
		r.add64(p.Bits())
	}
	r.Everybody = r.Everybody || r.IPv4 >= 1<<32
}

// add64 adds the /64s of a network with so many bits, without overflow.
func (r *Reach) add64(bits int) {
	if bits == 0 {
		r.IPv6 = math.MaxUint64
		return
	}
	n := uint64(1) << (64 - bits)
	if r.IPv6 > math.MaxUint64-n {
		r.IPv6 = math.MaxUint64
		return
	}
	r.IPv6 += n
}
