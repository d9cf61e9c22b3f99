package spf

import (
	"context"
	"slices"
	"strings"
)

// claimed are the names that the client's address claims in PTR records. They
// are queried for at most once in a check, and so is each name.
type claimed struct {
	queried bool
	void    bool  // there are none
	err     error // with which they came
	hosts   []claim
}

// claim is one of the names.
type claim struct {
	name    string
	queried bool
	valid   bool // it has the client's address
}

// claims returns the names that the client claims. A failure of DNS is none:
// it makes no temperror (RFC 7208, Section 5.5), unless the lookup gave way to
// others. Of a stale answer the names are
// used; one without names is no more than the failure.
func (c *checker) claims(ctx context.Context) []claim {
	if c.names.queried {
		return c.names.hosts
	}
	names, err := c.dns.PTR(ctx, c.ip)
	c.gaveWay(err)
	c.names = claimed{queried: true, void: err == nil && len(names) == 0, err: err}
	// The domain owner has no power over the client's PTR records, so too
	// many of them are no error (Section 4.6.4).
	for _, name := range names[:min(len(names), maxPTR)] {
		c.names.hosts = append(c.names.hosts, claim{name: strings.TrimSuffix(name, ".")})
	}
	return c.names.hosts
}

// valid reports whether a claimed name has the client's address. A name that
// cannot be queried for is skipped (RFC 7208, Section 5.5). Stale answers count only
// where they make it valid: otherwise a client whose own DNS has gone silent
// would make a temperror of what is a fail without any answer.
func (c *checker) valid(ctx context.Context, h *claim) bool {
	if h.queried {
		return h.valid
	}
	before := c.stale
	c.usable(c.names.err)
	addrs, _, f := lookup(ctx, c, c.addresses, h.name)
	if f != nil {
		c.gaveWay(f.err)
	}
	h.queried, h.valid = true, f == nil && slices.Contains(addrs, c.ip)
	if !h.valid {
		c.stale = before
	}
	return h.valid
}

// matchPTR reports whether a valid name of the client is target or below it.
// Only names that could match are queried for.
func (c *checker) matchPTR(ctx context.Context, target string) (bool, *failure) {
	hosts := c.claims(ctx)
	for i := range hosts {
		if target != "" && below(hosts[i].name, target) && c.valid(ctx, &hosts[i]) {
			return true, nil
		}
	}
	if err := ctx.Err(); err != nil { // out of time is no answer (Section 4.6.4)
		return false, temporary(err)
	}
	if c.pressed != nil {
		return false, temporary(c.pressed)
	}
	return false, c.void(c.names.void)
}

// validName is the value of the macro p: the domain itself if it is a valid
// name of the client, else a subdomain, else any (RFC 7208, Section 7.3).
func (c *checker) validName(ctx context.Context, domain string) string {
	fits := []func(name string) bool{
		func(name string) bool { return strings.EqualFold(name, domain) },
		func(name string) bool { return below(name, domain) },
		func(string) bool { return true },
	}
	hosts := c.claims(ctx)
	for _, fit := range fits {
		for i := range hosts {
			if fit(hosts[i].name) && c.valid(ctx, &hosts[i]) {
				return hosts[i].name
			}
		}
	}
	return "unknown"
}
