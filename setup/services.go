package setup

import (
	"net"
	"slices"
	"strings"

	"dmarcgate/mta/postfix"
)

// role is what an smtpd service of Postfix is for.
type role uint8

const (
	receives  role = iota // takes mail from other hosts: the daemon has to see it
	submits               // takes mail of authenticated users
	reinjects             // takes mail back from a content filter of this host
	unasked               // asks no milter, as its administrator has decided
)

// submissionPorts are the services that RFC 6409 and RFC 8314 name.
var submissionPorts = []string{"submission", "submissions", "smtps", "587", "465"}

// roleOf tells what a service is for, by its name and its overrides.
func roleOf(i *postfix.Instance, s postfix.Service) role {
	host, port := endpoint(s)
	written, overridden := s.Overrides["smtpd_milters"]
	filter, unfiltered := s.Overrides["content_filter"]
	_, forwarded := s.Overrides["smtpd_authorized_xforward_hosts"]
	switch {
	case noMilters(i, s), overridden && strings.TrimSpace(written) == "":
		return unasked
	case isLoopback(host) && (unfiltered && filter == "" || forwarded || onlyLoopback(s.Overrides["mynetworks"])):
		return reinjects
	case slices.Contains(submissionPorts, port):
		return submits
	}
	return receives
}

func noMilters(i *postfix.Instance, s postfix.Service) bool {
	words := strings.FieldsFunc(i.Value(s, "receive_override_options"), func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })
	return slices.Contains(words, "no_milters")
}

// endpoint splits the name of a service of type inet into host and port; host is
// "" for every address of inet_interfaces.
func endpoint(s postfix.Service) (host, port string) {
	if i := strings.LastIndexByte(s.Name, ':'); i >= 0 && s.Type == "inet" {
		return strings.Trim(s.Name[:i], "[]"), s.Name[i+1:]
	}
	return "", s.Name
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// onlyLoopback reports whether a list of networks has nothing but this host.
func onlyLoopback(networks string) bool {
	words := strings.FieldsFunc(networks, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })
	return len(words) > 0 && !slices.ContainsFunc(words, func(w string) bool {
		host, _, _ := strings.Cut(w, "/")
		return !isLoopback(strings.Trim(host, "[]"))
	})
}
