package config

import (
	"fmt"
	"io/fs"
	"net/netip"
	"slices"

	"dmarcgate/config/tomlfile"
	"dmarcgate/policy"
)

// The keys of [[listener]] and [[trusted_relay]]: place, default and range.

// Listener is one place where MTAs connect, with what is done for them.
type Listener struct {
	Name            string // [a-z0-9-]{1,32}, unique; a metric label
	Address         Address
	AuthservID      string         // our name here; Config.AuthservID when not set
	TrustMTAName    bool           // take the name of an MTA that connects over TCP, too
	SocketMode      fs.FileMode    // permission bits of a Unix socket
	SocketOwner     string         // "user", "user:group" or ":group" of a Unix socket; "" is the daemon's own
	Profile         policy.Profile // has no default in the file
	EnforceShare    uint8          // percent of the messages for which Profile holds, 1 to 100; the others are only observed
	Quarantine      policy.Action  // policy.Tag, Hold or Refuse
	TrustedNetworks []netip.Prefix // mail from here is cleaned of forged fields and not evaluated
}

// TrustedRelay is a set of our own hosts that hand over mail from outside. The
// client is then read from the Received field that such a host wrote.
type TrustedRelay struct {
	Networks []netip.Prefix // where they connect from
	Names    []string       // their names after "by" in Received
	Inner    []netip.Prefix // hosts of ours that hand mail to them
}

// defaultListener returns the listener of a table that sets nothing.
func defaultListener() Listener {
	return Listener{SocketMode: 0o660, EnforceShare: 100, Quarantine: policy.Tag}
}

// listenerFields is the same for the [[listener]] at path.
func listenerFields(path string, l *Listener) []tomlfile.Field {
	return []tomlfile.Field{
		tomlfile.Required(`write for example name = "mta"`,
			tomlfile.Text(path+".name", &l.Name, checkName)),
		tomlfile.Required(`write for example address = "unix:/run/dmarcgate/milter.sock"`,
			tomlfile.Parsed(path+".address", &l.Address, parseAddress)),
		tomlfile.Text(path+".authserv_id", &l.AuthservID, checkAuthservID),
		tomlfile.Flag(path+".trust_mta_name", &l.TrustMTAName),
		tomlfile.Parsed(path+".socket_mode", &l.SocketMode, parseMode),
		tomlfile.Text(path+".socket_owner", &l.SocketOwner, checkOwner),
		tomlfile.Required(`write profile = "monitor" to record and enforce nothing, or "conformant" or "strict"`,
			tomlfile.WordOf(path+".profile", &l.Profile, policy.Monitor, policy.Conformant, policy.Strict)),
		tomlfile.Share(path+".enforce_share", &l.EnforceShare, `to enforce nothing, write profile = "monitor"`),
		tomlfile.WordOf(path+".quarantine", &l.Quarantine, policy.Tag, policy.Hold, policy.Reject),
		tomlfile.List(path+".trusted_networks", &l.TrustedNetworks, parseNetwork),
	}
}

// listenerEffects has the keys above that shape no facts: see effect.
var listenerEffects = map[string]effect{
	"listener.name":             applied,
	"listener.profile":          applied,
	"listener.enforce_share":    applied,
	"listener.quarantine":       applied,
	"listener.trusted_networks": applied, // see origin in whatif
	"listener.address":          neutral,
	"listener.socket_mode":      neutral,
	"listener.socket_owner":     neutral,
}

// relayFields is the same for the [[trusted_relay]] at path.
func relayFields(path string, r *TrustedRelay) []tomlfile.Field {
	return []tomlfile.Field{
		tomlfile.Required(`write for example networks = ["192.0.2.25"]`,
			tomlfile.List(path+".networks", &r.Networks, parseNetwork)),
		tomlfile.Required(`write the names that these hosts give after "by" in Received, for example names = ["relay.example.org"]`,
			tomlfile.List(path+".names", &r.Names, parseHostName)),
		tomlfile.List(path+".inner_networks", &r.Inner, parseNetwork),
	}
}

// checkListeners checks what concerns several listeners.
func checkListeners(ls []Listener) []tomlfile.Fault {
	if len(ls) == 0 {
		return []tomlfile.Fault{{At: "listener", Text: "there is none", Fix: "add a [[listener]] table with name, address and profile"}}
	}
	var faults []tomlfile.Fault
	for i, l := range ls {
		path := tomlfile.Element("listener", i)
		if slices.ContainsFunc(ls[:i], func(o Listener) bool { return o.Name == l.Name }) {
			faults = append(faults, tomlfile.Fault{
				At:   path + ".name",
				Text: fmt.Sprintf("another listener is named %q", l.Name),
				Fix:  "give each listener its own name",
			})
		}
		if slices.ContainsFunc(ls[:i], func(o Listener) bool { return o.Address == l.Address }) {
			faults = append(faults, tomlfile.Fault{
				At:   path + ".address",
				Text: fmt.Sprintf("another listener has %v", l.Address),
				Fix:  "give each listener its own address",
			})
		}
	}
	return faults
}
