package dnscache

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// View is the resolver as one mechanism sees it. Make it with Resolver.View;
// it is a small value, to be copied.
//
// In all its methods "there is none" is an empty result without an error,
// for a text too that cannot be a name in the DNS. Every error is temporary:
// an *Error, or ctx's own when ctx ended the wait. Results are shared with the
// cache: they may be kept, and are not to be changed.
type View struct {
	r       *Resolver
	purpose Purpose
	trace   func(Lookup)
	memory  *memory // set: the cache alone answers
}

// memory is what came of the lookups of a view that only remembers.
type memory struct {
	off            bool // it remembers nothing
	missed         bool
	hits, negative int
}

// errUnknown is the failure of a lookup that the cache cannot answer.
var errUnknown = errors.New("dnscache: not in the cache")

// Remembered returns a view that answers from the cache alone, at once, for use
// by one goroutine, and a function that reports whether all that was asked of
// it since the last call was there. Only then were the lookups counted: whoever
// missed something will ask again. A traced view remembers nothing, so that
// its trace shows every lookup.
func (v View) Remembered() (View, func() bool) {
	m := &memory{off: v.trace != nil}
	v.memory, v.trace = m, nil
	return v, func() bool {
		complete := !m.missed && !m.off
		if complete {
			v.r.metrics.CacheHits(v.purpose.String(), m.hits, m.negative)
		}
		*m = memory{off: m.off}
		return complete
	}
}

// Lookup is one lookup and what came of it, for explanations.
type Lookup struct {
	Purpose    string // of the view: dmarc, spf or dkim
	Name, Type string
	Outcome    string        // hit, negative_hit, stale, coalesced or miss; empty when Name cannot be a name and nothing was asked
	Records    []string      // addresses in their text form
	NXDomain   bool          // the name itself does not exist
	TTL        time.Duration // what is left of it; 0 when stale
	Age        time.Duration // since the answer was given
	AD         bool          // a server that is trusted to say so has validated the answer (RFC 4035, Section 3.2.3)
	Err        error
}

// Traced returns a view that calls f after each lookup, in the goroutine of
// the lookup; f must be safe to call from several at once.
func (v View) Traced(f func(Lookup)) View {
	v.trace = f
	return v
}

// TXT returns the TXT records of name: the strings of each joined without a
// separator (RFC 7208, Section 3.3; RFC 6376, Section 3.6.2.2), as raw bytes.
func (v View) TXT(ctx context.Context, name string) ([]string, error) {
	a, err := v.lookup(ctx, name, dns.TypeTXT)
	return a.records, err
}

// Parsed returns what parse makes of the TXT records of name, and keeps it as
// long as the cache keeps them. parse depends on nothing else, and nobody
// changes what it returned: it is shared. What another purpose made of the same
// records is not returned. Beside a *StaleError the value is that of the stale
// records; with every other error it is nil, and parse was not called.
func (v View) Parsed(ctx context.Context, name string, parse func(txts []string) any) (any, error) {
	txts, err := v.TXT(ctx, name)
	if err != nil {
		return nil, err
	}
	return parse(txts), nil
}

// A returns the IPv4 addresses of name.
func (v View) A(ctx context.Context, name string) ([]netip.Addr, error) {
	a, err := v.lookup(ctx, name, dns.TypeA)
	return a.addrs, err
}

// AAAA returns the IPv6 addresses of name.
func (v View) AAAA(ctx context.Context, name string) ([]netip.Addr, error) {
	a, err := v.lookup(ctx, name, dns.TypeAAAA)
	return a.addrs, err
}

// MX returns the mail hosts of name, the preferred ones first, in lower case
// without the final dot. A null MX (RFC 7505) is the one host ".".
func (v View) MX(ctx context.Context, name string) ([]string, error) {
	a, err := v.lookup(ctx, name, dns.TypeMX)
	return a.records, err
}

// SOA returns the first name server of the zone that begins at name, in lower
// case without the final dot, and the mailbox of who answers for it, as an
// address (RFC 1035, Section 3.3.13). Either is empty when there is none, when
// no zone begins at name, or when it cannot be one; the local part of the
// mailbox is raw bytes.
func (v View) SOA(ctx context.Context, name string) (server, mailbox string, err error) {
	a, err := v.lookup(ctx, name, dns.TypeSOA)
	if len(a.records) < 2 {
		return "", "", err
	}
	return a.records[0], a.records[1], err
}

// PTR returns the names that ip claims, in lower case without the final dot.
// They are the claim of whoever holds the address; nothing is checked.
func (v View) PTR(ctx context.Context, ip netip.Addr) ([]string, error) {
	name, ok := reverseName(ip)
	if !ok {
		return nil, nil
	}
	a, err := v.lookup(ctx, name, dns.TypePTR)
	return a.records, err
}

// Exists reports whether name exists, with records of whatever type or none.
// It is false only when the servers say NXDOMAIN of the name itself to a
// question for TXT, which SPF has mostly asked already, and to one for A too:
// some servers deny a name when they do not know the type (RFC 4074, Section 4.2).
func (v View) Exists(ctx context.Context, name string) (bool, error) {
	if _, ok := clean(name); !ok {
		return false, nil
	}
	for _, qtype := range []uint16{dns.TypeTXT, dns.TypeA} {
		a, err := v.lookup(ctx, name, qtype)
		if err != nil {
			return false, err
		}
		if !a.nxdomain {
			return true, nil
		}
	}
	return false, nil
}

// lookup never returns nil.
func (v View) lookup(ctx context.Context, name string, qtype uint16) (*answer, error) {
	var (
		a       *answer
		outcome string
		err     error
	)
	if clean, ok := clean(name); ok {
		k := key{qtype: qtype, name: clean}
		if v.memory != nil {
			a, err = v.recall(k)
		} else {
			a, outcome, err = v.r.lookup(ctx, v.purpose, k)
		}
	}
	if a == nil {
		a = new(answer)
	}
	if v.trace != nil {
		v.trace(v.traced(a, name, qtype, outcome, err))
	}
	return a, err
}

func (v View) recall(k key) (*answer, error) {
	m := v.memory
	if m.missed || m.off {
		return nil, errUnknown
	}
	a, ok := v.r.cache.GetIfPresent(k)
	switch {
	case !ok:
		m.missed = true
		return nil, errUnknown
	case a.empty():
		m.negative++
	default:
		m.hits++
	}
	return a, nil
}

func (v View) traced(a *answer, name string, qtype uint16, outcome string, err error) Lookup {
	l := Lookup{
		Purpose: v.purpose.String(),
		Name:    name, Type: dns.TypeToString[qtype], Outcome: outcome,
		Records: slices.Clone(a.records), NXDomain: a.nxdomain, Err: err,
	}
	for _, ip := range a.addrs {
		l.Records = append(l.Records, ip.String())
	}
	if a.ttl > 0 {
		l.TTL = max(0, a.expires.Sub(v.r.now()))
	}
	return l
}
