package doctor

import (
	"net/netip"

	"dmarcgate/admin"
	"dmarcgate/term"
)

// dns looks at the name servers: as the daemon sees them, and as they answer now.
func (h *Host) dns(r *report) {
	if h.Daemon != nil {
		for _, s := range h.Daemon.DNS.Servers {
			switch {
			case !s.Refusing.IsZero():
				r.add("dns_refuses", put("/etc/dnsmasq.conf", "dns-forward-max=1000"),
					"the name server %s refuses or drops queries since %s (%s), and mail is deferred; %s", s.Address, term.Stamp(s.Refusing), term.Printable(s.Refusal), admin.RefusalAdvice)
			case s.Down:
				r.add("dns_down", h.servers(), "the name server %s has not answered since %s: %s", s.Address, term.Stamp(s.Since), term.Printable(s.Err))
			}
		}
	}
	answering, local, validating := 0, false, []Resolver{}
	for _, s := range h.Resolvers {
		local = local || h.near(s.Address)
		if s.Answers {
			answering++
		}
		if s.Answers && s.Validates {
			validating = append(validating, s)
		}
	}
	if len(h.Resolvers) > 0 && !local {
		r.add("no_local_resolver", h.servers(), "no name server is on this host or its network (%s): mail waits for the way there, block lists and large receivers limit shared resolvers, and replies can be forged on the way; install a resolver, for example: apt install unbound",
			some(addresses(h.Resolvers)))
	}
	switch {
	case answering > 0 && len(validating) == 0:
		r.add("no_dnssec", put("/etc/unbound/unbound.conf", "server:\nmodule-config: \"validator iterator\""), "no name server validates DNSSEC (%s): a forged DMARC record or DKIM key would be believed", some(addresses(h.Resolvers)))
	case len(validating) > 0 && !trusted(validating) && loopback(validating[0].Address):
		r.add("dnssec_not_trusted", h.trust(validating[0]), "the name server %s on this host validates DNSSEC, and the daemon does not believe its AD bit", validating[0].Address)
	}
}

// servers is the line for a resolver on this host.
func (h *Host) servers() []Fix {
	return put(h.Path, "[dns]\nservers = [\"127.0.0.1\"]")
}

// trust is the line that has the AD bit of a server believed.
func (h *Host) trust(s Resolver) []Fix {
	if len(h.Config.DNS.Servers) == 0 {
		return put("/etc/resolv.conf", "options trust-ad")
	}
	return put(h.Path, "[dns]\ntrusted = [%q]", s.Address)
}

func trusted(list []Resolver) bool {
	for _, s := range list {
		if s.Trusted {
			return true
		}
	}
	return false
}

func addresses(list []Resolver) []string {
	var out []string
	for _, s := range list {
		out = append(out, s.Address)
	}
	return out
}

func loopback(server string) bool {
	a, err := netip.ParseAddrPort(server)
	return err == nil && a.Addr().IsLoopback()
}

// near tells whether a server is on this host, on a private network, or in the
// network of an address of this host, /24 or /64.
func (h *Host) near(server string) bool {
	ap, err := netip.ParseAddrPort(server)
	if err != nil {
		return true // not known
	}
	a := ap.Addr().Unmap()
	if a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() {
		return true
	}
	for _, own := range h.Addresses {
		own = own.Unmap()
		bits := 64
		if own.Is4() {
			bits = 24
		}
		if p, err := own.Prefix(bits); err == nil && p.Contains(a) {
			return true
		}
	}
	return false
}

// mail looks at where the newest messages came from.
func (h *Host) mail(r *report) {
	counts, all := map[netip.Addr]int{}, 0
	for _, m := range h.Mail {
		if !m.Client.IsValid() {
			continue
		}
		all++
		if !m.Relayed && !m.Skipped {
			counts[m.Client]++
		}
	}
	for client, n := range counts {
		if all < relayLeast || 100*n < relayShare*all {
			continue
		}
		r.add("behind_relay", put(h.Path, "[[trusted_relay]]\nnetworks = [%q]\nnames = [%q]", client, "relay.example.org"),
			"%d %% of the last %d messages come from %s, and are evaluated as if that host had sent them: SPF fails for all of them; if it is a relay of yours, say so, with its name after \"by\" in the Received fields that it writes",
			100*n/all, all, client)
	}
}

// The thresholds of behind_relay. Both are our choice.
const (
	relayLeast = 50 // messages: fewer say nothing
	relayShare = 80 // percent from one address: a host that gets mail from the world has less
)
