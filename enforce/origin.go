package enforce

import (
	"net/netip"
	"slices"

	"dmarcgate/message"
	"dmarcgate/milter"
	"dmarcgate/policy"
)

// Limits of the way from the relay that connects to the client.
const (
	// maxHops is how many of our own hosts may stand behind each other.
	maxHops = 5
	// maxReadings is how many Received fields are read: each host may write
	// three, two of them about itself, as a content filter has it.
	maxReadings = 3 * maxHops
)

// Relay is a set of hosts of ours that hand over mail from outside.
type Relay struct {
	Networks []netip.Prefix // where they connect from
	Inner    []netip.Prefix // hosts of ours that hand mail to them, and never connect here
	Names    []string       // their names after "by" in Received, in lower case
}

// client is where a message came from.
type client struct {
	addr       netip.Addr
	name, helo string
	tls        bool
	relay      netip.Addr           // set when addr and helo were looked for in Received fields; the others are not known then
	unknown    policy.UnknownClient // why addr is zero, if the message came over SMTP
}

// origin returns the client to evaluate, and why the message is not evaluated,
// if it is not. Submissions and mail of our own hosts are not what a domain
// owner's policy speaks about.
func (s Settings) origin(env *milter.Envelope, h message.Header) (client, policy.Skip) {
	c := client{addr: env.Client, name: env.ClientName, helo: env.Helo, tls: env.TLS != ""}
	switch {
	case env.Authenticated != "":
		return s.submitted(c, h)
	case !c.addr.IsValid() && env.Local:
		return c, policy.NotIP
	case env.Local: // and no relay of ours, which comes over the network
		return c, policy.Loopback
	case !c.addr.IsValid():
		c.name, c.unknown = "", policy.ClientNoAddress
	case s.relayed(c.addr):
		// What follows is about clients of this host, and says nothing of an
		// address in a Received field.
		return s.behind(c.addr, h)
	case c.addr.IsLoopback():
		return c, policy.Loopback
	case within(s.Trusted, c.addr):
		return c, policy.TrustedNetwork
	}
	return c, policy.Evaluated
}

// submitted is about a client that has authenticated here. A relay that does so
// for the mail of others has submitted nothing; where it wrote no field that
// can be read, a user with an address of its networks has.
func (s Settings) submitted(c client, h message.Header) (client, policy.Skip) {
	if s.relayed(c.addr) {
		if inner, skip := s.behind(c.addr, h); inner.unknown == policy.ClientKnown {
			return inner, skip
		}
	}
	return c, policy.Authenticated
}

// relayed reports whether a client is one of our relays.
func (s Settings) relayed(a netip.Addr) bool { return len(relaysAt(s.Relays, a)) > 0 }

// relaysAt returns the relays that connect from an address.
func relaysAt(relays []Relay, a netip.Addr) []Relay {
	return filter(relays, func(r Relay) bool { return within(r.Networks, a) })
}

// behind reads the client from the Received field that our relay wrote, which
// is the topmost one: what stands below came with the message and can be
// forged. When that client is the relay itself, another one or an inner host of
// its, the next field was written by us, too. A client that has authenticated
// at a relay has submitted the message.
func (s Settings) behind(relay netip.Addr, h message.Header) (client, policy.Skip) {
	c := client{relay: relay}
	here, local, hops := relaysAt(s.Relays, relay), false, 1
	fields := h.Named("Received")
	for _, f := range fields[:min(len(fields), maxReadings)] {
		got, ok := message.ParseReceived(f)
		if !ok {
			return c.lost(policy.ClientUnreadable)
		}
		wrote := filter(here, func(r Relay) bool { return slices.Contains(r.Names, got.By) })
		if local && isLocalName(got.By) {
			wrote = here
		}
		if len(wrote) == 0 {
			return c.lost(policy.ClientOtherHost)
		}
		next := s.inward(wrote, got.Client)
		switch local = got.Client.IsLoopback(); {
		case got.Authenticated && len(next) == 0: // a loopback client has submitted, too
			c.addr, c.helo = got.Client, got.Helo
			return c, policy.Authenticated
		case local:
			here = wrote
		case len(next) == 0:
			c.addr, c.helo = got.Client, got.Helo
			return c, policy.Evaluated
		case hops == maxHops:
			return c.lost(policy.ClientTooFar)
		default:
			here, hops = next, hops+1
		}
	}
	if len(fields) > maxReadings {
		return c.lost(policy.ClientTooFar)
	}
	return c.lost(policy.ClientNoField)
}

// lost is a client that is not known.
func (c client) lost(why policy.UnknownClient) (client, policy.Skip) {
	c.unknown = why
	return c, policy.Evaluated
}

// inward returns the relays whose field comes next when the relays that may
// have written one name this client in it: any at whose address it is, and
// those that have it as an inner host. There is none for a client from outside.
func (s Settings) inward(wrote []Relay, a netip.Addr) []Relay {
	inner := filter(wrote, func(r Relay) bool { return within(r.Inner, a) })
	return append(inner, relaysAt(s.Relays, a)...)
}

// isLocalName reports whether a name is what content filters call their own
// host in "by": amavis and Sophos write localhost.
func isLocalName(by string) bool {
	return slices.Contains([]string{"localhost", "localhost.localdomain", "ip6-localhost"}, by)
}

func filter(relays []Relay, keep func(Relay) bool) []Relay {
	var out []Relay
	for _, r := range relays {
		if keep(r) {
			out = append(out, r)
		}
	}
	return out
}

func within(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
}
