package spf

import (
	"context"
	"dmarcgate/scope"
	"net/netip"
	"strings"
	"time"
)

// Resolver is the DNS that a check needs. Nothing there (NXDOMAIN or no data)
// is an empty list without an error; every error is temporary. One that has a
// method Stale() bool, which returns true, comes with an answer: the last that
// was known, because no newer one could be had.
//
// A Resolver that is a Keeper, too, spares the reading of records.
type Resolver interface {
	TXT(ctx context.Context, name string) ([]string, error)
	A(ctx context.Context, name string) ([]netip.Addr, error)
	AAAA(ctx context.Context, name string) ([]netip.Addr, error)
	MX(ctx context.Context, name string) ([]string, error) // hosts
	PTR(ctx context.Context, addr netip.Addr) ([]string, error)
}

// Keeper keeps what was made of an answer as long as the answer itself.
type Keeper interface {
	// Parsed returns what parse makes of the TXT records of name, or made of
	// the same ones before. The value is shared, also by checks that run at the
	// same time. Beside a stale answer's error it is that of the stale answer;
	// with every other error it is nil.
	Parsed(ctx context.Context, name string, parse func(txts []string) any) (any, error)
}

// Query is one identity of one client.
type Query struct {
	IP     netip.Addr // the SMTP client; an IPv4-mapped IPv6 address is IPv4
	Domain string     // domain of the identity, lower-case A-labels
	Local  string     // local part, "postmaster" when the identity has none
	Helo   string     // HELO name as the client gave it, for the macro %{h}: an address literal, a name of one label or with a port included (RFC 7208, Section 7.2)

	Identity Identity // which identity it is; nothing but Result.Identity depends on it
	Explain  bool     // fetch the explanation of a fail
}

// Check runs check_host() of RFC 7208, Section 4. A domain of a single label
// or none, or one that is no host name, is result none without a lookup
// (Section 4.3).
func Check(ctx context.Context, r Resolver, q Query) Result {
	return newChecker(r, q, time.Now).check(ctx, q)
}

func newChecker(r Resolver, q Query, now func() time.Time) *checker {
	return &checker{
		dns: r, ip: q.IP.Unmap().WithZone(""), now: now, sender: q.Domain,
		local: q.Local[:min(len(q.Local), maxValue)], helo: q.Helo[:min(len(q.Helo), maxValue)],
	}
}

func (c *checker) check(ctx context.Context, q Query) Result {
	res := Result{Identity: q.Identity, Domain: printable(q.Domain, maxName)}
	if !c.ip.IsValid() || !isHostName(q.Domain) {
		res.Why = "no domain to check"
		return res
	}
	o := c.checkHost(ctx, q.Domain)
	if res.Stale = c.stale != nil; res.Stale { // whatever exp will need
		o = o.fromStale(c.stale)
	}
	res.Status, res.Why, res.Err = o.status, o.why, o.err
	res.Term = printable(o.term, maxTerm)
	if q.Explain && o.status == Fail && o.exp != "" {
		res.Explanation = c.explain(ctx, o)
	}
	return res
}

// isHostName reports whether a domain given in SMTP can have a record: two
// labels or more, of letters, digits, "-" and "_".
func isHostName(name string) bool {
	for i := range len(name) {
		if c := name[i]; !isLetter(c) && !isDigit(c) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return isName(name)
}

// isName reports whether name is one of the DNS with two labels or more. Names
// with bytes beyond ASCII are not looked up: those of the DNS are A-labels
// (RFC 8616, Section 4).
func isName(name string) bool {
	label, dots := 0, 0
	for i := range len(name) {
		switch c := name[i]; {
		case c == '.':
			if label == 0 {
				return false
			}
			label, dots = 0, dots+1
		case c < ' ' || c > '~' || label == maxLabel:
			return false
		default:
			label++
		}
	}
	return label > 0 && dots > 0 && len(name) <= maxName
}

// below reports whether name is domain or a subdomain of it, in any case.
func below(name, domain string) bool {
	return scope.AtOrBelow(strings.ToLower(name), strings.ToLower(domain))
}
