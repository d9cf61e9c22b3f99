package dnscache

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"time"

	"dmarcgate/dnscache/schedule"
	"dmarcgate/dnscache/wire"

	"github.com/miekg/dns"
)

// View is the resolver as one mechanism sees it. Make it with Resolver.View;
// it is a small value, to be copied.
//
// In all its methods "there is none" is an empty result without an error,
// for a text too that cannot be a name in the DNS. Every error is temporary:
// an *Error, a *StaleError, or ctx's own when ctx ended the wait. Beside a
// *StaleError there is the last answer that was known, past its TTL. Results are
// shared with the cache: they may be kept, and are not to be changed.
type View struct {
	r       *Resolver
	purpose Purpose
	parses  bool // in Parsed
	trace   func(Lookup)
	memory  *memory // set: the cache alone answers
	bill    schedule.Bill
}

// Charged returns a view whose lookups are charged to a message. A view that
// is not charged stands for one message of our own: its lookups are of class
// Author.
func (v View) Charged(a *schedule.Account, c schedule.Class) View {
	v.bill = schedule.Bill{Account: a, Class: c}
	if a == nil {
		v.bill = ownBill
	}
	return v
}

// ownBill is that of lookups that are charged to no message.
var ownBill = schedule.Bill{Class: schedule.Author}

// memory is what came of the lookups of a view that only remembers.
type memory struct {
	off    bool // it remembers nothing
	missed bool
	own    tally // of the view's purpose
	ptr    tally
}

// tally counts answers with records and without.
type tally struct{ hits, negative int }

func (t *tally) add(e *entry) {
	if e.Empty() {
		t.negative++
	} else {
		t.hits++
	}
}

// errUnknown is the failure of a lookup that the cache cannot answer.
var errUnknown = errors.New("dnscache: not in the cache")

// Remembered returns a view that answers from the cache alone, at once, for use
// by one goroutine, and a function that reports whether all that was queried of
// it since the last call was there, and fresh. Only then were the lookups
// counted: whoever missed something will ask again. A traced view remembers
// nothing, so that its trace shows every lookup.
func (v View) Remembered() (View, func() bool) {
	m := &memory{off: v.trace != nil}
	v.memory, v.trace = m, nil
	return v, func() bool {
		complete := !m.missed && !m.off
		if complete {
			v.r.metrics.CacheHits(v.purpose.String(), m.own.hits, m.own.negative)
			v.r.metrics.CacheHits(PTR.String(), m.ptr.hits, m.ptr.negative)
		}
		*m = memory{off: m.off}
		return complete
	}
}

// Lookup is one lookup and what came of it, for explanations.
type Lookup struct {
	Purpose    string // of the view
	Name, Type string
	Outcome    string        // hit, negative_hit, stale, failed, coalesced or miss; empty when Name cannot be a name and nothing was queried
	Records    []string      // addresses in their text form
	NXDomain   bool          // the name itself does not exist
	TTL        time.Duration // what is left of it; 0 when stale, and of an answer that is not kept
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
	return a.Records, err
}

// Parsed returns what parse makes of the TXT records of name, and keeps it as
// long as the cache keeps them. parse depends on nothing else, and nobody
// changes what it returned: it is shared. What another purpose made of the same
// records is not returned. Beside a *StaleError the value is that of the stale
// records; with every other error it is nil, and parse was not called.
func (v View) Parsed(ctx context.Context, name string, parse func(txts []string) any) (any, error) {
	v.parses = true
	e, err := v.lookup(ctx, name, dns.TypeTXT)
	if err != nil && !isStale(err) {
		return nil, err
	}
	value, filled := e.parsed(v.purpose, parse)
	if filled && !e.parses {
		v.r.weighAgain(name, e)
	}
	return value, err
}

// A returns the IPv4 addresses of name.
func (v View) A(ctx context.Context, name string) ([]netip.Addr, error) {
	a, err := v.lookup(ctx, name, dns.TypeA)
	return a.Addrs, err
}

