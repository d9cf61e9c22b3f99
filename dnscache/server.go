package dnscache

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// server is a recursive server in a list. Its health is shared with the same
// server in the lists before and after.
type server struct {
	addr    netip.AddrPort
	trusted bool // its AD bit and its "bogus" are believed
	*health
}

// ServerStatus is what is known of a server, for operators.
type ServerStatus struct {
	Address  string        // "ip:port"
	Trusted  bool          // its AD bit is believed
	Down     bool          // it is not asked, but checked
	Since    time.Time     // of Down; zero when up
	Failures int           // queries without a readable reply since the last one with
	Queries  uint64        // sent to it, check queries among them
	RTT      time.Duration // from query to reply, smoothed; 0 before the first reply
	Err      string        // the last of Failures; empty when there is none
}

// SetServers replaces the servers: trusted are those of servers whose AD bit
// is believed, each as "ip:port". A server that stays keeps its health; one
// listed twice counts once, where it stands first. Lookups under way go on
// with the old list. With an error nothing has changed.
func (r *Resolver) SetServers(servers, trusted []string) error {
	addrs, err := parseServers(servers)
	if err != nil {
		return err
	}
	believed, err := parseTrusted(trusted, addrs)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var old, list []*server
	if p := r.servers.Load(); p != nil {
		old = *p
	}
	for _, addr := range addrs {
		s := &server{addr: addr, trusted: slices.Contains(believed, addr), health: new(health)}
		if before := findServer(old, addr); before != nil {
			s.health = before.health
		}
		list = append(list, s)
	}
	r.servers.Store(&list)
	for _, s := range old {
		if findServer(list, s.addr) == nil {
			s.retire()
		}
	}
	return nil
}

// Servers returns the servers in the order in which they are asked.
func (r *Resolver) Servers() []ServerStatus {
	var list []ServerStatus
	for _, s := range *r.servers.Load() {
		st := s.status()
		st.Address, st.Trusted = s.addr.String(), s.trusted
		list = append(list, st)
	}
	return list
}

func findServer(list []*server, addr netip.AddrPort) *server {
	for _, s := range list {
		if s.addr == addr {
			return s
		}
	}
	return nil
}

// allDown reports whether there is no server to ask.
func allDown(list []*server) bool {
	return !slices.ContainsFunc(list, func(s *server) bool { return !s.isDown() })
}

// upFirst returns the servers that are up, then those that are down.
func upFirst(list []*server) []*server {
	var up, down []*server
	for _, s := range list {
		if s.isDown() {
			down = append(down, s)
		} else {
			up = append(up, s)
		}
	}
	return append(up, down...)
}

func parseServers(list []string) ([]netip.AddrPort, error) {
	if len(list) == 0 {
		return nil, errors.New("dnscache: no servers")
	}
	var servers []netip.AddrPort
	for _, text := range list {
		addr, err := netip.ParseAddrPort(text)
		if err != nil || addr.Port() == 0 {
			return nil, fmt.Errorf("dnscache: server %q is not ip:port", text)
		}
		addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
		if !slices.Contains(servers, addr) {
			servers = append(servers, addr)
		}
	}
	return servers, nil
}

func parseTrusted(list []string, servers []netip.AddrPort) ([]netip.AddrPort, error) {
	if len(list) == 0 {
		return nil, nil
	}
	trusted, err := parseServers(list)
	if err != nil {
		return nil, err
	}
	for _, addr := range trusted {
		if !slices.Contains(servers, addr) {
			return nil, fmt.Errorf("dnscache: %v is trusted, but none of the servers", addr)
		}
	}
	return trusted, nil
}
