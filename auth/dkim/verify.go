package dkim

import (
	"bytes"
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"dmarcgate/message"
)

// Options say more about a message than its header, and what the site accepts.
// The zero value is usable.
type Options struct {
	Authors    []string         // author domains, lower-case A-labels: signatures near them are verified first
	Now        func() time.Time // nil is time.Now
	BodyLength BodyLength       // what a signature with l= is worth
	MaxKeyBits int              // of RSA keys that are used, 0 is 4096; the most is 8192 (RFC 8301, Section 3.2)

	// Dropped tells which names, in lower case, the fields have that are missing
	// from the end of the header. A signature of one of them is not verified:
	// signed fields are counted from the end (RFC 6376, Section 5.4.2). nil
	// stands for a header that is whole.
	Dropped func(name string) bool

	// Known answers at once or not at all: its errors say that it does not
	// know, and the other Resolver is queried. It is used by the goroutine that
	// calls Start. May be nil.
	CacheOnly Resolver

	// MayAlign reports whether a signing domain could be aligned with one of
	// Authors, as far as names tell. Keys of those that may are fetched first;
	// those of all others, and of Links, are fetched from ThirdParties. Each may
	// be nil: then all may, and there is one Resolver.
	MayAlign  func(domain string) bool
	Unrelated Resolver
}

// BodyLength says what becomes of signatures with l=, which leave to others
// what they append to the body (RFC 6376, Section 8.2).
type BodyLength uint8

const (
	Refuse      BodyLength = iota // they are policy, whatever else can be said of them
	AcceptWhole                   // they are as others when l= covers the whole body, and policy else
)

// keyBits returns the size of the largest key that is used.
func (o Options) keyBits() int {
	if o.MaxKeyBits == 0 {
		return usualRSA
	}
	return min(o.MaxKeyBits, maxRSA)
}

func (o Options) now() time.Time {
	if o.Now == nil {
		return time.Now()
	}
	return o.Now()
}

// Run is the verification of one message. Its methods, and those of its
// Links, are called by one goroutine.
type Run struct {
	dns        Resolver
	opt        Options
	fields     message.Header
	signatures []*signature // those that are reported, in the order of their fields
	header     *header      // nil while nothing needs it
	keys       map[string]*key
	limits     map[bool][]int64       // by "relaxed": where the sums of the body are wanted
	bodies     map[bool]canonicalizer // the same, since the first part of the body
	digests    map[bool]*digest       // the same, since the last
}

// Start begins the verification: the key lookups start now, maxFetched of them
// at once, and end with ctx.
func Start(ctx context.Context, r Resolver, h message.Header, opt Options) *Run {
	run := &Run{dns: r, opt: opt, fields: h, keys: make(map[string]*key), limits: make(map[bool][]int64)}
	all := readAll(h, opt.now(), opt.Authors)
	for _, s := range all {
		s.refuseDropped(opt.Dropped)
	}
	run.signatures = choose(all)
	var unknown []*key
	for _, s := range run.signatures {
		if s.refused.status == None {
			if k := run.prepare(ctx, s); k != nil {
				unknown = append(unknown, k)
			}
			run.want(s.body)
		}
	}
	run.fetchAll(ctx, unknown)
	return run
}

// refuseDropped refuses a signature of fields that are not known. That is
// neutral: it could not be processed (RFC 8601, Section 2.7.1).
func (s *signature) refuseDropped(dropped func(name string) bool) {
	if s.refused.status == None && dropped != nil && slices.ContainsFunc(s.names, dropped) {
		s.refused = finding{Neutral, "signed fields are beyond the limits of the header"}
	}
}

// Whole reports whether no fields are missing from the header.
func (r *Run) Whole() bool { return r.opt.Dropped == nil }

// prepare gives a signature its key, which is one for each name, and prepares
// the header, which is hashed for it. It returns a key that is to be fetched.
func (r *Run) prepare(ctx context.Context, s *signature) *key {
	if r.header == nil {
		r.header = newHeader(r.fields)
	}
	if s.key = r.keys[s.keyName]; s.key != nil {
		return nil
	}
	if r.opt.CacheOnly != nil {
		if found, err := lookUp(ctx, r.opt.CacheOnly, s.keyName); err == nil {
			s.key = &key{done: over, found: found}
			r.keys[s.keyName] = s.key
			return nil
		}
	}
	s.key = &key{name: s.keyName, near: s.near, done: make(chan struct{})}
	s.key.dns, s.key.unrelated = r.resolver(s.result.Domain)
	r.keys[s.keyName] = s.key
	return s.key
}

