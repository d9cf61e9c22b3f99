package upstream

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

// Status is what is known of a server, for operators.
type Status struct {
	Address  string        // "ip:port"
	Trusted  bool          // its AD bit is believed
	Down     bool          // it is not queried, but checked
	Since    time.Time     // of Down; zero when up
	Failures int           // queries without a readable reply since the last one with
	Queries  uint64        // sent to it, check queries among them
	RTT      time.Duration // from query to reply, smoothed; 0 before the first reply
	Err      string        // the last of Failures; empty when there is none

	Window   int       // how many queries may be in flight
	InFlight int       // how many are
	GivenUp  int       // queries that we do not wait for any more, but the server may; they count beside InFlight
	Refusing time.Time // since when it refuses or drops queries, because there are too many or all of them; zero when it does not
	Refusal  string    // what it did then; empty without Refusing

	// FailingAtOne is since when it has failed every check query, with its
	// window at one; zero when it has not. After proofTime (30 s) of all
	// servers failures are ours.
	FailingAtOne time.Time

	Plain bool // names are sent in lower case, as it does not repeat the case of their letters
}

// SetServers replaces the servers: trusted are those of servers whose AD bit
// is believed, each as "ip:port". A server that stays keeps its health; one
// listed twice counts once, where it stands first. Lookups under way go on
// with the old list. With an error nothing has changed.
func (pool *Pool) SetServers(servers, trusted []string) error {
	addrs, err := parseServers(servers)
	if err != nil {
		return err
	}
	believed, err := parseTrusted(trusted, addrs)
	if err != nil {
		return err
	}
	for _, s := range pool.replace(addrs, believed) {
		s.sched.Forgive()
	}
	return nil
}

// replace puts a list into the place of the old one, and returns the servers
// that are gone.
func (pool *Pool) replace(addrs, believed []netip.AddrPort) (gone []*server) {
	pool.mu.Lock()
	defer pool.mu.Unlock()
	var old, list []*server
	if p := pool.servers.Load(); p != nil {
		old = *p
	}
	for _, addr := range addrs {
		s := &server{addr: addr, trusted: slices.Contains(believed, addr), health: newHealth(pool.sched.NewServer(pool.cfg.MaxInFlight))}
		if before := findServer(old, addr); before != nil {
			s.health = before.health
		}
		list = append(list, s)
	}
	pool.servers.Store(&list)
	for _, s := range old {
		if findServer(list, s.addr) == nil {
			s.retire()
			gone = append(gone, s)
		}
	}
	return gone
}

// Servers returns the servers in the order in which they are queried.
func (pool *Pool) Servers() []Status {
	var list []Status
	for _, s := range *pool.servers.Load() {
		st := pool.statusOf(s)
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

// statusOf is Servers for one of them.
func (pool *Pool) statusOf(s *server) Status {
	st := s.status(pool.now())
	st.Window, st.InFlight, st.GivenUp = s.sched.Load()
	return st
}

func (h *health) status(now time.Time) Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	st := Status{Down: h.down, Since: h.since, Failures: h.failures, Queries: h.queries, RTT: h.rtt, Err: h.err, FailingAtOne: h.atOne, Plain: now.Before(h.plainUntil)}
	if !h.refusing.IsZero() && now.Sub(h.refusedAt) < refusingTime {
		st.Refusing, st.Refusal = h.refusing, h.refusal
	}
	return st
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
		return nil, errors.New("no servers")
	}
	var servers []netip.AddrPort
	for _, text := range list {
		addr, err := netip.ParseAddrPort(text)
		if err != nil || addr.Port() == 0 {
			return nil, fmt.Errorf("server %q is not ip:port", text)
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
			return nil, fmt.Errorf("%v is trusted, but none of the servers", addr)
		}
	}
	return trusted, nil
}
