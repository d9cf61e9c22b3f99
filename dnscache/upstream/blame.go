package upstream

import (
	"slices"
	"time"

	"dmarcgate/dnscache/wire"
)

// recently is how old an answer may be to prove that the servers answer:
// longer than a lookup takes.
const recently = 10 * time.Second

// blame is whose fault a failed lookup is.
type blame uint8

const (
	domains  blame = iota // the domain's
	unproven              // it is not known whether the name servers answer anybody, or this host had to do without the lookup
	ours                  // the name servers answer nobody
)

// Ours reports whether our side is to blame, not the domain: every server has
// failed every check query for proofTime (30 s) with its window at one, and has
// answered nothing else. No failure of a lookup leads there, nor anything else
// that a sender can arrange. A SERVFAIL to a check query is a failure, one to a
// lookup proves nothing.
func (e *Error) Ours() bool { return e.blame == ours }

// Pressure reports whether the failure says nothing of the domain, and is not
// (yet) proven to be ours either: the lookup gave way because too much was
// queried at once, this host had no socket for it, the resolver is closed, or the
// servers fail or overflow just now.
func (e *Error) Pressure() bool { return e.blame == unproven }

// blame says whose fault a failed lookup is that began at a time.
func (pool *Pool) blame(kind wire.Kind, servers []*server, began time.Time) blame {
	switch kind {
	case wire.Pressure, wire.Local, wire.Closed:
		return unproven
	case wire.Timeout, wire.Network, wire.Refused, wire.ServFail, wire.Down:
	default:
		return domains
	}
	if pool.nobodyAnswers(servers) {
		return ours
	}
	switch {
	case kind == wire.Down, !slices.ContainsFunc(servers, (*server).answers):
		return unproven
	case kind != wire.ServFail && !pool.answeredSince(began.Add(-recently)):
		return unproven
	case slices.ContainsFunc(servers, (*server).strained):
		return unproven
	}
	return domains
}

// nobodyAnswers reports whether it is proven that our servers answer nobody.
func (pool *Pool) nobodyAnswers(servers []*server) bool {
	now := pool.now()
	return !slices.ContainsFunc(servers, func(s *server) bool { return !s.proven(now) })
}

func (pool *Pool) answeredSince(t time.Time) bool {
	last := pool.lastAnswer.Load()
	return last != 0 && last >= t.UnixNano()
}

// TimedOut is the failure of a lookup that began at a time and has brought
// nothing when its caller has waited long enough. cause may be nil.
func (pool *Pool) TimedOut(q wire.Question, began time.Time, cause error) *Error {
	e := newError(q, wire.Timeout, cause)
	e.blame = pool.blame(e.Kind, *pool.servers.Load(), began)
	return e
}

// Reviewed is a failure as it is to be seen now: one that may have been nobody's
// answer turns out to be ours when every server is found dead meanwhile.
func (pool *Pool) Reviewed(err error) error {
	e, ok := err.(*Error)
	if !ok || e.blame == ours || !absent(e.Kind) {
		return err
	}
	now := pool.blame(e.Kind, *pool.servers.Load(), pool.now())
	if now <= e.blame {
		return err
	}
	seen := *e
	seen.blame = now
	return &seen
}
