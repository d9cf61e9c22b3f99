package dnscache

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxRounds is how often a silent server is asked, as "attempts" of
	// resolv.conf(5): one lost datagram should not fail a lookup.
	maxRounds = 2

	// recently is how old an answer may be to prove that the servers answer:
	// longer than a lookup takes.
	recently = 10 * time.Second
)

// resolve asks the servers in their order until one answers.
func (r *Resolver) resolve(ctx context.Context, p Purpose, k key) (*answer, error) {
	began := r.now()
	var failure *Error
	servers := r.servers
	for range maxRounds {
		var silent []netip.AddrPort
		for _, server := range servers {
			a, err := r.try(ctx, p, server, k)
			if err == nil {
				return a, nil
			}
			if failure = worse(failure, err); ctx.Err() != nil {
				return nil, r.gaveUp(ctx, failure, began)
			}
			if err.Kind.retryable() {
				silent = append(silent, server)
			}
		}
		servers = silent
	}
	return nil, r.gaveUp(ctx, failure, began)
}

// worse keeps the failure that tells most: one from a server that is alive,
// or else the last.
func worse(old, new *Error) *Error {
	if old != nil && !old.Kind.silent() {
		return old
	}
	return new
}

// gaveUp completes the failure of a lookup: the context's own error when the
// caller withdrew, or else whose fault it was.
func (r *Resolver) gaveUp(ctx context.Context, failure *Error, began time.Time) error {
	if r.ctx.Err() != nil {
		failure.Kind, failure.ours = Closed, true
		return failure
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	failure.ours = failure.Kind.silent() && !r.answeredSince(began.Add(-recently))
	return failure
}

func (r *Resolver) answeredSince(t time.Time) bool {
	last := r.lastAnswer.Load()
	return last != 0 && last >= t.UnixNano()
}

// try asks one server, when there is a free slot, and counts what came of it.
func (r *Resolver) try(ctx context.Context, p Purpose, server netip.AddrPort, k key) (*answer, *Error) {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, k.failed(Overload, ctx.Err())
	}
	defer func() { <-r.slots }()
	r.metrics.QueryInFlight(1)
	defer r.metrics.QueryInFlight(-1)

	began := r.now()
	rep, kind, err := r.exchange(ctx, server, k)
	r.metrics.Query(p.String(), rep.word(kind), r.now().Sub(began))
	if kind != 0 {
		e := k.failed(kind, err)
		e.Server = server.String()
		return nil, e
	}
	r.lastAnswer.Store(r.now().UnixNano())
	return r.dated(rep), nil
}

// dated makes the answer of a reply, its TTL under our ceilings.
func (r *Resolver) dated(rep reply) *answer {
	a := rep.answer
	ceiling := r.cfg.MaxTTL
	if a.empty() {
		ceiling = r.cfg.MaxNegativeTTL
	}
	a.ttl = min(a.ttl, ceiling)
	return &a
}

// exchange asks one server once, as far as the caller can tell: without EDNS
// when the server does not know it (RFC 6891, Section 7), and over TCP when the
// answer does not fit into a datagram (RFC 7766, Section 5). The kind is 0
// when the server answered.
func (r *Resolver) exchange(ctx context.Context, server netip.AddrPort, k key) (reply, Kind, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.QueryTimeout)
	defer cancel()
	edns := true
	rep, err := send(ctx, "udp", server, k, edns)
	if err == nil && rep.rcode == dns.RcodeFormatError {
		edns = false
		rep, err = send(ctx, "udp", server, k, edns)
	}
	if err == nil && rep.truncated {
		rep, err = send(ctx, "tcp", server, k, edns)
	}
	if err != nil {
		return reply{}, kindOf(ctx, err), err
	}
	return rep, rep.failure(), nil
}

func kindOf(ctx context.Context, err error) Kind {
	switch {
	case errors.Is(err, errMalformed):
		return Malformed
	case ctx.Err() != nil:
		return Timeout
	}
	return Network
}
