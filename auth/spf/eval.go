package spf

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"
)

// checker is one check with what it has used of its limits. Lookups go one
// after the other: whether one is made depends on those before it.
type checker struct {
	dns    Resolver
	ip     netip.Addr // unmapped, without a zone
	now    func() time.Time
	sender string // domain of the identity
	local  string
	helo   string

	terms int // that needed DNS, so far
	voids int // that found nothing, so far
	macro int // macros expanded, for the test that counts the work
	names claimed
	stale error // of the first stale answer that was used

	pressed error // of the first lookup about the client's own names that gave way to others
}

// usable takes a stale answer for a fresh one, and remembers it. Any other error
// it returns.
func (c *checker) usable(err error) error {
	if !isStale(err) {
		return err
	}
	if c.stale == nil {
		c.stale = err
	}
	return nil
}

// gaveWay notes a lookup that had to give way to others, because too much was
// queried at once. RFC 7208, Section 5.5, has a failure match nothing where the
// client's own names are queried for; but this one a sender can arrange.
func (c *checker) gaveWay(err error) {
	if err == nil || c.pressed != nil {
		return
	}
	var e interface{ Pressure() bool }
	if errors.As(err, &e) && e.Pressure() {
		c.pressed = err
	}
}

// staleness is an error that may have a stale answer beside it.
type staleness interface {
	error
	Stale() bool
}

// isStale reports whether there is a stale answer beside an error.
func isStale(err error) bool {
	old, ok := errors.AsType[staleness](err)
	return ok && old.Stale()
}

// outcome is what check_host() says of one domain, with what explains it.
type outcome struct {
	status Status
	term   string // as written, not yet fit to be printed
	why    string
	err    error  // of TempError
	exp    string // domain-spec of the record that decided
	domain string // the owner of that record, for the macro d of exp
}

// fromStale is an outcome to which a stale answer has led, that may not be true
// any more: what has passed stays so, and nothing fails for it. A failure of DNS
// that ended the check says more.
func (o outcome) fromStale(err error) outcome {
	o.why += "; stale DNS answer"
	if o.status != Pass && o.status != TempError {
		o.status, o.err = TempError, err
	}
	return o
}

// failure ends a check: permerror or temperror, wherever it occurs.
type failure struct {
	status Status
	term   string
	why    string
	err    error
}

func permanent(reason string) *failure { return &failure{status: PermError, why: reason} }

func temporary(err error) *failure {
	return &failure{status: TempError, why: "DNS lookup failed", err: err}
}

// outcome is that of a record in which a term failed. The innermost term is
// the one to look at.
func (f *failure) outcome(term string) outcome {
	if f.term != "" {
		term = f.term
	}
	return outcome{status: f.status, term: term, why: f.why, err: f.err}
}

// checkHost is check_host(). It calls itself for include and redirect, of which
// maxTerms bounds the depth.
func (c *checker) checkHost(ctx context.Context, domain string) outcome {
	rec, f := c.record(ctx, domain)
	switch {
	case f != nil:
		return f.outcome("")
	case !rec.published:
		return outcome{status: None, why: "no SPF record"}
	}
	for i := range rec.terms {
		t := &rec.terms[i]
		matched, f := c.match(ctx, domain, t)
		if f != nil {
			return f.outcome(t.text)
		}
		if matched {
			return outcome{
				status: t.result, term: t.text, why: "matched " + t.mechanism.String(),
				exp: rec.exp, domain: domain,
			}
		}
	}
	if rec.redirect != "" {
		return c.redirect(ctx, domain, rec.redirect)
	}
	return outcome{status: Neutral, why: "no mechanism matched"} // Section 4.7
}

// record finds the record of a domain. It may be in use elsewhere, too: nobody
// changes it.
func (c *checker) record(ctx context.Context, domain string) (record, *failure) {
	if !isName(domain) {
		return record{}, nil
	}
	found, err := lookupRecord(ctx, c.dns, domain)
	if err = c.usable(err); err != nil {
		return record{}, temporary(err)
	}
	return found.record, found.failure
}

// redirect goes on with another domain's record, whose exp counts then (RFC
// 7208, Sections 6.1 and 6.2).
func (c *checker) redirect(ctx context.Context, domain, spec string) outcome {
	term := "redirect=" + spec
	name, f := c.term(ctx, domain, spec)
	if f != nil {
		return f.outcome(term)
	}
	o := c.checkHost(ctx, name)
	if o.status == None {
		return permanent("the domain of redirect has no SPF record").outcome(term)
	}
	return o
}

// term counts a term that needs DNS, and returns the name to look up: the
// domain-spec expanded, or the domain itself without one. The name is empty
// when none can be made of the macros.
func (c *checker) term(ctx context.Context, domain, spec string) (string, *failure) {
	if f := c.count(); f != nil || spec == "" {
		return domain, f
	}
	if strings.IndexByte(spec, '%') < 0 {
		return fitName(spec), nil
	}
	// A local part beyond ASCII matches nothing (RFC 8616, Section 4).
	if !isASCII(c.local) && uses(spec, "ls") {
		return "", nil
	}
	if uses(spec, "p") && !c.names.queried {
		if f := c.count(); f != nil { // Section 4.6.4 counts the macro too
			return "", f
		}
	}
	name := expandName(spec, func(letter byte) string { return c.value(ctx, letter, domain) })
	if c.pressed != nil && uses(spec, "p") {
		return "", temporary(c.pressed)
	}
	return name, nil
}

func (c *checker) count() *failure {
	if c.terms++; c.terms > maxTerms {
		return permanent("more than ten terms that need DNS")
	}
	return nil
}

// void counts a term of which a lookup found nothing. RFC 7208, Section 4.6.4,
// limits the number of terms, not of lookups: three mail hosts without an
// IPv6 address are no reason to refuse an IPv6 client.
func (c *checker) void(is bool) *failure {
	if !is {
		return nil
	}
	if c.voids++; c.voids > maxVoids {
		return permanent("more than two terms that found nothing in DNS")
	}
	return nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
