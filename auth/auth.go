// Package auth runs every mechanism for one message at once.
//
// Start begins the DNS lookups at the end of the header: SPF for MAIL FROM
// and HELO, the DKIM keys, and for each author domain the search for its
// DMARC record. Write feeds the body, Finish waits, looks up what only a message
// that does not pass needs (the keys of ARC, whether the author domain sends
// mail at all) and returns one Results. Conclusions are not drawn here:
// auth/dmarc evaluates, policy decides.
//
// # Classes
//
// The sender chooses most of the names that are looked up for a message.
// Checker.Charge therefore returns DNS for a message in two classes, and under
// pressure lookups that cannot change the verdict give way first. OfAuthor is for
// the search for the record and for names that may align with an author domain
// (dmarc.Related); OfOther is for all other names. The error of a lookup says
// that it gave way. The verdict then becomes temperror only if the lookup could
// have changed it.
//
// # Stale answers
//
// DNS may return a stale answer together with the error that no newer answer can
// be had. With a stale answer a mechanism may pass, but never fails: anything but
// a pass becomes a temporary failure. A stale DMARC record is applied; a stale
// negative answer means "no record".
//
// # Limits
//
// Checker.Budget bounds the time from Start; what is not done by then ends as
// a temporary failure. All author domains of a Query are looked up. At once are
// looked up: for SPF one name for each of MAIL FROM and HELO, of DKIM and ARC the
// keys that auth/dkim and auth/arc allow, and of each author domain the names of
// one walk (dmarc.MaxWalk). How many lookups a message may have, in all and at
// once, is for the DNS to bound (Checker.Charge).
package auth

import (
	"context"
	"fmt"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"dmarcgate/auth/arc"
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

	BodyLength dkim.BodyLength // what DKIM signatures with l= are worth
	MaxKeyBits int             // of the RSA keys that are used; 0 is 4096

	// Other finds records by another method, to compare the two. No message
	// waits for it. May be nil.
	Other *dmarc.Finder

	// AllChains has the ARC chain of every message validated, not only of those
	// that do not pass.
	AllChains bool

	// Charge returns the same DNS for one message from a client, by class. May be
	// nil. It is called when there is something to ask that Memory has not.
	Charge func(client netip.Addr) func(Class) CacheOnly

	// Memory returns the same DNS as far as it is known without asking. May be
	// nil.
	CacheOnly func() CacheOnly
}

// Query is what the envelope says.
type Query struct {
	Client   netip.Addr // zero: no SPF
	Helo     string
	MailFrom string   // reverse path without angle brackets, empty when null
	Authors  []string // author domains, lower-case A-labels

	// Dropped tells which names, in lower case, the fields have that are missing
	// from the end of the header. nil stands for a header that is whole; with it
	// no ARC chain is looked for, since what is missing could belong to it.
	Dropped func(name string) bool
}

// Results is what the mechanisms found.
type Results struct {
	SPF     spf.Result // MAIL FROM; for the null path the identity postmaster@HELO
	HELO    spf.Result // recorded apart, never an identifier of DMARC
	DKIM    []dkim.Result
	ARC     Chain
	Authors []Author // one for each of Query.Authors
}

// Author is an author domain with its record and with everything that could
// be aligned with it.
type Author struct {
	Discovery   dmarc.Discovery
	Identifiers []dmarc.Identifier
	SendsMail   SendsMail
	Other       *Other // by Checker.Other; nil without it, and when it was not ready in time
}

// Other is what another method of discovery says of an author domain.
type Other struct {
	Discovery   dmarc.Discovery
	Identifiers []dmarc.Identifier
}

// Stale reports whether a stale answer was used for anything, because no newer
// one could be had.
func (r Results) Stale() bool {
	return r.SPF.Stale || r.HELO.Stale || r.ARC.Stale ||
		slices.ContainsFunc(r.DKIM, func(s dkim.Result) bool { return s.Stale }) ||
		slices.ContainsFunc(r.Authors, Author.stale)
}

func (a Author) stale() bool {
	return a.Discovery.Stale || slices.ContainsFunc(a.Identifiers, func(id dmarc.Identifier) bool { return id.Stale })
}

// Run is the check of one message.
type Run struct {
	checker *Checker
	ctx     context.Context
	cancel  context.CancelFunc
	cached  CacheOnly // of the goroutine that calls Start and Finish
	query   Query
	finder  *dmarc.Finder
	dkim    *dkim.Run
	arc     *arc.Run
	wg      sync.WaitGroup
	results Results
	orgs    [][]dmarc.Identifier // by author: what could be aligned with it
	others  []*aside             // by author: what Checker.Other says
	keys    keys                 // of DKIM, by class

	charge  sync.Once
	charged func(Class) CacheOnly // since charge
	asides  sync.WaitGroup
	panics  chan any
}

