package arc

import (
	"context"
	"crypto/sha256"
	"hash"

	"dmarcgate/auth/dkim"
)

// Run is the validation of the chain of one message. It is used by the
// goroutine that uses its dkim.Run.
type Run struct {
	dkim  *dkim.Run
	sets  []set // oldest first, none when there is nothing to verify
	known Result
}

// Start reads the chain in the header of d and begins what it needs of d:
// lookups of keys, which end with ctx, and hashes of the body, which must not
// have come yet.
func Start(ctx context.Context, d *dkim.Run) *Run {
	r := &Run{dkim: d}
	fields := find(d)
	if len(fields) == 0 {
		return r
	}
	sets, wrong := structure(d, fields)
	if wrong != "" {
		r.fail(wrong, nil)
		return r
	}
	for _, s := range sets {
		r.known.Sets = append(r.known.Sets, s.described())
	}
	if why := hopeless(sets); why != "" {
		r.fail(why, nil)
		return r
	}
	r.sets = sets
	r.begin(ctx)
	return r
}

// described returns what a set says of itself.
func (s set) described() Set {
	by := s[seal].link.Known()
	return Set{Instance: s[seal].instance, Domain: by.Domain, Selector: by.Selector, Algorithm: by.Algorithm, Results: s[results].payload}
}

// hopeless tells which of the signatures that a verdict needs cannot verify,
// whatever its key is. A chain that has one costs no lookup.
func hopeless(sets []set) string {
	needed := []*field{sets[len(sets)-1][message]}
	for _, s := range sets {
		needed = append(needed, s[seal])
	}
	for _, f := range needed {
		if why := f.link.Refused(); why != "" {
			return f.failed(why)
		}
	}
	return ""
}

// begin begins all seals and the newest signatures, as many as are tried. None
// is behind one that cannot verify.
func (r *Run) begin(ctx context.Context) {
	for i := len(r.sets) - 1; i >= max(0, len(r.sets)-maxTried); i-- {
		m := r.sets[i][message].link
		if m.Refused() != "" {
			break
		}
		m.Begin(ctx)
	}
	for _, s := range r.sets {
		s[seal].link.Begin(ctx)
	}
}

// Finish judges the chain, when the body has ended, and waits for the keys
// that it needs (RFC 8617, Section 5.2, steps 4 to 7). It is called once.
func (r *Run) Finish() Result {
	if len(r.sets) == 0 {
		return r.known
	}
	newest := r.sets[len(r.sets)-1][message]
	if found := r.noted(newest.link.Verify()); found.Status != dkim.Pass {
		r.fail(newest.failed(found.Reason), found.Err)
		return r.known
	}
	before, err := r.prefixes(sha256.New())
	if err != nil {
		r.fail("hash cannot be copied", nil)
		return r.known
	}
	for i := len(r.sets) - 1; i >= 0; i-- {
		f := r.sets[i][seal]
		found := r.noted(f.link.VerifyAfter(before[i]))
		r.known.Sets[i].KeyBits = found.KeyBits
		if found.Status != dkim.Pass {
			r.fail(f.failed(found.Reason), found.Err)
			return r.known
		}
	}
	r.known.Status, r.known.Reason = Pass, "all seals verified"
	r.known.OldestPass = r.oldestPass()
	return r.known
}

// noted takes down whether the key of a signature was old.
func (r *Run) noted(found dkim.Result) dkim.Result {
	r.known.Stale = r.known.Stale || found.Stale
	return found
}

func (r *Run) fail(reason string, err error) {
	r.known.Status, r.known.Reason, r.known.Err = Fail, reason, err
}

// prefixes returns, for each seal, the hash of what stands before it: all
// older sets and the other two fields of its own (RFC 8617, Section 5.1.1).
// Each field is hashed once, by the one that runs, and each seal has a copy.
func (r *Run) prefixes(running hash.Hash) ([]hash.Hash, error) {
	var out []hash.Hash
	for _, s := range r.sets {
		running.Write(r.dkim.Relaxed(s[results].place))
		running.Write(r.dkim.Relaxed(s[message].place))
		clone, err := running.(hash.Cloner).Clone() // as all hashes of the standard library
		if err != nil {
			return nil, err
		}
		out = append(out, clone)
		running.Write(r.dkim.Relaxed(s[seal].place))
	}
	return out, nil
}

// oldestPass verifies the older signatures, newest first, until one fails
// (RFC 8617, Section 5.2, step 5), as one does that was not begun, or whose key
// cannot be fetched. Since it changes no verdict it comes last.
func (r *Run) oldestPass() int {
	i := len(r.sets) - 1 // the newest has been verified
	for i > 0 && r.noted(r.sets[i-1][message].link.Verify()).Status == dkim.Pass {
		i--
	}
	if i == 0 {
		return 0
	}
	return i + 1
}
