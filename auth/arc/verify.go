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

// Start reads the chain in the header of d and begins the hashes of the body,
// which must not have come yet. It looks nothing up.
func Start(d *dkim.Run) *Run {
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
	r.hash()
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

// hash has the body hashed for the newest signatures, as many as are tried.
// None is behind one that cannot verify.
func (r *Run) hash() {
	for i := len(r.sets) - 1; i >= max(0, len(r.sets)-maxTried); i-- {
		m := r.sets[i][message].link
		if m.Refused() != "" {
			break
		}
		m.Hash()
	}
}

// Unchecked returns what is known of the chain without a lookup: whether there
// is one, its sets, and that it fails, if its structure is wrong.
func (r *Run) Unchecked() Result {
	if len(r.sets) > 0 {
		r.known.Status, r.known.Why = NotChecked, "the message passed without it"
	}
	return r.known
}

// Finish evaluates the chain, when the body has ended: it fetches the keys that
// it needs, with lookups that end with ctx, and waits for them (RFC 8617,
// Section 5.2, steps 4 to 7). It is called once.
func (r *Run) Finish(ctx context.Context) Result {
	if len(r.sets) == 0 {
		return r.known
	}
	newest := r.sets[len(r.sets)-1][message]
	if found := r.signature(ctx, newest); found.Status != dkim.Pass {
		r.fail(newest.failed(found.Why), found.Err)
		return r.known
	}
	if !r.seals(ctx) {
		return r.known
	}
	r.known.Status, r.known.Why = Pass, "all seals verified"
	r.known.OldestPass = r.oldestPass(ctx)
	return r.known
}

// signature verifies an ARC-Message-Signature, whose key is fetched unless the
// body is another.
func (r *Run) signature(ctx context.Context, f *field) dkim.Result {
	if f.link.Body() == "" {
		r.dkim.Fetch(ctx, f.link)
	}
	return r.noted(f.link.Verify())
}

// seals verifies all seals, newest first, until one fails (RFC 8617, Section
// 5.2, step 6).
func (r *Run) seals(ctx context.Context) bool {
	before, err := r.prefixes(sha256.New())
	if err != nil {
		r.fail("hash cannot be copied", nil)
		return false
	}
	for i := len(r.sets) - 1; i >= 0; i-- {
		if (len(r.sets)-1-i)%maxBatch == 0 {
			r.fetchSeals(ctx, i)
		}
		f := r.sets[i][seal]
		found := r.noted(f.link.VerifyAfter(before[i]))
		r.known.Sets[i].KeyBits = found.KeyBits
		if found.Status != dkim.Pass {
			r.fail(f.failed(found.Why), found.Err)
			return false
		}
	}
	return true
}

// fetchSeals fetches the keys of a batch of seals, of which one is the newest.
func (r *Run) fetchSeals(ctx context.Context, newest int) {
	var links []*dkim.Link
	for i := newest; i >= max(0, newest-maxBatch+1); i-- {
		links = append(links, r.sets[i][seal].link)
	}
	r.dkim.Fetch(ctx, links...)
}

// noted records whether the key of a signature was old.
func (r *Run) noted(found dkim.Result) dkim.Result {
	r.known.Stale = r.known.Stale || found.Stale
	return found
}

func (r *Run) fail(reason string, err error) {
	r.known.Status, r.known.Why, r.known.Err = Fail, reason, err
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
// (RFC 8617, Section 5.2, step 5), as one does that is not tried, or whose key
// cannot be fetched. Since it changes no verdict it comes last.
func (r *Run) oldestPass(ctx context.Context) int {
	i := len(r.sets) - 1 // the newest has been verified
	for i > 0 && r.signature(ctx, r.sets[i-1][message]).Status == dkim.Pass {
		i--
	}
	if i == 0 {
		return 0
	}
	return i + 1
}
