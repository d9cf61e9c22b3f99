package migrate

import (
	"path"
	"strings"

	"dmarcgate/term"
)

// walkMode sets how records are found: by DMARCbisWalkMode of the develop branch, else
// as OpenDMARC 1.4 does with a list and without.
func walkMode(o *opendmarc, e entry) {
	switch strings.ToLower(e.value) {
	case "rfc9989":
		o.set(e.place, "discovery", "method", `"treewalk"`)
	case "psl":
		o.set(e.place, "discovery", "method", `"psl"`)
	case "auto", "rfc7489":
		o.set(e.place, "discovery", "method", `"psl"`)
		o.warn(e.place, `%s becomes method = "psl": dmarcgate does not go from label to label where the list has no answer`, printable(e.value))
	default:
		o.warn(e.place, `left out: %s is no mode that this import knows; method = "treewalk" is RFC 9989`, printable(e.value))
	}
}

// suffixes takes PublicSuffixList, behind DMARCbisWalkMode.
func (o *opendmarc) suffixes() {
	e, written := o.keys["publicsuffixlist"]
	_, chosen := o.keys["dmarcbiswalkmode"]
	switch {
	case !written && !chosen:
		o.warn(o.key("PublicSuffixList"), "not set: OpenDMARC 1.4 finds no record of an organization for its subdomains; dmarcgate does, by the tree walk of RFC 9989")
		return
	case !written:
		return
	case !chosen:
		o.set(e.place, "discovery", "method", `"psl"`)
		o.warn(e.place, `becomes method = "psl", as OpenDMARC finds records; "treewalk" is the present standard (RFC 9989). compare = true tells where the two differ`)
	}
	file := o.path(e.value)
	if o.in.Read == nil {
		return
	}
	if _, err := o.in.Read(file); err != nil {
		o.warn(e.place, "the built-in list is used, because %s is not read: %v", printable(file), err)
		return
	}
	o.set(e.place, "discovery", "psl_file", quote(file))
}

// queueDirectory is where a chrooted Postfix finds sockets.
const queueDirectory = "/var/spool/postfix"

// socket sets where the daemon listens. A socket of OpenDMARC lies in a directory of
// OpenDMARC, so that of dmarcgate has a place of its own; a port can stay.
func socket(o *opendmarc, e entry) {
	kind, rest, _ := strings.Cut(e.value, ":")
	switch {
	case path.IsAbs(e.value):
		kind, rest = "local", e.value
	case strings.HasPrefix(kind, "inet") && !strings.Contains(rest, "@"):
		o.warn(e.place, "OpenDMARC listens on all interfaces at this port; dmarcgate listens on this host alone, because a milter has no password")
		rest += "@localhost"
	}
	switch {
	case kind == "local" || kind == "unix":
		ours, owner := "/run/dmarcgate/milter.sock", ""
		if strings.HasPrefix(path.Clean(rest), queueDirectory+"/") {
			ours, owner = queueDirectory+"/dmarcgate/milter.sock", ":postfix"
			o.set(e.place, "listener", "socket_owner", quote(owner))
		}
		o.set(e.place, "listener", "address", quote("unix:"+ours))
		o.warn(e.place, "the socket moves: write unix:%s for %s in the MTA's list of milters", strings.TrimPrefix(ours, queueDirectory+"/"), printable(e.value))
	case kind == "inet" || kind == "inet6":
		o.set(e.place, "listener", "address", quote(kind+":"+rest))
		o.warn(e.place, "the port stays, so OpenDMARC must be stopped before dmarcgate starts; names of MTAs over TCP are believed only with trust_mta_name = true")
	default:
		o.warn(e.place, "left out: %s is no socket", printable(e.value))
	}
}

func shellPath(p string) string { return term.ShellWord(term.Printable(p)) }
