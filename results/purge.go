package results

import (
	"dmarcgate/policy"
	"dmarcgate/scope"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Purge says which rows are meant: those for which all fields hold that are
// set. Without any it means none.
type Purge struct {
	// Domain means it and all below it, as an author or its organization or the
	// domain of the record, of MAIL FROM or HELO, as a signer or sealer, or of a
	// recipient. It is a lower-case A-label form.
	Domain string
	// Client means clients in the network. Shortened addresses are those of
	// their networks: a row is meant when its network may have held a client of
	// this one.
	Client netip.Prefix
	// Before means rows of messages before it.
	Before time.Time
}

// Empty reports whether no field is set.
func (p Purge) Empty() bool { return p.Domain == "" && !p.Client.IsValid() && p.Before.IsZero() }

// errEmptyPurge keeps a forgotten argument from meaning everything.
var errEmptyPurge = errors.New("a purge needs a domain, a client or a time")

// Matches reports whether a row is meant. Purge and export ask the same.
func Matches(r *Row, p Purge) bool {
	if p.Empty() {
		return false
	}
	return (p.Before.IsZero() || r.Facts.Time.Before(p.Before)) &&
		(!p.Client.IsValid() || clientIn(r.Facts.Client, p.Client)) &&
		(p.Domain == "" || names(r, p.Domain))
}

// clientIn reports whether an address is in a network, or may have been before
// it was shortened.
func clientIn(a netip.Addr, net netip.Prefix) bool {
	a, net = a.Unmap().WithZone(""), unmapped(net)
	if net.Contains(a) {
		return true
	}
	return a.IsValid() && a == ShortAddr(a) && scope.ClientNetwork(a).Overlaps(net)
}

// unmapped returns the IPv4 network that an IPv6 one stands for.
func unmapped(net netip.Prefix) netip.Prefix {
	if net.Addr().Is4In6() && net.Bits() >= 96 {
		return netip.PrefixFrom(net.Addr().Unmap(), net.Bits()-96).Masked()
	}
	return net.Masked()
}

// names reports whether a row names a domain.
func names(r *Row, domain string) bool {
	in := func(name string) bool { return scope.AtOrBelow(name, domain) }
	return in(r.Decision.Author) || slices.ContainsFunc(domains(&r.Facts), in)
}

// domains returns the domains that the facts name, some of them more than once,
// and what a third party gave in place of one.
func domains(f *policy.Facts) []string {
	all := []string{f.MailFrom, f.Helo, f.ClientName, f.SPF.Domain, f.HELO.Domain}
	all = append(all, f.Recipients...)
	for i := range f.Authors {
		a := &f.Authors[i]
		all = append(all, a.Domain, a.Org, a.PolicyDomain)
	}
	for i := range f.DKIM {
		all = append(all, f.DKIM[i].Domain)
	}
	for i := range f.ARC.Sealers {
		all = append(all, f.ARC.Sealers[i].Domain)
		for _, rec := range f.ARC.Sealers[i].Recorded {
			all = append(all, rec.Domain)
		}
	}
	return all
}

// Normal returns the purge with its domain in the form that rows have, and an
// error when it means nothing.
func (p Purge) Normal() (Purge, error) {
	p.Domain = strings.ToLower(strings.TrimSuffix(p.Domain, "."))
	if p.Empty() {
		return p, errEmptyPurge
	}
	return p, nil
}
