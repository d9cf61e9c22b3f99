package dkim

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"dmarcgate/message"
)

// Options say more about a message than its header. The zero value is usable.
type Options struct {
	Authors []string         // author domains, lower-case A-labels: signatures near them are verified first
	Now     func() time.Time // nil is time.Now
}

// Run is the verification of one message. Its methods are called by one
// goroutine.
type Run struct {
	signatures []*signature // those that are reported, in the order of their fields
	header     *header
	keys       map[string]*key
	bodies     map[bool]canonicalizer // by "relaxed"
	digests    map[bool]*digest
}

// Start begins the verification: all key lookups start now and end with ctx.
func Start(ctx context.Context, r Resolver, h message.Header, opt Options) *Run {
	now := time.Now
	if opt.Now != nil {
		now = opt.Now
	}
	run := &Run{keys: make(map[string]*key), bodies: make(map[bool]canonicalizer), digests: make(map[bool]*digest)}
	run.signatures = choose(readAll(h, now(), opt.Authors))
	limits := make(map[bool][]int64)
	for _, s := range run.signatures {
		if s.refused.status != None {
			continue
		}
		if s.key = run.keys[s.keyName]; s.key == nil {
			s.key = fetch(ctx, r, s.keyName)
			run.keys[s.keyName] = s.key
		}
		limits[s.body.relaxed] = append(limits[s.body.relaxed], s.body.limit)
	}
	if len(limits) > 0 {
		run.header = newHeader(h)
	}
	for relax, at := range limits {
		run.bodies[relax] = newCanonicalizer(relax, at)
	}
	return run
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
			s.rank = rank(s.result.Domain, authors)
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
		return cmp.Or(compareBool(a.refused.status != None, b.refused.status != None), cmp.Compare(a.rank, b.rank))
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

// rank tells how near a signing domain is to the nearest of the authors: the
// same, one below the other, sharing the last two labels, or a stranger.
func rank(d string, authors []string) int {
	best := 3
	for _, a := range authors {
		switch {
		case d == "":
		case d == a:
			best = 0
		case below(d, a) || below(a, d):
			best = min(best, 1)
		case lastTwo(d) == lastTwo(a):
			best = min(best, 2)
		}
	}
	return best
}

func lastTwo(d string) string {
	if i := strings.LastIndexByte(d, '.'); i > 0 {
		return d[strings.LastIndexByte(d[:i], '.')+1:]
	}
	return d
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
func (r *Run) Wanted() bool { return len(r.bodies) > 0 }

// Write takes the next part of the body. It never fails.
func (r *Run) Write(p []byte) (int, error) {
	for _, b := range r.bodies {
		b.write(p)
	}
	return len(p), nil
}

// Finish judges the signatures, in the order of their fields, and waits for
// the lookups that Start began.
func (r *Run) Finish() []Result {
	for relax, b := range r.bodies {
		r.digests[relax] = b.close()
	}
	clear(r.bodies)
	var out []Result
	for _, s := range r.signatures {
		out = append(out, r.judge(s))
	}
	for _, k := range r.keys {
		if <-k.done; k.bug != nil {
			panic(k.bug)
		}
	}
	return out
}

// judge gives one signature its result. A key that cannot be used decides
// before the body, as in RFC 6376, Section 6.1; a key that could not be
// fetched does not, for a signature over another body cannot pass, and is no
// temporary error. The header is verified in any case, for HeaderOK.
func (r *Run) judge(s *signature) Result {
	res := s.result
	found := s.refused
	if found.status == None {
		found = r.tryKeys(s, &res)
		res.HeaderOK = found.status == Pass
		switch body := r.body(s); {
		case body.status == None || found.status == PermError:
		case body.status == Policy && found.status == Fail:
		default:
			found = body
		}
	}
	res.Status, res.Reason = found.status, found.reason
	if res.Status == TempError {
		res.Err = s.key.err
	}
	return res
}

// body compares the hash of the body. A signature that leaves a part of the
// body to others verifies nothing that a reader could tell from it (RFC 6376,
// Section 8.2).
func (r *Run) body(s *signature) finding {
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

// tryKeys verifies the header with each key of its name until one fits, and
// notes the key in the result: that one, or the first.
func (r *Run) tryKeys(s *signature, res *Result) finding {
	keys, best := s.key.records()
	if best.status != None {
		return best
	}
	hash := r.header.hash(s)
	for i, k := range keys {
		bits, found := k.try(s, hash)
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
func (k record) try(s *signature, hash []byte) (bits int, _ finding) {
	public, bits, found := k.public(s.result.Algorithm)
	switch {
	case found.status != None:
		return bits, found
	case k.strict && s.result.Identity != s.result.Domain:
		return bits, permanent("key does not allow i= below d=")
	case !verifies(public, hash, s.b):
		return bits, finding{Fail, "signature did not verify"}
	}
	return bits, finding{Pass, "signature verified"}
}