// resolver returns who is queried for a key of a domain.
func (r *Run) resolver(domain string) (_ Resolver, unrelated bool) {
	if r.opt.MayAlign == nil || r.opt.MayAlign(domain) {
		return r.dns, false
	}
	return r.unrelated(), true
}

func (r *Run) unrelated() Resolver {
	if r.opt.Unrelated == nil {
		return r.dns
	}
	return r.opt.Unrelated
}

// want has the body hashed up to a place. It is false when the body has begun.
func (r *Run) want(p place) bool {
	if r.bodies != nil {
		return false
	}
	r.limits[p.relaxed] = append(r.limits[p.relaxed], p.limit)
	return true
}

// begin makes the canonicalizers, one of each kind that is wanted.
func (r *Run) begin() {
	if r.bodies != nil {
		return
	}
	r.bodies = make(map[bool]canonicalizer, len(r.limits))
	for relax, at := range r.limits {
		r.bodies[relax] = newCanonicalizer(relax, at)
	}
}

// end closes them.
func (r *Run) end() {
	if r.digests != nil {
		return
	}
	r.begin()
	r.digests = make(map[bool]*digest, len(r.bodies))
	for relax, b := range r.bodies {
		r.digests[relax] = b.close()
	}
	clear(r.bodies)
}

func newCanonicalizer(relax bool, limits []int64) canonicalizer {
	if relax {
		return &relaxed{lines: simple{out: newDigest(limits)}}
	}
	return &simple{out: newDigest(limits)}
}

const signatureName = "dkim-signature"

// readAll reads every signature of a header: the one that counts may stand
// below any number of others.
func readAll(h message.Header, now time.Time, authors []string) []*signature {
	var out []*signature
	for i, f := range h {
		if len(f.Name) == len(signatureName) && lower(f.Name) == signatureName {
			s := read(f, i, now)
			s.near = near(s.result.Domain, authors)
			out = append(out, s)
		}
	}
	return out
}

