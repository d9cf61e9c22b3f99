package daemon

import (
	"cmp"
	"reflect"
	"slices"

	"dmarcgate/config"
)

// needRestart lists the settings that differ and that a reload cannot change.
func needRestart(old, new *config.Config) []string {
	var keys []string
	note := func(key string, a, b any) {
		if !reflect.DeepEqual(a, b) {
			keys = append(keys, key)
		}
	}
	note("state_dir", old.StateDir, new.StateDir)
	note("user", old.User, new.User)
	note("dns", fixedDNS(old.DNS), fixedDNS(new.DNS))
	note("store", fixedStore(old.Store), fixedStore(new.Store))
	note("privacy", old.Privacy, new.Privacy)
	note("sampling", old.Sampling, new.Sampling)
	note("admin", old.Admin, new.Admin)
	note("pages", old.Pages, new.Pages)
	note("log", fixedLog(old.Log), fixedLog(new.Log))
	note("limits", fixedLimits(old.Limits), fixedLimits(new.Limits))
	note("listener", sockets(old), sockets(new))
	return keys
}

// fixedDNS is [dns] without what a reload changes.
func fixedDNS(d config.DNS) config.DNS {
	d.Servers, d.Trusted = nil, nil
	return d
}

// fixedStore is [store] without what a reload changes. Whether there is a
// PostgreSQL at all is for a restart: what the store may delete depends on it.
func fixedStore(s config.Store) config.Store {
	url := ""
	if s.Postgres.URL != "" {
		url = "set"
	}
	s.Postgres = config.Postgres{URL: url}
	return s
}

// fixedLog is [log] without what a reload changes.
func fixedLog(l config.Log) config.Log {
	l.Level = ""
	return l
}

// fixedLimits are the limits without those that a reload changes.
func fixedLimits(l config.Limits) config.Limits {
	l.MessageBudget, l.DrainTimeout = 0, 0
	return l
}

// sockets are the listeners without what a reload changes.
func sockets(c *config.Config) []config.Listener {
	out := make([]config.Listener, len(c.Listeners))
	for i, l := range c.Listeners {
		out[i] = config.Listener{Name: l.Name, Address: l.Address, SocketMode: l.SocketMode, SocketOwner: l.SocketOwner}
	}
	slices.SortFunc(out, func(a, b config.Listener) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
