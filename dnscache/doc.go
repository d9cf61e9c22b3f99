// Package dnscache answers the DNS queries of mail authentication: a stub resolver
// with a cache that honours the TTL. No room but this one and those below it sends
// DNS queries: upstream gets an answer from the servers, schedule says when a query
// may be sent, and wire sends it and reads the reply.
//
// It asks recursive servers, in the order of the configuration, and believes
// them: it validates nothing (DNSSEC) and does not chase delegations. It is
// not for zone transfers, search lists or /etc/hosts. Names are taken as plain
// dotted bytes, not as zone file text, and may be hostile: what cannot be a
// name in the DNS is answered "nothing there" and is never queried.
//
//	r, err := dnscache.New(dnscache.Config{Servers: []string{"127.0.0.1:53"}}, nil)
//	defer r.Close()
//	txts, err := r.View(dnscache.DMARC).TXT(ctx, "_dmarc.example.com")
//
// # Limits
//
// Queries in flight at each server: at most Config.MaxInFlight, and fewer while
// it cannot take as many (package schedule); a lookup that finds no place waits
// for one. Time: Config.QueryTimeout for one exchange, Config.Timeout for a
// lookup with all its attempts (package upstream), and each caller's own context.
// From one answer: the records and CNAMEs that package wire takes. The cache:
// Config.MaxBytes of heap, estimated; a sixth of it is taken from the start.
// What is queried for once, as by somebody who makes up names, does not drive
// out what is queried for often.
// Equal questions at one time are one lookup, which belongs to the resolver:
// a caller who gives up neither ends it nor fails the others.
//
// # The cache
//
// Records are kept for their TTL, between Config.MinTTL and MaxTTL; "there is
// none" by the SOA (RFC 2308), up to MaxNegativeTTL. With TTL 0 an answer serves
// those who wait for it and nobody else. An answer that is used in the last
// tenth of a TTL of at least 10 s is queried for again in the background, by at
// most a quarter of MaxInFlight queries; so a name in use does not expire, and a
// change is seen no later than after the TTL.
//
// A lookup that failed is remembered for Config.FailureTTL (RFC 9520): who asks
// for the same meanwhile gets the same error at once. Not remembered is what
// does not depend on the name: too many queries, a bug, servers that are down,
// that refuse or overflow just now.
//
// After its TTL an answer is kept for Config.StaleTTL, a negative answer for
// StaleNegTTL. While no newer answer can be had, because the lookup failed or took
// longer than StaleAfter, this stale answer is returned together with a
// *StaleError (RFC 8767). It may be out of date. The caller decides what it may
// be used for; a caller that ignores stale answers has an error.
//
// # Failures
//
// "There is none" (NXDOMAIN, or no record of the type) is an answer, not an
// error. Every error is temporary and is either an *Error or the error of the
// caller's context; what it means for a message is not decided here.
// Package upstream says what each Kind means, which servers are queried and queried
// again, when one is down, and whose fault a failure is: Error.Ours tells a
// resolver that answers nobody from a domain that does not resolve, and
// Error.Pressure what tells of neither.
//
// # Windows and shares
//
// Package schedule says when a lookup may send a query, and to which server: by
// the window of the server and, under pressure, by the shares of the message, the
// client and the zone that the lookup is charged to (View.Charged).
package dnscache
