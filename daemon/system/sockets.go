package system

import (
	"errors"
	"fmt"
	"net"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"

	"dmarcgate/config"
	"dmarcgate/milter"
)

// Passed are the sockets that systemd has passed, by FileDescriptorName=.
// They can be taken once.
type Passed map[string][]net.Listener

// TakePassed takes the sockets over. Descriptors that do not listen (systemd
// passes others, too) are left out by the library, so that a listener misses
// its socket by name instead of getting a wrong one.
func TakePassed() (Passed, error) {
	p, err := activation.ListenersWithNames()
	if err != nil {
		return nil, fmt.Errorf("sockets from systemd: %w", err)
	}
	return p, nil
}

// Close closes what no listener has taken.
func (p Passed) Close() {
	for _, list := range p {
		for _, ln := range list {
			ln.Close()
		}
	}
}

// Open returns the sockets of one listener: one, which belongs to the account
// unless socket_owner says otherwise, or as many as the socket unit has under the
// name.
func (p Passed) Open(l config.Listener, a Account) ([]net.Listener, error) {
	if l.Address.Network == "systemd" {
		list := p[l.Address.Addr]
		if len(list) == 0 {
			return nil, fmt.Errorf("systemd passed no listening socket named %q (it passed %s); set FileDescriptorName= in the socket unit", l.Address.Addr, p.names())
		}
		delete(p, l.Address.Addr)
		return list, nil
	}
	uid, gid, err := owner(l.SocketOwner, a)
	if err != nil {
		return nil, err
	}
	ln, err := milter.Socket{Network: l.Address.Network, Addr: l.Address.Addr, Mode: l.SocketMode, UID: uid, GID: gid}.Listen()
	return []net.Listener{ln}, err
}

func (p Passed) names() string {
	var names []string
	for name := range p {
		names = append(names, strconv.Quote(name))
	}
	if len(names) == 0 {
		return "none"
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// owner looks up "user", "user:group" or ":group". What is not named is as the
// daemon will be; -1 leaves the id as it is.
func owner(text string, a Account) (uid, gid int, err error) {
	uid, gid = -1, -1
	if a.name != "" {
		uid, gid = a.UID, a.GID
	}
	name, group, _ := strings.Cut(text, ":")
	if name != "" {
		u, err := user.Lookup(name)
		if err != nil {
			return -1, -1, fmt.Errorf("socket_owner: %w", err)
		}
		if uid, err = strconv.Atoi(u.Uid); err != nil {
			return -1, -1, fmt.Errorf("socket_owner: user id %q", u.Uid)
		}
	}
	if group != "" {
		g, err := user.LookupGroup(group)
		if err != nil {
			return -1, -1, fmt.Errorf("socket_owner: %w", err)
		}
		if gid, err = strconv.Atoi(g.Gid); err != nil {
			return -1, -1, errors.New("socket_owner: group id " + strconv.Quote(g.Gid))
		}
	}
	return uid, gid, nil
}
