package config

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"dmarcgate/config/tomlfile"
)

// Address is where a listener listens: as net.Listen takes it, or the name of
// a socket that systemd passes.
type Address struct {
	Network string // unix, tcp or systemd
	Addr    string // an absolute path, host:port, or FileDescriptorName= of the socket unit
}

// String returns the address as "unix:/path" or "tcp:host:port".
func (a Address) String() string { return a.Network + ":" + a.Addr }

// maxSocketPath is the longest path of a Unix socket: sun_path of unix(7) has
// 108 bytes, the last of which is 0.
const maxSocketPath = 107

const addressForms = `write "unix:/path", "tcp:host:port", "inet:port@host" or "systemd:name"`

// parseAddress reads the forms that Postfix (unix:, inet:host:port), Sendmail
// and OpenDMARC (local:, unix:, inet:port@host, inet6:port@host) use, and tcp:.
func parseAddress(s string) (Address, error) {
	kind, rest, _ := strings.Cut(s, ":")
	switch kind {
	case "unix", "local":
		return parseSocketPath(rest)
	case "inet", "inet6":
		if port, host, ok := strings.Cut(rest, "@"); ok {
			rest = net.JoinHostPort(strings.Trim(host, "[]"), port)
		}
		return parseTCP(rest)
	case "tcp":
		return parseTCP(rest)
	case "systemd":
		// systemd.socket(5) allows more; a name that needs escaping helps nobody.
		if rest == "" || len(rest) > 255 || !only(rest, alphanumeric+"-_.") {
			return Address{}, tomlfile.Faultf(`write the FileDescriptorName= of the socket unit, as in "systemd:milter"`, "%q is no name of a socket", rest)
		}
		return Address{Network: "systemd", Addr: rest}, nil
	}
	if filepath.IsAbs(s) {
		return Address{}, tomlfile.Faultf(fmt.Sprintf("write %q", "unix:"+s), "%q has no address type", s)
	}
	return Address{}, tomlfile.Faultf(addressForms, "%q is not an address", s)
}

func parseSocketPath(path string) (Address, error) {
	path, err := parsePath(path)
	if err == nil && len(path) > maxSocketPath {
		err = tomlfile.Faultf("choose a shorter path", "the path of a socket has at most %d bytes, this one %d", maxSocketPath, len(path))
	}
	return Address{Network: "unix", Addr: path}, err
}

func parseTCP(s string) (Address, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil || !isPort(port) {
		return Address{}, tomlfile.Faultf(`write for example "tcp:127.0.0.1:8893"`, "%q has no port between 0 and 65535", s)
	}
	if host == "" {
		return Address{}, tomlfile.Faultf(fmt.Sprintf("write %q for this host alone or %q for every interface", "tcp:127.0.0.1:"+port, "tcp:[::]:"+port), "%q has no host", s)
	}
	if !isHost(host) {
		return Address{}, tomlfile.Faultf(addressForms, "%q is not a host", host)
	}
	return Address{Network: "tcp", Addr: net.JoinHostPort(host, port)}, nil
}

// isPort allows port 0, which lets the system choose: tests want it.
func isPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return len(s) <= 253 && only(s, alphanumeric+"-.") && !strings.Contains(s, "..")
}

// parseNetwork reads a CIDR range, or an address, which is the range of itself.
func parseNetwork(s string) (netip.Prefix, error) {
	const example = `write for example "192.0.2.0/24", "2001:db8::/32" or "192.0.2.7"`
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Zone() != "" || a.Is4In6() {
			return netip.Prefix{}, tomlfile.Faultf(fmt.Sprintf("write %q", a.Unmap().WithZone("")), "%q is not in its plain form", s)
		}
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return netip.Prefix{}, tomlfile.Faultf(example, "%q is not a network or an address", s)
	case p.Addr().Is4In6():
		return netip.Prefix{}, tomlfile.Faultf(example, "%q is an IPv4 network in IPv6 form", s)
	case p.Bits() == 0:
		return netip.Prefix{}, tomlfile.Faultf(`to enforce nothing, use profile = "monitor"`, "%q trusts every host", s)
	case p != p.Masked():
		return netip.Prefix{}, tomlfile.Faultf(fmt.Sprintf("write %q for the network or %q for the host", p.Masked(), p.Addr()), "%q has host bits set", s)
	}
	return p, nil
}

// parseServer reads the address of a name server and returns it as "ip:port",
// with port 53 when there is none.
func parseServer(s string) (string, error) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return netip.AddrPortFrom(a, 53).String(), nil
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil || ap.Port() == 0 {
		return "", tomlfile.Faultf(`write an address, "192.0.2.53", or an address and a port, "[2001:db8::53]:5353"`, "%q is not the address of a name server", s)
	}
	return ap.String(), nil
}

// parseAdmin reads where the HTTP listener listens. Empty is off.
func parseAdmin(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	if port, ok := strings.CutPrefix(s, "localhost:"); ok {
		s = "127.0.0.1:" + port
	}
	if _, err := netip.ParseAddrPort(s); err != nil {
		return "", tomlfile.Faultf(`write an address and a port, "127.0.0.1:9435", or "" for none`, "%q is not an address and a port", s)
	}
	return s, nil
}

// parseHostName reads the name of a host of ours, in lower case.
func parseHostName(s string) (string, error) {
	if s == "" || !isHost(s) {
		return "", tomlfile.Faultf(`write for example "relay.example.org"`, "%q is not the name of a host", s)
	}
	return strings.ToLower(strings.TrimSuffix(s, ".")), nil
}

// checkOwner checks "user", "user:group" or ":group". Whether they exist is for
// the start to find out: a configuration can be checked on any host.
func checkOwner(s string) error {
	user, group, colon := strings.Cut(s, ":")
	if s != "" && (colon && group == "" || !only(user+group, alphanumeric+"-_.")) {
		return tomlfile.Faultf(`write for example ":postfix" for the group alone, or "postfix:postfix"`, "%q is not a user and a group", s)
	}
	return nil
}

// checkUser checks "user" or "user:group".
func checkUser(s string) error {
	if strings.HasPrefix(s, ":") || checkOwner(s) != nil {
		return tomlfile.Faultf(`write for example "dmarcgate", or "dmarcgate:dmarcgate" with its group`, "%q is not a user", s)
	}
	return nil
}

// ParseSomeNetwork reads a CIDR range, or an address, which is the range of
// itself. It refuses the range of all hosts, for keys that are about some.
func ParseSomeNetwork(s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil && p.Bits() == 0 {
		return netip.Prefix{}, tomlfile.Faultf("name the intended networks, or remove the key", "%q is every host", s)
	}
	return parseNetwork(s)
}
