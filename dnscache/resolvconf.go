package dnscache

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	// maxNameservers is MAXNS of resolv.conf(5): the C library reads no more.
	maxNameservers = 3

	// maxResolvConf is how much of the file is read, in bytes.
	maxResolvConf = 64 << 10

	// followEvery is how often the file is looked at: as often as the C
	// library would, at a price that does not matter.
	followEvery = 5 * time.Second
)

// ServerList names servers as "ip:port", and those of them whose AD bit is believed.
type ServerList struct {
	Servers, Trusted []string
}

func (l ServerList) equal(other ServerList) bool {
	return slices.Equal(l.Servers, other.Servers) && slices.Equal(l.Trusted, other.Trusted)
}

// ReadResolvConf returns the name servers of a resolv.conf(5) file with port
// 53, at most the first three; with "options trust-ad" all are trusted. It
// fails when the file cannot be read or names none: the C library would then
// try the local host, but a mail filter had better say that it has no resolver.
func ReadResolvConf(path string) (ServerList, error) {
	f, err := os.Open(path)
	if err != nil {
		return ServerList{}, err
	}
	defer f.Close()
	l, err := parseResolvConf(io.LimitReader(f, maxResolvConf))
	if err != nil {
		return ServerList{}, fmt.Errorf("reading %s: %w", path, err)
	}
	if len(l.Servers) == 0 {
		return ServerList{}, fmt.Errorf("%s: no nameserver", path)
	}
	return l, nil
}

func parseResolvConf(text io.Reader) (ServerList, error) {
	var l ServerList
	trust := false
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			l.add(words[1])
		case "options":
			trust = trust || slices.Contains(words[1:], "trust-ad")
		}
	}
	if trust {
		l.Trusted = l.Servers
	}
	return l, lines.Err()
}

// add adds a server once, if it is an address and there is room for it.
func (l *ServerList) add(ip string) {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return
	}
	server := net.JoinHostPort(addr.Unmap().String(), "53")
	if len(l.Servers) < maxNameservers && !slices.Contains(l.Servers, server) {
		l.Servers = append(l.Servers, server)
	}
}

// FollowResolvConf sets the servers to those of a resolv.conf(5) file whenever
// it names others than are in use, until ctx is done or the resolver is
// closed. It looks every 5 s. A file that is missing, cannot be read or names
// none, as it may while it is written, changes nothing. report is told each
// list that was set, an error once while it stays the same, and the list when
// the error is over; it is called in the caller's goroutine.
func (r *Resolver) FollowResolvConf(ctx context.Context, path string, report func(ServerList, error)) {
	said := ""
	for {
		l, set, err := r.adopt(path)
		switch {
		case err != nil && err.Error() != said:
			said = err.Error()
			report(ServerList{}, err)
		case err == nil && (set || said != ""):
			said = ""
			report(l, nil)
		}
		select {
		case <-r.after(followEvery):
		case <-ctx.Done():
			return
		case <-r.ctx.Done():
			return
		}
	}
}

// adopt sets the servers of a file when they are others than those in use.
func (r *Resolver) adopt(path string) (l ServerList, set bool, err error) {
	if l, err = ReadResolvConf(path); err != nil {
		return ServerList{}, false, err
	}
	if l.equal(r.serverList()) {
		return l, false, nil
	}
	return l, true, r.SetServers(l.Servers, l.Trusted)
}

func (r *Resolver) serverList() ServerList {
	var l ServerList
	for _, s := range r.Servers() {
		l.Servers = append(l.Servers, s.Address)
		if s.Trusted {
			l.Trusted = append(l.Trusted, s.Address)
		}
	}
	return l
}
