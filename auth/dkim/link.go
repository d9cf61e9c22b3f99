package dkim

import (
	"bytes"
	"context"
	"hash"

	"dmarcgate/auth/taglist"
	"dmarcgate/message"
)

// Link is a signature of an ARC chain (RFC 8617), which is made like one of
// DKIM. It belongs to the Run of its message and shares the header, the keys
// and the hashes of the body with the signatures there. Links are for auth/arc
// and for nobody else, and are no results of the Run.
type Link struct {
	run    *Run
	s      *signature
	hashed bool // the body is hashed for it
}

// Header returns the header that the Run was started with.
func (r *Run) Header() message.Header { return r.fields }

// MessageSignature reads the ARC-Message-Signature at a place of the header.
// It is as a DKIM-Signature without v= and with another i= (RFC 8617, Section
// 4.1.2). No lookup starts yet.
func (r *Run) MessageSignature(place int) *Link {
	s := open(r.fields[place], place)
	s.check(
		required("a", "b", "bh", "d", "h", "s"), s.readDomain, s.readNames, s.checkOrder,
		checkQuery, s.readCanon, s.readTimes(r.opt.now()), s.readLimit, checkAlgorithm, s.readBodyHash, s.readB,
	)
	return &Link{run: r, s: s}
}

// Seal reads the ARC-Seal at a place of the header: it has no body hash and no
// list of fields, and its header is canonicalized as relaxed (RFC 8617,
// Section 4.1.3). No lookup starts yet.
func (r *Run) Seal(place int) *Link {
	s := open(r.fields[place], place)
	s.check(required("a", "b", "d", "s"), s.readDomain, checkUnlisted, checkSigned, checkAlgorithm, s.readB)
	return &Link{run: r, s: s}
}

// checkOrder refuses a signature over fields that are made after it, and over
// others of its kind. By RFC 8617, Section 4.1.2, it must not cover
// ARC-Authentication-Results either; but sealers of the time of the drafts
// do, and it changes nothing.
func (s *signature) checkOrder(taglist.List) finding {
	for _, name := range s.names {
		if name == "arc-seal" || name == "arc-message-signature" {
			return permanent("h= covers fields of ARC")
		}
	}
	return finding{}
}

// checkUnlisted refuses a seal with h=: the chain has failed then (RFC 8617,
// Section 4.1.3).
func checkUnlisted(list taglist.List) finding {
	if _, ok := list.Find("h"); ok {
		return permanent("a seal has no h=")
	}
	return finding{}
}

// checkSigned refuses what is no time in t=. A seal has no x=.
func checkSigned(list taglist.List) finding {
	if _, ok := seconds(list, "t"); !ok {
		return permanent("t= is not a time")
	}
	return finding{}
}

// Tag returns the value of a tag, empty without it and when the field cannot
// be read. It is text of the message.
func (l *Link) Tag(name string) string { return l.s.tags.Value(name, "") }

// Refused returns why the signature cannot verify, whatever its key and the
// body are; empty when that is open.
func (l *Link) Refused() string { return l.s.refused.why }

// Known returns what is known of the signature before it is verified.
func (l *Link) Known() Result { return l.s.close(l.s.result, l.s.refused) }

// Hash has the body hashed for an ARC-Message-Signature; the first part of the
// body must not have come yet. Without Hash the signature does not verify.
func (l *Link) Hash() {
	switch {
	case l.s.refused.status != None:
	case l.run.want(l.s.body):
		l.hashed = true
	default:
		l.s.refused = permanent("begun behind the body")
	}
}

// Body compares the hash of the body, when that has ended, and returns why the
// signature cannot verify, whatever its key is: no key has to be fetched then.
// It is empty when that is open.
func (l *Link) Body() string {
	if l.s.refused.status == None && !l.hashed {
		l.s.refused = permanent("not begun")
	}
	if l.s.refused.status == None {
		l.s.refused = l.run.bodyOf(l.s)
	}
	return l.s.refused.why
}

// Fetch starts the lookup of the keys of signatures that can verify; it ends
// with ctx. Without it they do not verify. How many are fetched at once is
// for the caller to choose, up to maxFetched.
func (r *Run) Fetch(ctx context.Context, links ...*Link) {
	var unknown []*key
	for _, l := range links {
		if l.s.refused.status != None || l.s.key != nil {
			continue
		}
		if k := r.prepare(ctx, l.s); k != nil {
			k.dns, k.unrelated = r.unrelated(), true
			unknown = append(unknown, k)
		}
	}
	r.fetchAll(ctx, unknown)
}

// Verify evaluates an ARC-Message-Signature, when the body has ended. It waits
// for the key.
func (l *Link) Verify() Result {
	if l.Body() != "" || !l.begun() {
		return l.Known()
	}
	l.s.key.wait()
	return l.run.evaluate(l.s)
}

// VerifyAfter evaluates an ARC-Seal. What it seals was written to before, in the
// form that Relaxed returns, all but the field of the seal itself, which is
// written here. It waits for the key.
func (l *Link) VerifyAfter(before hash.Hash) Result {
	if !l.begun() {
		return l.Known()
	}
	l.s.key.wait()
	res := l.s.result
	found := l.run.tryKeys(l.s, &res, func() []byte {
		before.Write(bytes.TrimSuffix(relaxField(l.s.signed(l.run.fields[l.s.field])), crlfs[:2]))
		return before.Sum(nil)
	})
	return l.s.close(res, found)
}

func (l *Link) begun() bool {
	if l.s.refused.status == None && l.s.key == nil {
		l.s.refused = permanent("not begun")
	}
	return l.s.refused.status == None
}

// Relaxed returns a field of the header in its relaxed form (RFC 6376, Section
// 3.4.2). Nobody changes it.
func (r *Run) Relaxed(place int) []byte {
	if r.header == nil {
		r.header = newHeader(r.fields)
	}
	return r.header.form(place, true)
}
