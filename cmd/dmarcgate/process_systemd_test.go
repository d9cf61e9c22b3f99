package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/scale"
)

// watchdogTime is how often systemd wants to hear of the daemon in these tests
// (WatchdogSec=).
const watchdogTime = "1000000" // microseconds

// heard is what a daemon tells systemd (sd_notify(3)).
type heard struct {
	conn *net.UnixConn
	mu   sync.Mutex
	text []string
}

// listenAsSystemd opens the socket of NOTIFY_SOCKET for this host's
// daemons.
func (h *host) listenAsSystemd() *heard {
	h.t.Helper()
	path := filepath.Join(h.dir, "notify.sock")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		h.t.Fatal(err)
	}
	n := &heard{conn: conn}
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.read()
	}()
	h.t.Cleanup(func() {
		conn.Close()
		<-done
	})
	h.env = append(h.env, "NOTIFY_SOCKET="+path, "WATCHDOG_USEC="+watchdogTime)
	return n
}

func (n *heard) read() {
	buf := make([]byte, 4096)
	for {
		k, err := n.conn.Read(buf)
		if err != nil {
			return
		}
		n.mu.Lock()
		n.text = append(n.text, string(buf[:k]))
		n.mu.Unlock()
	}
}

func (n *heard) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.text)
}

// count returns how many notifications have this line.
func (n *heard) count(line string) int {
	count := 0
	for _, text := range n.all() {
		if slices.Contains(strings.Split(text, "\n"), line) {
			count++
		}
	}
	return count
}

// fed waits until the watchdog has been fed twice more.
func (n *heard) fed(t *testing.T, p *process, when string) {
	t.Helper()
	before := n.count("WATCHDOG=1")
	daemontest.Eventually(t, fmt.Sprintf("the watchdog to be fed %s: systemd kills the daemon, which works", when), func() bool {
		p.mustRun()
		return n.count("WATCHDOG=1") >= before+2
	})
}

func TestSystemdNotifications(t *testing.T) {
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr()})
	n := h.listenAsSystemd()
	p := h.start()
	daemontest.Eventually(t, "READY=1: systemd takes the start for failed", func() bool { return n.count("READY=1") == 1 })
	n.fed(t, p, "in a quiet daemon")
	p.reload()
	daemontest.Eventually(t, "READY=1 after a reload: systemctl reload hangs", func() bool { return n.count("READY=1") == 2 })
	if n.count("RELOADING=1") != 1 || !strings.Contains(strings.Join(n.all(), "\n"), "RELOADING=1\nMONOTONIC_USEC=") {
		t.Errorf("notifications = %q; want RELOADING=1 once, with MONOTONIC_USEC", n.all())
	}
	p.stop()
	daemontest.Eventually(t, "STOPPING=1", func() bool { return n.count("STOPPING=1") == 1 })
}

// A daemon that has as many connections as it takes is busy, not dead.
func TestWatchdogPingAtConnectionLimit(t *testing.T) {
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr(), extra: "[limits]\nconnections = 5\n"})
	n := h.listenAsSystemd()
	p := h.start()
	for range 10 {
		conn, err := net.Dial("unix", h.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	p.metricIs(1, "dmarcgate_milter_accept_paused_total")
	n.fed(t, p, "at the connection limit")
}

// A reload under load costs no message, and one that fails changes nothing.
func TestReloadUnderLoadLosesNoMessage(t *testing.T) {
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr()})
	good, err := os.ReadFile(h.config())
	if err != nil {
		t.Fatal(err)
	}
	p := h.start()
	c := &crowd{host: h, messages: 100 * scale.Of(t), pause: 1 << 20}
	c.start(8)
	for i := range 5 {
		c.await(int64(c.messages * (i + 1) / 6))
		text := good
		if i%2 == 1 {
			text = append([]byte("authserv_idd = \"x\"\n"), good...)
		}
		if err := os.WriteFile(h.config(), text, 0o600); err != nil {
			t.Fatal(err)
		}
		p.reload()
	}
	c.wg.Wait()
	if !p.logged(`did you mean`, "authserv_id", h.config()+":1") {
		t.Error("the log does not say what is wrong with the configuration, with file and line")
	}
	p.stop()
	if rows := h.rows(); len(rows) != c.messages {
		t.Errorf("rows = %d; want %d", len(rows), c.messages)
	}
}

// A daemon that is short of descriptors works, and must not be killed.
func TestWatchdogPingWithoutDescriptors(t *testing.T) {
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr(), ulimit: descriptors})
	n := h.listenAsSystemd()
	p := h.start()
	h.exhaust(p)
	n.fed(t, p, "while no descriptor is free")
}
