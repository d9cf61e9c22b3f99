package dnscache

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/miekg/dns"
)

// maxNameservers is MAXNS of resolv.conf(5): the C library reads no more.
const maxNameservers = 3

// ResolvConf returns the name servers of a resolv.conf(5) file as "ip:53", at
// most the first three. It fails when the file cannot be read or names none:
// the C library would then try the local host, but a mail filter had better
// say that it has no resolver.
func ResolvConf(path string) ([]string, error) {
	conf, err := dns.ClientConfigFromFile(path)
	if err != nil {
		return nil, err
	}
	var servers []string
	for _, s := range conf.Servers {
		if _, err := netip.ParseAddr(s); err == nil && len(servers) < maxNameservers {
			servers = append(servers, net.JoinHostPort(s, "53"))
		}
	}
	if len(servers) == 0 {
		return nil, fmt.Errorf("%s: no nameserver", path)
	}
	return servers, nil
}
