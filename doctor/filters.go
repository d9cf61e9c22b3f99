package doctor

import (
	"net"
	"path"
	"slices"
	"strings"

	"dmarcgate/config"
	"dmarcgate/mta/postfix"
	"dmarcgate/term"
)

// Filter is another milter of the host that writes Authentication-Results.
type Filter struct {
	Kind       string         // opendkim or opendmarc
	File       string         // its configuration file
	Socket     config.Address // where it listens
	Verifies   bool           // it evaluates mail from outside, and writes results
	AuthservID string         // under which name; "" is the name of the MTA
}

// ReadFilter reads the configuration of OpenDKIM or OpenDMARC, as far as it
// matters here. hostName is what HOSTNAME in it stands for.
func ReadFilter(kind, file, text, hostName string) Filter {
	f := Filter{Kind: kind, File: file, Verifies: true}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch strings.ToLower(words[0]) {
		case "mode":
			f.Verifies = kind != "opendkim" || strings.Contains(strings.ToLower(words[1]), "v")
		case "authservid":
			if f.AuthservID = words[1]; f.AuthservID == "HOSTNAME" {
				f.AuthservID = hostName
			}
		case "socket":
			f.Socket = filterSocket(words[1])
		}
	}
	return f
}

// filterSocket reads the address of a milter as libmilter has it.
func filterSocket(text string) config.Address {
	kind, rest, found := strings.Cut(text, ":")
	switch {
	case !found:
		return config.Address{Network: "unix", Addr: text}
	case kind == "local" || kind == "unix":
		return config.Address{Network: "unix", Addr: rest}
	}
	port, host, at := strings.Cut(rest, "@")
	if !at {
		host = "localhost"
	}
	return config.Address{Network: "tcp", Addr: net.JoinHostPort(strings.Trim(host, "[]"), port)}
}

// filterAt returns the filter that a milter leads to: by its socket, or by the
// name in its path where the socket is given elsewhere.
func (h *Host) filterAt(i *postfix.Instance, s postfix.Service, m postfix.Milter) (Filter, bool) {
	network, at, ok := m.Socket(i.QueueDir(), i.Chrooted(s))
	if !ok {
		return Filter{}, false
	}
	for _, f := range h.Filters {
		if sameSocket(network, at, f.Socket) {
			return f, true
		}
	}
	for _, f := range h.Filters {
		if network == "unix" && strings.Contains(path.Base(path.Dir(at))+"/"+path.Base(at), f.Kind) {
			return f, true
		}
	}
	return Filter{}, false
}

// neighbours looks at the milters before and after ours.
func (h *Host) neighbours(r *report, o hop) {
	mta := o.i.Values["myhostname"]
	ours := o.listener.AuthservID
	if ours == "" {
		ours = mta
	}
	for n, m := range o.list {
		f, known := h.filterAt(o.i, o.s, m)
		if n == o.at || !known || !f.Verifies {
			continue
		}
		id := f.AuthservID
		if id == "" {
			id = mta
		}
		removed := slices.ContainsFunc(append(h.Config.OwnIDs(), ours, mta), func(s string) bool { return strings.EqualFold(s, id) })
		switch {
		case n > o.at && strings.EqualFold(id, ours) && f.Kind == "opendkim":
			r.once("opendkim_after", put(f.File, "Mode s"),
				"OpenDKIM comes after dmarcgate in the milters of %s, checks signatures and writes results as %s too: it deletes the field of dmarcgate; let OpenDKIM only sign, since dmarcgate checks signatures itself", o.s.ID(), term.Printable(id))
		case n > o.at && strings.EqualFold(id, ours):
			r.once("filter_same_id", put(f.File, "AuthservID %s.%s", f.Kind, id), "%s comes after dmarcgate in the milters of %s and writes results under the same name, %s: readers cannot tell whose results they see", f.Kind, o.s.ID(), term.Printable(id))
		case n < o.at && removed:
			fixes := put(f.File, "AuthservID %s.%s", f.Kind, id)
			if f.Kind == "opendkim" {
				fixes = put(f.File, "Mode s")
			}
			r.once("filter_removed", fixes, "%s comes before dmarcgate in the milters of %s and writes results as %s: dmarcgate removes these results as forged, and writes its own", f.Kind, o.s.ID(), term.Printable(id))
		}
	}
}
