package upstream

import (
	"context"
	"errors"
	"time"

	"dmarcgate/dnscache/wire"
)

const (
	// caseTime is for how long names are sent in lower case to a server that
	// does not repeat the case of their letters. Then it is tried again.
	caseTime = time.Hour

	// maxRecased is how many replies in a row may come in another case while
	// the server cannot be queried over TCP, where this cannot be forged, before
	// it is taken to be such a server.
	maxRecased = 3
)

// exchange asks one server once, as far as the caller can tell. The kind is 0
// when the server answered.
func (pool *Pool) exchange(ctx context.Context, s *server, k wire.Question) (wire.Reply, wire.Kind, error) {
	ctx, cancel := context.WithTimeout(ctx, pool.cfg.QueryTimeout)
	defer cancel()
	rep, err := wire.Chase(k, func(q wire.Question) (wire.Reply, error) { return pool.question(ctx, s, q) })
	if err != nil {
		return wire.Reply{}, wire.KindOf(ctx, err), err
	}
	return rep, rep.Failure(), nil
}

// question asks one question: without EDNS when the server does not know it, and
// over TCP when the answer does not fit into a datagram (RFC 7766, Section 5),
// or when datagrams come that may be forged.
func (pool *Pool) question(ctx context.Context, s *server, k wire.Question) (wire.Reply, error) {
	q := wire.Query{Question: k, EDNS: true, Mix: s.mixes(pool.now()), AD: s.trusted}
	rep, err := pool.send(ctx, "udp", s, q)
	if err == nil && rep.WithoutEDNS() {
		q.EDNS = false
		rep, err = pool.send(ctx, "udp", s, q)
	}
	recased := errors.Is(err, wire.ErrRecased)
	if recased || errors.Is(err, wire.ErrSpoofed) || err == nil && rep.Truncated {
		rep, err = pool.send(ctx, "tcp", s, q)
		s.noteCase(recased, err == nil, rep.Recased, pool.now())
	}
	return rep, err
}

// send notes what a reply proves, be it only half an answer: that the server
// is alive, and that the servers answer somebody.
func (pool *Pool) send(ctx context.Context, network string, s *server, q wire.Query) (wire.Reply, error) {
	began := pool.now()
	rep, err := wire.Send(ctx, network, s.addr, q, pool.metrics.DNSWrongReply)
	if err != nil {
		return wire.Reply{}, err
	}
	now := pool.now()
	useful := rep.Failure() == 0
	if useful {
		pool.lastAnswer.Store(now.UnixNano())
	}
	if s.replied(now.Sub(began), useful) {
		s.sched.Forgive() // the queries given up died with it
	}
	return rep, nil
}
