package config

import (
	"fmt"
	"net/netip"

	"dmarcgate/config/tomlfile"
	"dmarcgate/policy"
	"dmarcgate/policy/lint"
)

// trusted returns what is wrong with the lists that let mail past DMARC, or
// past part of it, with the level of each fault. What such a list holds counts
// together, over all [[trusted_relay]] tables, too.
func trusted(c *Config) []trustFault {
	var all []trustFault
	for i, l := range c.Listeners {
		all = append(all, trustFaults(lint.CheckTrusted(l.TrustedNetworks), itemsOf(tomlfile.Element("listener", i)+".trusted_networks"))...)
	}
	all = append(all, relayFaults(c.TrustedRelays)...)
	k := c.Conformant
	all = append(all, trustFaults(lint.CheckSealers(k.TrustedSealers), itemsOf("conformant.trusted_sealers"))...)
	all = append(all, trustFaults(lint.CheckForwarders(k.ForwarderNetworks), itemsOf("conformant.forwarder_networks"))...)
	return append(all, trustFaults(lint.CheckForwarderDomains(k.ForwarderDomains), itemsOf("conformant.forwarder_domains"))...)
}

// trustFault is a fault of such a list.
type trustFault struct {
	level policy.Level
	tomlfile.Fault
}

// trustFaults gives findings their places in the file.
func trustFaults(found []lint.TrustFinding, place func(item int) string) []trustFault {
	var all []trustFault
	for _, f := range found {
		all = append(all, trustFault{f.Level, tomlfile.Fault{At: place(f.Item), Text: f.Text, Fix: f.Fix}})
	}
	return all
}

// itemsOf places findings in the list at path.
func itemsOf(path string) func(int) string {
	return func(item int) string {
		if item < 0 {
			return path
		}
		return tomlfile.Element(path, item)
	}
}

// relayFaults checks the networks of all relays, inner ones included, as one
// list: from either, the next field is believed. A fault of all of
// them is told of the last.
func relayFaults(relays []TrustedRelay) []trustFault {
	var networks []netip.Prefix
	var places []string
	last := ""
	for i, r := range relays {
		for _, list := range []struct {
			key      string
			networks []netip.Prefix
		}{{".inner_networks", r.Inner}, {".networks", r.Networks}} {
			last = tomlfile.Element("trusted_relay", i) + list.key
			for j, n := range list.networks {
				networks, places = append(networks, n), append(places, tomlfile.Element(last, j))
			}
		}
	}
	return trustFaults(lint.CheckTrusted(networks), func(item int) string {
		if item < 0 {
			return last
		}
		return places[item]
	})
}

// checkTrust returns the errors among the faults of trust.
func checkTrust(c *Config) []tomlfile.Fault {
	var faults []tomlfile.Fault
	for _, f := range trusted(c) {
		if f.level == policy.Error {
			faults = append(faults, f.Fault)
		}
	}
	return faults
}

// warnings returns what can be used and is perhaps not what is meant. It is
// asked for a configuration without errors, with everything derived.
func warnings(c *Config) []tomlfile.Fault {
	faults := append(unnamed(c), openToAll(c)...)
	for _, f := range trusted(c) {
		if f.level == policy.Warning {
			faults = append(faults, f.Fault)
		}
	}
	return append(faults, reportWarnings(c)...)
}

// openToAll finds sockets that every user of the host can connect to: a milter
// believes what it is told of the client.
func openToAll(c *Config) []tomlfile.Fault {
	var faults []tomlfile.Fault
	for i, l := range c.Listeners {
		if l.Address.Network == "unix" && l.SocketMode&0o002 != 0 {
			faults = append(faults, tomlfile.Fault{
				At:   tomlfile.Element("listener", i) + ".socket_mode",
				Text: fmt.Sprintf("%04o lets every user of this host connect and claim any mail and client", l.SocketMode),
				Fix:  `write "0660", and give the socket to the MTA's group with socket_owner`,
			})
		}
	}
	return faults
}

// unnamed finds listeners whose results are written under the host name, which
// may not be the one that users know.
func unnamed(c *Config) []tomlfile.Fault {
	var faults []tomlfile.Fault
	for i, l := range c.Listeners {
		if l.AuthservID == "" && l.Address.Network == "tcp" && !l.TrustMTAName {
			faults = append(faults, tomlfile.Fault{
				At:   tomlfile.Element("listener", i) + ".authserv_id",
				Text: fmt.Sprintf("is not set, and MTA names given over TCP are not accepted: results are written under the host name, %q", c.HostName()),
				Fix:  "set authserv_id, or trust_mta_name = true if only your MTA can connect",
			})
		}
	}
	return faults
}
