// Package auth runs every mechanism for one message at once.
//
// Start begins all DNS lookups at the end of the header: SPF for MAIL FROM
// and HELO, the DKIM keys, and for each author domain the search for its
// DMARC record. Write feeds the body, Finish waits and returns one Results.
// Conclusions are not drawn here: auth/dmarc evaluates, policy decides.
//
// # Limits
//
// Checker.Budget bounds the time from Start; what is not done by then ends as
// a temporary failure. MaxAuthors author domains are looked up.
package auth

import (
	"context"
	"fmt"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"dmarcgate/auth/dkim"
	"dmarcgate/auth/dmarc"
	"dmarcgate/auth/spf"
	"dmarcgate/message"
)

// Checker holds what the mechanisms need. It may be used by many messages at
// once.
type Checker struct {
	SPF    spf.Resolver
	DKIM   dkim.Resolver
	Finder *dmarc.Finder
	Budget time.Duration // from end of header to Finish
}

// Query is what the envelope says.
type Query struct {
	Client   netip.Addr // zero: no SPF
	Helo     string
	MailFrom string   // reverse path without angle brackets, empty when null
	Authors  []string // author domains, lower-case A-labels
}

// Results is what the mechanisms found.
type Results struct {
	SPF     spf.Result // MAIL FROM; for the null path the identity postmaster@HELO
	HELO    spf.Result // recorded apart, never an identifier of DMARC
	DKIM    []dkim.Result
	Authors []Author // one for each of Query.Authors
}

// Author is an author domain with its record and with everything that could
// be aligned with it.
type Author struct {
	Discovery   dmarc.Discovery
	Identifiers []dmarc.Identifier
}

// Run is the check of one message.
type Run struct {
	cancel  context.CancelFunc
	query   Query
	dkim    *dkim.Run
	wg      sync.WaitGroup
	results Results
	orgs    [][]dmarc.Identifier // by author: what could be aligned with it
	panics  chan any
}

// Start begins the checks. Cancelling ctx ends them; otherwise Finish must be
// called.
func (c *Checker) Start(ctx context.Context, q Query, h message.Header) *Run {
	ctx, cancel := context.WithTimeout(ctx, c.Budget)
	r := &Run{cancel: cancel, query: q, dkim: dkim.Start(ctx, c.DKIM, h, dkim.Options{Authors: q.Authors}), panics: make(chan any, 1)}
	r.results.Authors = make([]Author, len(q.Authors))
	r.orgs = make([][]dmarc.Identifier, len(q.Authors))
	r.spawn(func() { r.checkSPF(ctx, c.SPF) })
	if q.MailFrom != "" {
		r.spawn(func() { r.results.HELO = checkHelo(ctx, c.SPF, q) })
	}
	for i, author := range q.Authors {
		r.spawn(func() { r.discover(ctx, c.Finder, i, author) })
	}
	return r
}

// spawn runs f beside the message. A panic is kept and raised again by
// Finish, where the session turns it into a temporary answer; in a goroutine
// of its own it would end the daemon.
func (r *Run) spawn(f func()) {
	r.wg.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				select {
				case r.panics <- fmt.Sprintf("%v\n%s", p, debug.Stack()):
				default:
				}
			}
		}()
		f()
	})
}

// checkSPF checks MAIL FROM. For the null path that is the HELO identity
// (RFC 7208, Section 2.4), and both results are one.
func (r *Run) checkSPF(ctx context.Context, dns spf.Resolver) {
	if r.query.MailFrom == "" {
		r.results.SPF = checkHelo(ctx, dns, r.query)
		r.results.HELO = r.results.SPF
		return
	}
	domain, _ := message.AddressDomain(r.query.MailFrom)
	r.results.SPF = spf.Check(ctx, dns, spf.Query{
		IP: r.query.Client, Domain: domain, Local: localPart(r.query.MailFrom), Helo: heloDomain(r.query.Helo),
	})
}

