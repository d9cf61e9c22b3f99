package dnscheck

import (
	"cmp"
	"context"
	"net/netip"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/auth/spf"
	"dmarcgate/dnscache"
)

// subject is a domain or a client address, with what the DNS says of it.
type subject struct {
	domain string
	client netip.Addr
	spf    bool // its SPF record matters

	asked   bool       // to the end; the rest says nothing without
	org     string     // organizational domain; "" where there is none
	missing bool       // the organizational domain does not exist
	reach   *spf.Reach // nil where it was not asked for
	lapsed  []string   // domains that the SPF record lets in and that do not exist
	names   []string   // of the client, as whoever holds the address gave them
	err     error      // the first failure
}

// maxLapsed is how many names of an SPF record are looked at: our limit, twice the
// terms that a check may look up (RFC 7208, Section 4.6.4).
const maxLapsed = 20

// ask looks the subject up. What ctx ends is not asked.
func (s *subject) ask(all context.Context, view dnscache.View) {
	ctx, cancel := context.WithTimeout(all, maxNameSeconds*time.Second)
	defer cancel()
	if s.client.IsValid() {
		s.names, s.err = view.PTR(ctx, s.client)
	} else {
		s.askDomain(ctx, view)
	}
	s.asked = s.err == nil || all.Err() == nil
}

func (s *subject) askDomain(ctx context.Context, view dnscache.View) {
	s.org = orgOf(s.domain)
	if s.missing, s.err = missing(ctx, view, s.org); s.missing || !s.spf {
		return
	}
	reach := spf.ReachOf(ctx, view, s.domain)
	s.reach = &reach
	s.err = cmp.Or(s.err, reach.Err)
	seen := map[string]bool{s.org: true}
	for _, name := range reach.Names[:min(len(reach.Names), maxLapsed)] {
		org := orgOf(name)
		if seen[org] {
			continue
		}
		seen[org] = true
		gone, err := missing(ctx, view, org)
		if gone {
			s.lapsed = append(s.lapsed, org)
		}
		s.err = cmp.Or(s.err, err)
	}
}

// missing reports whether nobody has registered an organizational domain.
func missing(ctx context.Context, view dnscache.View, org string) (bool, error) {
	if org == "" {
		return false, nil
	}
	exists, err := view.Exists(ctx, org)
	return !exists && err == nil, err
}

// orgOf returns the organizational domain by the public suffix list, below which
// domains are registered.
func orgOf(name string) string { return dmarc.PublicSuffix().Org(name) }
