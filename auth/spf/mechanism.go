package spf

import (
	"context"
	"net/netip"
)

// match evaluates a mechanism of the record of domain (RFC 7208, Section 5).
func (c *checker) match(ctx context.Context, domain string, t *term) (bool, *failure) {
	switch t.mechanism {
	case mAll:
		return true, nil
	case mIP4, mIP6:
		return t.network.Contains(c.ip), nil
	}
	name, f := c.term(ctx, domain, t.domain)
	if f != nil {
		return false, f
	}
	switch t.mechanism {
	case mInclude:
		return c.matchInclude(ctx, name)
	case mMX:
		return c.matchMX(ctx, name, t)
	case mPTR:
		return c.matchPTR(ctx, name)
	}
	ask := c.addresses
	if t.mechanism == mExists {
		ask = c.dns.A // of an IPv6 client too (Section 5.7)
	}
	addrs, void, f := lookup(ctx, c, ask, name)
	if f != nil {
		return false, f
	}
	if t.mechanism == mExists && len(addrs) > 0 || c.within(addrs, t) {
		return true, nil
	}
	return false, c.void(void)
}

// addresses asks for the addresses that the client's can be compared with
// (RFC 7208, Section 5).
func (c *checker) addresses(ctx context.Context, name string) ([]netip.Addr, error) {
	if c.ip.Is4() {
		return c.dns.A(ctx, name)
	}
	return c.dns.AAAA(ctx, name)
}

// within reports whether the client is in the network of one of the addresses.
func (c *checker) within(addrs []netip.Addr, t *term) bool {
	bits := int(t.bits6)
	if c.ip.Is4() {
		bits = int(t.bits4)
	}
	for _, addr := range addrs {
		if netip.PrefixFrom(addr, bits).Contains(c.ip) {
			return true
		}
	}
	return false
}

// matchInclude asks another domain; only its pass matches (RFC 7208, Section
// 5.2).
func (c *checker) matchInclude(ctx context.Context, name string) (bool, *failure) {
	switch o := c.checkHost(ctx, name); o.status {
	case Pass:
		return true, nil
	case None:
		return false, permanent("the included domain has no SPF record")
	case TempError, PermError:
		return false, &failure{status: o.status, term: o.term, why: o.why, err: o.err}
	}
	return false, nil
}

// matchMX compares with the mail hosts of a name. Without MX records there is
// none, not even the name itself (RFC 7208, Section 5.4).
func (c *checker) matchMX(ctx context.Context, name string, t *term) (bool, *failure) {
	hosts, void, f := lookup(ctx, c, c.dns.MX, name)
	switch {
	case f != nil:
		return false, f
	case len(hosts) > maxMX:
		// Before any is queried for: their order changes from answer to answer,
		// and the result must not.
		return false, permanent("more than ten mail hosts of one mx")
	}
	for _, host := range hosts {
		addrs, empty, f := lookup(ctx, c, c.addresses, host)
		if f != nil {
			return false, f
		}
		if c.within(addrs, t) {
			return true, nil
		}
		void = void || empty
	}
	return false, c.void(void)
}

// lookup asks for a name. One that the DNS cannot have, as macros may make,
// is not queried for and has nothing (RFC 7208, Section 4.8, leaves it open).
// void is of a question with an empty answer (Section 4.6.4).
func lookup[T any](ctx context.Context, c *checker, ask func(context.Context, string) ([]T, error), name string) (found []T, void bool, f *failure) {
	if n := len(name); n > 0 && name[n-1] == '.' {
		name = name[:n-1]
	}
	if !isName(name) {
		return nil, false, nil
	}
	found, err := ask(ctx, name)
	if err = c.usable(err); err != nil {
		return nil, false, temporary(err)
	}
	return found, len(found) == 0, nil
}
