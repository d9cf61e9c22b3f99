//go:build linux

package mtatest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// host is a small host of its own inside this one: a network with nothing but
// loopback, a host name and a hosts file, all unseen from outside
// (namespaces(7)). It is a thread of this process; what the thread opens or
// starts stays in there, whoever uses it then. It needs no name and no file,
// and ends with the thread and what the thread has started.
//
// Servers that know no XCLIENT are given clients this way: on this network,
// every address is ours.
type host struct {
	hosts string // the file that its programs see as /etc/hosts
	jobs  chan func()
	done  chan struct{}

	mu    sync.Mutex
	named map[string]bool // lines of the hosts file
}

// newHost makes a host of this name, with its files in dir.
func newHost(dir, name string) (*host, error) {
	h := &host{hosts: filepath.Join(dir, "hosts"), jobs: make(chan func()), done: make(chan struct{}), named: map[string]bool{}}
	nss := filepath.Join(dir, "nsswitch.conf")
	if err := writeFile(h.hosts, "127.0.0.1 localhost "+name+"\n::1 localhost\n"); err != nil {
		return nil, err
	}
	// Users are found as usual, hosts in the file alone: no DNS.
	if err := writeFile(nss, "passwd: files\ngroup: files\nhosts: files\n"); err != nil {
		return nil, err
	}
	go h.work()
	err := h.do(func() error {
		if err := syscall.Unshare(syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWNS); err != nil {
			return fmt.Errorf("making namespaces: %w", err)
		}
		return h.furnish(name, nss)
	})
	if err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// work is the thread. It is never given back, so it ends with this function,
// and Go starts no other thread from it.
func (h *host) work() {
	defer close(h.done)
	runtime.LockOSThread()
	for job := range h.jobs {
		job()
	}
}

// furnish makes the bare namespaces a host.
func (h *host) furnish(name, nss string) error {
	if err := syscall.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("setting the host name: %w", err)
	}
	// Private, or the host around would see the mounts that follow.
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	for file, target := range map[string]string{h.hosts: "/etc/hosts", nss: "/etc/nsswitch.conf"} {
		if err := syscall.Mount(file, target, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("putting %s over %s: %w", file, target, err)
		}
	}
	// Every address there is belongs to this host. (With an address at a time,
	// an IPv6 one cannot be used until the kernel has looked for its double.)
	for _, args := range []string{"link set lo up", "-4 route add local default dev lo", "-6 route add local default dev lo"} {
		if err := ip(strings.Fields(args)...); err != nil {
			return err
		}
	}
	return os.WriteFile("/proc/sys/net/ipv6/ip_nonlocal_bind", []byte("1"), 0)
}

// do calls f inside, and waits for it. What f opens or starts must be opened
// or started by f itself, not by a goroutine of f.
func (h *host) do(f func() error) error {
	err := make(chan error)
	h.jobs <- func() { err <- f() }
	return <-err
}

// close ends the thread. The network goes on for servers that are still in it.
func (h *host) close() {
	close(h.jobs)
	<-h.done
}

// name puts an address into the hosts file, when it has a name: in place,
// because the file is mounted, and a new one would not be seen.
func (h *host) name(addr, name string) error {
	if name == "" {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	line := addr + " " + name + "\n"
	if h.named[line] {
		return nil
	}
	h.named[line] = true
	f, err := os.OpenFile(h.hosts, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(line)
	return err
}

// dial connects from the client's address to a port on loopback.
func (h *host) dial(c Client, port int) (net.Conn, error) {
	from, to := &net.TCPAddr{}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}
	if c.Addr != "" {
		if from.IP = net.ParseIP(c.Addr); from.IP == nil {
			return nil, fmt.Errorf("%q is not an address", c.Addr)
		}
		if err := h.name(c.Addr, c.Name); err != nil {
			return nil, err
		}
	}
	if strings.Contains(c.Addr, ":") {
		to.IP = net.IPv6loopback
	}
	var conn net.Conn
	err := h.do(func() (err error) {
		conn, err = net.DialTCP("tcp", from, to)
		return err
	})
	return conn, err
}

// ip runs ip(8).
func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
