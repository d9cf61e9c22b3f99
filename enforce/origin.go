package enforce

import (
	"net/netip"
	"slices"

	"dmarcgate/message"
	"dmarcgate/milter"
	"dmarcgate/policy"
)

// maxHops is how many of our own relays may stand in front of each other.
const maxHops = 5

// Relay is a set of hosts of ours that hand over mail from outside.
type Relay struct {
	Networks []netip.Prefix // where they connect from
	Names    []string       // their names after "by" in Received, in lower case
}

// client is where a message came from.
type client struct {
	addr       netip.Addr
	name, helo string
	tls        bool
	relay      netip.Addr // set when addr and helo were read from a Received field; the others are not known then
}

// origin returns the client to evaluate, and why the message is not evaluated,
// if it is not. Submissions and mail of our own hosts are not what a domain
// owner's policy speaks about.
func (s Settings) origin(env *milter.Envelope, h message.Header) (client, policy.Skip) {
	c := client{addr: env.Client, name: env.ClientName, helo: env.Helo, tls: env.TLS != ""}
	switch {
	case env.Authenticated != "":
		return c, policy.Authenticated
	case !c.addr.IsValid():
		return c, policy.NotIP
	case s.relayed(c.addr):
		inner, ok := s.behind(c.addr, h)
		if !ok {
			return c, policy.BehindRelay
		}
		c = inner
	}
	switch {
	case c.addr.IsLoopback():
		return c, policy.Loopback
	case within(s.Trusted, c.addr):
		return c, policy.TrustedNetwork
	}
	return c, policy.Evaluated
}

// relayed reports whether a client is one of our relays.
func (s Settings) relayed(a netip.Addr) bool {
	return slices.ContainsFunc(s.Relays, func(r Relay) bool { return within(r.Networks, a) })
}

// behind reads the client from the Received field that our relay wrote, which
// is the topmost one: what stands below came with the message and can be
// forged. When that client is a relay of ours, too, the next field is its.
func (s Settings) behind(relay netip.Addr, h message.Header) (client, bool) {
	at := relay
	for i, f := range h.Named("Received") {
		if i == maxHops {
			break
		}
		got, ok := message.ParseReceived(f)
		if !ok || !s.wrote(at, got.By) {
			return client{}, false
		}
		if at = got.Client; !s.relayed(at) {
			return client{addr: at, helo: got.Helo, relay: relay}, true
		}
	}
	return client{}, false
}

// wrote reports whether a field that says it is by this host can be the one of
// the relay at an address.
func (s Settings) wrote(at netip.Addr, by string) bool {
	return slices.ContainsFunc(s.Relays, func(r Relay) bool {
		return within(r.Networks, at) && slices.Contains(r.Names, by)
	})
}

func within(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
}
