// Package upstream gets an answer to one question out of the recursive servers:
// it asks them in their order, asks again, passes over those that are down, checks
// these, and says whose fault a failure is.
//
// It remembers no answer. When a query may be sent is for package schedule to say,
// and how it is put for package wire.
//
// # Limits
//
// Queries in flight at each server: its window, at most Config.MaxInFlight, each
// over a new socket and with a random ID and case. Beside them go at most one
// check query to each server, and what Pool.Probe sends. Time:
// Config.QueryTimeout for one exchange, with a second query without EDNS and TCP
// where it needs them, Config.Timeout for a lookup with all its attempts.
//
// # Failures
//
// A server that is silent, refuses or fails is passed over for the next one;
// a silent one is queried once more when time is left. Only when a trusted server
// says that an answer is bogus, no other is queried. A datagram that does not
// answer our question is overlooked, as it may be forged. A truncated answer
// is queried for again over TCP, and its part is never used; so is a question to
// which three wrong replies came. Error.Ours tells a resolver that answers nobody
// from a domain that does not resolve, and Error.Pressure what tells of neither;
// see there for the rule. A bug that panics while an answer is read fails that
// lookup only.
//
// What a server does, and the Kind if no other server does better:
//
//	silence, or only what answers another question   Timeout
//	cannot be reached                                Network
//	truncates, and then fails over TCP               Network, Timeout or Malformed; not ours
//	a reply that cannot be read, a CNAME loop        Malformed (over UDP when the time is up)
//	FORMERR, NOTIMP or BADVERS without EDNS, too     ServFail
//	SERVFAIL with a DNSSEC reason (RFC 8914)         Bogus
//	SERVFAIL without, and every other code           ServFail
//	REFUSED, or a referral                           Refused
//
// And without a server: Pressure (no place in time), Local (this host has
// no socket left to give), Down (below) and Closed.
//
// # Dead servers
//
// Mail chooses the names that are looked up, so their timeouts condemn no
// server. A server that was silent, or not to be understood, and has answered
// nothing else meanwhile, or that refused or failed, gets one check query for the
// name servers of the root. Any reply shows that it is alive. Without one it is
// down: passed over as long as another is up, and checked again after 0.5 s and
// then each time after twice as long, at most 5 s, until it answers anything. With
// all of them down lookups fail at once and send nothing, so that a server that
// comes back meets no herd. Pool.Servers tells all this.
package upstream
