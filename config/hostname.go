package config

import (
	"os"
	"slices"
	"strings"

	"dmarcgate/auth/authres"
)

// hostNames are what this host is called, without asking the DNS: a
// configuration can be checked on any host, and a start must not wait.
type hostNames struct {
	full string // with a dot where one is known
	all  []string
}

// localNames reads the names of this host. A file that cannot be read says
// nothing.
func localNames() (hostNames, error) {
	host, err := os.Hostname()
	if err != nil {
		return hostNames{}, err
	}
	hosts, _ := readFile("/etc/hosts")
	resolv, _ := readFile("/etc/resolv.conf")
	return namesOf(host, string(hosts), string(resolv))
}

// namesOf completes a host name as "hostname --fqdn" does: with the canonical
// name of its line in hosts(5), else with the domain of resolv.conf(5).
func namesOf(host, hosts, resolv string) (hostNames, error) {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if _, err := parseID(host); err != nil {
		return hostNames{}, err
	}
	n := hostNames{full: host, all: []string{host}}
	if authres.IsHostID(host) {
		return n, nil
	}
	for _, full := range []string{canonicalName(host, hosts), host + "." + searchDomain(resolv)} {
		if authres.IsHostID(full) {
			return hostNames{full: full, all: []string{full, host}}, nil
		}
	}
	return n, nil
}

// canonicalName returns the first name with a dot on a line of hosts(5) that
// has host, or "". "localhost.localdomain" is the name of every host.
func canonicalName(host, hosts string) string {
	for line := range strings.Lines(strings.ToLower(hosts)) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) < 3 || !slices.Contains(words[1:], host) {
			continue
		}
		for _, name := range words[1:] {
			if strings.Contains(name, ".") && !strings.HasPrefix(name, "localhost.") {
				return name
			}
		}
	}
	return ""
}

// searchDomain returns the first domain that resolv.conf(5) has for short
// names, or "".
func searchDomain(resolv string) string {
	for line := range strings.Lines(strings.ToLower(resolv)) {
		if words := strings.Fields(line); len(words) > 1 && (words[0] == "search" || words[0] == "domain") {
			return strings.Trim(words[1], ".")
		}
	}
	return ""
}