// Start begins the checks. Cancelling ctx ends them; otherwise Finish must be
// called.
func (c *Checker) Start(ctx context.Context, q Query, h message.Header) *Run {
	ctx, cancel := context.WithTimeout(ctx, c.Budget)
	r := &Run{checker: c, ctx: ctx, cancel: cancel, query: q, panics: make(chan any, 1)}
	if c.CacheOnly != nil {
		r.cached = c.CacheOnly()
	}
	cached := r.cached
	r.keys.of(r)
	r.dkim = dkim.Start(ctx, &r.keys.author, h, dkim.Options{
		Authors: q.Authors, BodyLength: c.BodyLength, MaxKeyBits: c.MaxKeyBits, CacheOnly: cached.keys(), Dropped: q.Dropped,
		MayAlign: r.mayAlign, Unrelated: &r.keys.other,
	})
	r.arc = arc.Start(r.dkim)
	r.results.Authors = make([]Author, len(q.Authors))
	r.orgs = make([][]dmarc.Identifier, len(q.Authors))
	r.do(cached, r.senderClass(), r.checkSPF)
	if q.MailFrom != "" {
		r.do(cached, OfOther, r.checkHELO)
	}
	r.finder = forMessage(c.Finder)
	for i := range q.Authors {
		r.discover(cached, i)
		if c.Other != nil {
			r.others = append(r.others, r.discoverAside(cached, q.Authors[i]))
		}
	}
	return r
}

// do runs a check with the DNS that is known, which for most mail is all that
// it needs and costs no goroutine. When something was missing, the check runs
// once more beside the message, and waits for its answers.
func (r *Run) do(cached CacheOnly, c Class, check func(CacheOnly)) {
	if !r.try(cached, check) {
		r.spawn(func() { check(r.asking(c)) })
	}
}

func (r *Run) try(cached CacheOnly, check func(CacheOnly)) bool {
	if cached.Complete == nil {
		return false
	}
	check(cached)
	return cached.Complete()
}

// spawn runs f beside the message. A panic is kept and raised again by
// Finish, where the session turns it into a temporary answer; in a goroutine
// of its own it would end the daemon.
func (r *Run) spawn(f func()) { r.spawnIn(&r.wg, f) }

func (r *Run) spawnIn(wg *sync.WaitGroup, f func()) {
	wg.Go(func() {
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
func (r *Run) checkSPF(dns CacheOnly) {
	if r.query.MailFrom == "" {
		r.checkHELO(dns)
		r.results.SPF = r.results.HELO
		return
	}
	domain, _ := message.AddressDomain(r.query.MailFrom)
	r.results.SPF = spf.Check(r.ctx, dns.SPF, spf.Query{
		IP: r.query.Client, Domain: domain, Local: localPart(r.query.MailFrom), Helo: r.query.Helo,
	})
}

func (r *Run) checkHELO(dns CacheOnly) {
	domain := heloDomain(r.query.Helo)
	r.results.HELO = spf.Check(r.ctx, dns.SPF, spf.Query{IP: r.query.Client, Identity: spf.Helo, Domain: domain, Local: "postmaster", Helo: r.query.Helo})
}

// heloDomain returns the HELO name when it is a domain of two labels or more;
// address literals and bare host names cannot be checked (RFC 7208, Section
// 2.3). The macro %{h} is another thing: the name as the client gave it
// (Section 7.2).
func heloDomain(helo string) string {
	d, err := message.ParseDomain(helo)
	if err != nil {
		return ""
	}
	return d
}

// discover finds the record of one author domain, then the organizational
// domains of what could be aligned with it.
func (r *Run) discover(cached CacheOnly, i int) {
	find := func(dns CacheOnly) {
		r.results.Authors[i].Discovery = with(r.finder, dns).Find(r.ctx, r.query.Authors[i])
	}
	if r.try(cached, find) {
		r.identify(cached, i)
		return
	}
	r.spawn(func() {
		find(r.asking(OfAuthor))
		r.identify(CacheOnly{}, i) // known belongs to another goroutine
	})
}

// identify needs the author's record; which identifiers pass is not known yet
// and does not matter.
func (r *Run) identify(cached CacheOnly, i int) {
	d := r.results.Authors[i].Discovery
	candidates := r.candidates()
	r.orgs[i] = make([]dmarc.Identifier, len(candidates))
	for n, id := range candidates {
		r.do(cached, OfAuthor, func(dns CacheOnly) { r.orgs[i][n] = with(r.finder, dns).Identify(r.ctx, id, d) })
	}
}

// forMessage is a finder for one message: it asks each name once, and has one
// suffix list to the end.
func forMessage(finder *dmarc.Finder) *dmarc.Finder {
	f := *finder
	f.Walks = &dmarc.Walks{}
	if file, ok := f.Suffixes.(*dmarc.SuffixFile); ok {
		f.Suffixes = file.Current()
	}
	return &f
}

// with is a finder with other DNS.
func with(finder *dmarc.Finder, dns CacheOnly) *dmarc.Finder {
	f := *finder
	f.Resolver, f.Immediate = dns.DMARC, dns.Complete != nil
	return &f
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
	defer r.asides.Wait()
	defer r.cancel()
	r.results.DKIM = r.dkim.Finish()
	r.wg.Wait()
	r.raise()
	for i := range r.results.Authors {
		r.results.Authors[i].Identifiers = r.identifiers(r.orgs[i])
	}
	r.followUp()
	r.raise()
	r.takeAsides()
	for i := range r.results.Authors {
		if len(r.others) > 0 && r.others[i].ready {
			o := r.others[i]
			r.results.Authors[i].Other = &Other{Discovery: o.discovery, Identifiers: r.identifiers(o.orgs)}
		}
	}
	return r.results
}

// raise raises the panic of a goroutine of this message, if there was one.
func (r *Run) raise() {
	select {
	case p := <-r.panics:
		panic(p)
	default:
	}
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