func checkHelo(ctx context.Context, dns spf.Resolver, q Query) spf.Result {
	domain := heloDomain(q.Helo)
	return spf.Check(ctx, dns, spf.Query{IP: q.Client, Domain: domain, Local: "postmaster", Helo: domain})
}

// heloDomain returns the HELO name when it is a domain of two labels or more;
// address literals and bare host names cannot be checked (RFC 7208, Section
// 2.3).
func heloDomain(helo string) string {
	d, err := message.ParseDomain(helo)
	if err != nil {
		return ""
	}
	return d
}

// discover finds the record of one author domain, then the organizational
// domains of what could be aligned with it. The second part needs the first;
// which identifiers pass is not known yet and does not matter.
func (r *Run) discover(ctx context.Context, f *dmarc.Finder, i int, author string) {
	d := f.Find(ctx, author)
	r.results.Authors[i].Discovery = d
	candidates := r.candidates()
	orgs := make([]dmarc.Identifier, len(candidates))
	for n, id := range candidates {
		r.spawn(func() { orgs[n] = f.Identify(ctx, id, d) })
	}
	r.orgs[i] = orgs
}

// candidates are the identifiers that the mechanisms may come to confirm,
// each once. They are looked up as if they had passed: waiting for the body
// would put a second round of DNS behind it.
func (r *Run) candidates() []dmarc.Identifier {
	var out []dmarc.Identifier
	add := func(m dmarc.Mechanism, domain string) {
		if domain != "" && find(out, m, domain).Domain == "" {
			out = append(out, dmarc.Identifier{Mechanism: m, Domain: domain, Passed: true})
		}
	}
	if r.query.MailFrom == "" {
		add(dmarc.SPF, heloDomain(r.query.Helo))
	} else {
		domain, _ := message.AddressDomain(r.query.MailFrom)
		add(dmarc.SPF, domain)
	}
	for _, d := range r.dkim.Domains() {
		add(dmarc.DKIM, d)
	}
	return out
}

// find returns the identifier of a mechanism and a domain; the zero one, which
// aligns with nothing, when there is none.
func find(ids []dmarc.Identifier, m dmarc.Mechanism, domain string) dmarc.Identifier {
	for _, id := range ids {
		if id.Mechanism == m && id.Domain == domain {
			return id
		}
	}
	return dmarc.Identifier{}
}

// Wanted reports whether the body is needed.
func (r *Run) Wanted() bool { return r.dkim.Wanted() }

// Write takes the next part of the body. It never fails.
func (r *Run) Write(p []byte) (int, error) { return r.dkim.Write(p) }

// Finish waits for everything that Start began and returns what was found.
func (r *Run) Finish() Results {
	defer r.cancel()
	r.results.DKIM = r.dkim.Finish()
	r.wg.Wait()
	select {
	case p := <-r.panics:
		panic(p)
	default:
	}
	for i := range r.results.Authors {
		r.results.Authors[i].Identifiers = r.identifiers(r.orgs[i])
	}
	return r.results
}

// identifiers joins what was confirmed with the organizational domains.
func (r *Run) identifiers(orgs []dmarc.Identifier) []dmarc.Identifier {
	id := find(orgs, dmarc.SPF, r.results.SPF.Domain)
	id.Passed, id.Err = r.results.SPF.Status == spf.Pass, r.results.SPF.Err
	out := []dmarc.Identifier{id}
	for _, sig := range r.results.DKIM {
		id := find(orgs, dmarc.DKIM, sig.Domain)
		id.Passed, id.Err, id.Selector = sig.Status == dkim.Pass, sig.Err, sig.Selector
		out = append(out, id)
	}
	return out
}

// localPart returns what stands before the last "@" of an address.
func localPart(addr string) string {
	if i := strings.LastIndexByte(addr, '@'); i > 0 {
		return addr[:i]
	}
	return "postmaster" // RFC 7208, Section 4.3
}
