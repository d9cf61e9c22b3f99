// Package dnscache is the only room that speaks DNS: a stub resolver with a
// TTL-aware cache, which answers the few questions of mail authentication.
//
// It asks recursive servers, in the order of the configuration, and believes
// them: it validates nothing (DNSSEC) and does not chase delegations. It is
// not for zone transfers, search lists or /etc/hosts. Names are taken as plain
// dotted bytes, not as zone file text, and may be hostile: what cannot be a
// name in the DNS is answered "nothing there" and is never asked.
//
//	r, err := dnscache.New(dnscache.Config{Servers: []string{"127.0.0.1:53"}}, nil)
//	defer r.Close()
//	txts, err := r.View(dnscache.DMARC).TXT(ctx, "_dmarc.example.com")
//
// # Limits
//
// Queries to servers: Config.MaxInFlight at once, each over a new socket and
// with a random ID. Time: Config.QueryTimeout for one exchange,
// Config.Timeout for a lookup with all its attempts, and each caller's own
// context. From one answer: maxRecords records and maxAliases CNAMEs of a
// message of at most 64 KiB. The cache: Config.MaxBytes, estimated.
// Equal questions at one time are one lookup, which belongs to the resolver:
// a caller who gives up neither ends it nor fails the others.
//
// # Failures
//
// "There is none" (NXDOMAIN, or no record of the type) is an answer, not an
// error. Every error is temporary and is either an *Error or the error of the
// caller's context; what it means for a message is not decided here.
// A server that is silent, refuses or fails is passed over for the next one;
// a silent one is asked once more when time is left. A datagram that does not
// answer our question is overlooked, as it may be forged. A truncated answer
// is asked for again over TCP, and its part is never used. No failure is
// cached. Error.Ours tells a resolver that answers nobody from a domain that
// does not resolve; see there for the rule. A bug that panics while an answer
// is read fails that lookup only.
package dnscache