// choose refuses signatures beyond MaxSignatures and leaves out those beyond
// MaxResults. Whoever puts many on top of a message must not hide those that
// could be aligned with its author, so these come first (RFC 6376, Section
// 6.1, gives the order no meaning).
func choose(all []*signature) []*signature {
	byRank := slices.Clone(all)
	slices.SortStableFunc(byRank, func(a, b *signature) int {
		return cmp.Or(compareBool(a.refused.status != None, b.refused.status != None), cmp.Compare(b.near, a.near))
	})
	for i, s := range byRank {
		if i >= MaxSignatures && s.refused.status == None {
			s.refused = finding{Neutral, "not verified: too many signatures"}
		}
	}
	if len(byRank) > MaxResults {
		byRank = byRank[:MaxResults]
	}
	slices.SortFunc(byRank, func(a, b *signature) int { return cmp.Compare(a.field, b.field) })
	return byRank
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// near tells how near a signing domain is to the nearest of the authors: by
// the labels they have in common, from the right, and above all when they are
// the same. Whatever the organizational domain of an author is, a domain that
// has it in common is nearer than any that has not.
func near(d string, authors []string) int {
	best := 0
	for _, a := range authors {
		if d == a {
			return math.MaxInt
		}
		best = max(best, common(d, a))
	}
	return best
}

// common returns how many labels two domains have in common, from the right.
func common(a, b string) int {
	n := 0
	for a != "" && b != "" {
		i, k := strings.LastIndexByte(a, '.'), strings.LastIndexByte(b, '.')
		if a[i+1:] != b[k+1:] {
			break
		}
		n++
		a, b = a[:max(i, 0)], b[:max(k, 0)]
	}
	return n
}

// Domains returns the signing domains of the signatures that are verified, so
// that what alignment needs can be looked up before the body has come.
func (r *Run) Domains() []string {
	var out []string
	for _, s := range r.signatures {
		if s.refused.status == None {
			out = append(out, s.result.Domain)
		}
	}
	return out
}

// Wanted reports whether the body is needed.
func (r *Run) Wanted() bool { return len(r.limits) > 0 }

// Write takes the next part of the body. It never fails.
func (r *Run) Write(p []byte) (int, error) {
	r.begin()
	for _, b := range r.bodies {
		b.write(p)
	}
	return len(p), nil
}

// Finish evaluates the signatures, in the order of their fields, and waits for
// all lookups that have begun.
func (r *Run) Finish() []Result {
	var out []Result
	for _, s := range r.signatures {
		out = append(out, r.evaluate(s))
	}
	for _, k := range r.keys {
		k.wait()
	}
	return out
}

// evaluate gives one signature its result. A key that cannot be used decides
// before the body, as in RFC 6376, Section 6.1; a key that could not be
// fetched does not, for a signature over another body cannot pass, and is no
// temporary error. The header is verified in any case, for HeaderOK.
func (r *Run) evaluate(s *signature) Result {
	res := s.result
	found := s.refused
	if found.status == None {
		found = r.tryKeys(s, &res, func() []byte { return r.header.hash(s) })
		res.HeaderOK = found.status == Pass
		body := r.body(s)
		if found.status == Fail && body.status == None && r.header.maybeCut(s) {
			found.why += ", and a signed header field may have been cut by the MTA"
			res.CutByMTA = true
		}
		switch {
		case s.limited && r.opt.BodyLength == Refuse:
			found = finding{Policy, "l= is not accepted"}
		case body.status == None || found.status == PermError:
		case body.status == Policy && found.status == Fail:
		default:
			found = body
		}
	}
	return s.close(res, found)
}

// close completes a result with what was found.
func (s *signature) close(res Result, found finding) Result {
	res.Status, res.Why = found.status, found.why
	if res.Status == TempError {
		res.Err = s.key.err
	}
	return res
}

// body compares the hash of the body. A signature that leaves a part of the
// body to others verifies nothing that a reader could tell from it (RFC 6376,
// Section 8.2).
func (r *Run) body(s *signature) finding {
	r.end()
	d := r.digests[s.body.relaxed]
	sum, reached := d.sums[s.body.limit]
	switch {
	case !reached:
		return permanent("l= is larger than the body")
	case !bytes.Equal(sum, s.bh):
		return finding{Fail, "body hash did not verify"}
	case s.body.limit < d.length:
		return finding{Policy, "l= leaves a part of the body unsigned"}
	}
	return finding{}
}

// bodyOf is what the body alone says against a signature, whatever its key is.
func (r *Run) bodyOf(s *signature) finding {
	if s.limited && r.opt.BodyLength == Refuse {
		return finding{Policy, "l= is not accepted"}
	}
	return r.body(s)
}

// tryKeys verifies a hash with the keys of its name. With old ones a signature
// may verify; that it does not may be because they have changed.
func (r *Run) tryKeys(s *signature, res *Result, hash func() []byte) finding {
	<-s.key.done
	if res.Stale = isStale(s.key.err); s.key.err != nil && !res.Stale {
		return finding{TempError, "key lookup failed"}
	}
	best := r.tryEach(s, res, hash)
	if res.Stale {
		best.why += "; stale DNS answer"
		if best.status != Pass {
			best.status = TempError
		}
	}
	return best
}

// tryEach verifies a hash with each key until one fits, and notes the key in
// the result: that one, or the first.
func (r *Run) tryEach(s *signature, res *Result, hash func() []byte) finding {
	best := s.key.found.refused
	if best.status != None {
		return best
	}
	sum := hash()
	for i, k := range s.key.found.records {
		bits, found := k.try(s, sum, r.opt.keyBits())
		if i == 0 || found.status == Pass || found.status == Fail && best.status != Fail {
			best = found
			res.KeyBits, res.Testing, res.Strict = bits, k.testing, k.strict
		}
		if found.status == Pass {
			break
		}
	}
	return best
}

// try verifies a signature with one key. Under t=s the identity is the
// signing domain itself (RFC 6376, Section 3.6.1).
func (k record) try(s *signature, hash []byte, most int) (bits int, _ finding) {
	bits, found := k.fits(s.result.Algorithm)
	switch {
	case found.status != None:
		return bits, found
	case bits > most:
		return bits, finding{Policy, "key too long"}
	case k.strict && s.result.Identity != s.result.Domain:
		return bits, permanent("key does not allow i= below d=")
	case !verifies(k.public, hash, s.b):
		return bits, finding{Fail, "signature did not verify"}
	}
	return bits, finding{Pass, "signature verified"}
}