// AAAA returns the IPv6 addresses of name.
func (v View) AAAA(ctx context.Context, name string) ([]netip.Addr, error) {
	a, err := v.lookup(ctx, name, dns.TypeAAAA)
	return a.Addrs, err
}

// MX returns the mail hosts of name, the preferred ones first, in lower case
// without the final dot. A null MX (RFC 7505) is the one host ".".
func (v View) MX(ctx context.Context, name string) ([]string, error) {
	a, err := v.lookup(ctx, name, dns.TypeMX)
	return a.Records, err
}

// SOA returns the first name server of the zone that begins at name, in lower
// case without the final dot, and the mailbox of who answers for it, as an
// address (RFC 1035, Section 3.3.13). Either is empty when there is none, when
// no zone begins at name, or when it cannot be one; the local part of the
// mailbox is raw bytes.
func (v View) SOA(ctx context.Context, name string) (server, mailbox string, err error) {
	a, err := v.lookup(ctx, name, dns.TypeSOA)
	if len(a.Records) < 2 {
		return "", "", err
	}
	return a.Records[0], a.Records[1], err
}

// PTR returns the names that ip claims, in lower case without the final dot.
// They are the claim of whoever holds the address; nothing is checked.
func (v View) PTR(ctx context.Context, ip netip.Addr) ([]string, error) {
	name, ok := wire.ReverseName(ip)
	if !ok {
		return nil, nil
	}
	a, err := v.lookup(ctx, name, dns.TypePTR)
	return a.Records, err
}

func isStale(err error) bool {
	_, ok := err.(*StaleError)
	return ok
}

// Exists reports whether name exists, with records of whatever type or none.
// It is false only when the servers say NXDOMAIN of the name itself to a
// question for TXT, which SPF has mostly queried already, and to one for A too:
// some servers deny a name when they do not know the type (RFC 4074, Section 4.2).
func (v View) Exists(ctx context.Context, name string) (bool, error) {
	if _, ok := wire.Clean(name); !ok {
		return false, nil
	}
	var old error
	for _, qtype := range [...]uint16{dns.TypeTXT, dns.TypeA} {
		a, err := v.lookup(ctx, name, qtype)
		if err != nil && !isStale(err) {
			return false, err
		}
		if !a.NXDomain {
			return true, err
		}
		old = cmp.Or(old, err)
	}
	return false, old
}

// lookup never returns nil.
func (v View) lookup(ctx context.Context, name string, qtype uint16) (*entry, error) {
	var (
		e       *entry
		outcome string
		err     error
	)
	if clean, ok := wire.Clean(name); ok {
		k := key{Type: qtype, Name: clean}
		if v.memory != nil {
			e, err = v.recall(k)
		} else {
			e, outcome, err = v.r.lookup(ctx, v.use(k), k)
		}
	}
	if e == nil {
		e = new(entry)
	}
	if v.trace != nil {
		v.trace(v.traced(e, name, qtype, outcome, err))
	}
	return e, err
}

func (v View) use(k key) use {
	if k.Type == dns.TypePTR {
		return use{purpose: PTR, bill: v.bill}
	}
	return use{v.purpose, v.parses, v.bill}
}

// recall is a lookup in the cache alone. It, too, is a use of the answer: most
// messages need nothing else.
func (v View) recall(k key) (*entry, error) {
	m := v.memory
	if m.missed || m.off {
		return nil, errUnknown
	}
	e, now := v.r.cached(k)
	if !e.fresh(now) {
		m.missed = true
		return nil, errUnknown
	}
	u := v.use(k)
	v.r.used(u, k, e, now)
	if u.purpose == v.purpose {
		m.own.add(e)
	} else {
		m.ptr.add(e)
	}
	return e, nil
}

func (v View) traced(e *entry, name string, qtype uint16, outcome string, err error) Lookup {
	l := Lookup{
		Purpose: v.purpose.String(),
		Name:    name, Type: dns.TypeToString[qtype], Outcome: outcome,
		Records: e.texts(), NXDomain: e.NXDomain, AD: e.AD, Err: err,
	}
	if e.known() {
		now := v.r.clock.NowNano()
		l.TTL, l.Age = e.left(now), e.age(now)
	}
	return l
}
