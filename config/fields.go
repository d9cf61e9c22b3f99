package config

import (
	"fmt"
	"net/netip"
	"slices"

	"dmarcgate/config/tomlfile"
)

// fields is the table of the keys that stand outside [[listener]],
// [[trusted_relay]] and [[reports.destination]]: each key once, with the place of its value and the values
// that the key may have.
func fields(c *Config) []tomlfile.Field {
	return slices.Concat(mailFields(c), dnsFields(c), serviceFields(c), reportFields(c))
}

// Keys returns every key that a file may have, those of the tables that repeat
// as "listener.name", "trusted_relay.names" and "reports.destination.host".
func Keys() []string {
	var keys []string
	for _, list := range [][]tomlfile.Field{fields(&Config{}), listenerFields("listener", &Listener{}), relayFields("trusted_relay", &TrustedRelay{}), destinationFields("reports.destination", &ReportDestination{})} {
		for _, f := range list {
			keys = append(keys, f.Key)
		}
	}
	return keys
}

// effect says what another value of a key does to the decision about a message
// that is stored, which what-if has to know.
type effect uint8

const (
	shapesFacts effect = iota // the message could have had other facts: see Keys of site/shape
	applied                   // the message is decided by the value, as the daemon would
	neutral                   // the decision is the same, see Neutral
)

// Applied reports whether stored messages are decided by the value of a key, as
// the daemon would.
func Applied(key string) bool { return effectOf(key) == applied }

// Neutral reports whether no decision about a stored message depends on a key. Two
// assumptions are behind that: other mail, and the history that the store has of
// senders, are as they were; so are the names of hosts, the files that a key names,
// and the clock.
func Neutral(key string) bool { return effectOf(key) == neutral }

func effectOf(key string) effect {
	for _, effects := range []map[string]effect{mailEffects, dnsEffects, serviceEffects, reportEffects, listenerEffects} {
		if e := effects[key]; e != shapesFacts {
			return e
		}
	}
	return shapesFacts
}

// validate returns what is wrong with values that have been read, each fault
// with the path of its key.
func validate(c *Config) []tomlfile.Fault {
	all := fields(c)
	for i := range c.Listeners {
		all = append(all, listenerFields(tomlfile.Element("listener", i), &c.Listeners[i])...)
	}
	for i := range c.Reports.Destinations {
		all = append(all, destinationFields(tomlfile.Element("reports.destination", i), &c.Reports.Destinations[i])...)
	}
	var faults []tomlfile.Fault
	for _, f := range all {
		if f.Check == nil {
			continue
		}
		if err := f.Check(); err != nil {
			faults = append(faults, tomlfile.FaultAt(f.Key, err))
		}
	}
	faults = append(append(faults, checkListeners(c.Listeners)...), checkTogether(c)...)
	return append(faults, checkTrust(c)...)
}

// checkTogether checks what concerns several keys.
func checkTogether(c *Config) []tomlfile.Fault {
	faults := slices.Concat(checkDNS(c.DNS), checkStore(c), checkReports(c.Reports))
	if c.DNS.QueryTimeout > c.DNS.Timeout {
		faults = append(faults, tomlfile.Fault{
			At: "dns.query_timeout", Or: "dns.timeout",
			Text: fmt.Sprintf("%v is longer than dns.timeout, %v", c.DNS.QueryTimeout, c.DNS.Timeout),
			Fix:  "set a longer dns.timeout: a lookup needs one or more queries",
		})
	}
	if c.DNS.Timeout >= c.Limits.MessageBudget {
		faults = append(faults, tomlfile.Fault{
			At: "dns.timeout", Or: "limits.message_budget",
			Text: fmt.Sprintf("%v does not fit into limits.message_budget, %v", c.DNS.Timeout, c.Limits.MessageBudget),
			Fix:  "set a longer budget: a message needs several lookups",
		})
	}
	if c.Limits.HeaderBytes > c.Limits.HeaderMemory {
		faults = append(faults, tomlfile.Fault{
			At: "limits.header_bytes", Or: "limits.header_memory",
			Text: fmt.Sprintf("%v does not fit into limits.header_memory, %v", c.Limits.HeaderBytes, c.Limits.HeaderMemory),
			Fix:  "raise limits.header_memory, better to 32 times this value: one message would take all of the memory",
		})
	}
	if c.Admin.Listen != "" && !c.Admin.AllowRemote && !isLoopback(c.Admin.Listen) {
		faults = append(faults, tomlfile.Fault{
			At:   "admin.listen",
			Text: fmt.Sprintf("%q can be reached from other hosts, without a password", c.Admin.Listen),
			Fix:  `write "127.0.0.1:9435", or also allow_remote = true behind a firewall`,
		})
	}
	return faults
}

func isLoopback(s string) bool {
	ap, err := netip.ParseAddrPort(s)
	return err == nil && ap.Addr().Unmap().IsLoopback()
}
