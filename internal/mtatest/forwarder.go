package mtatest

import (
	"dmarcgate/internal/childtest"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

const dnsmasqProgram = sbin + "dnsmasq"

// Forwarder is a real dnsmasq on loopback with the defaults of Debian's
// package: a cache of 150 names, and 150 questions to its upstream at once, of
// which more are answered with REFUSED.
type Forwarder struct {
	t      testing.TB
	addr   string
	server *server
	once   sync.Once
}

// StartForwarder starts a dnsmasq that asks the server at upstream,
// "127.0.0.1:port", and stops it when the test ends.
func StartForwarder(t testing.TB, upstream string) *Forwarder {
	t.Helper()
	if err := need(dnsmasqProgram); err != nil {
		t.Fatal(err)
	}
	f := &Forwarder{t: t}
	if err := f.start(workDir(t, ""), upstream); err != nil {
		t.Fatalf("starting dnsmasq: %v", err)
	}
	t.Cleanup(f.Stop)
	return f
}

func (f *Forwarder) start(dir, upstream string) error {
	port, err := childtest.FreePort()
	if err != nil {
		return err
	}
	host, upstreamPort, err := net.SplitHostPort(upstream)
	if err != nil {
		return err
	}
	f.addr = loopback(port)
	// What is given here is where it listens and whom it asks. The limits are
	// its own.
	f.server, err = run(filepath.Join(dir, "dnsmasq.log"), dnsmasqProgram,
		"--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--no-poll", "--pid-file=", "--user=", "--group=",
		"--log-facility=-", "--bind-interfaces", "--listen-address=127.0.0.1", fmt.Sprintf("--port=%d", port),
		fmt.Sprintf("--server=%s#%s", host, upstreamPort))
	if err != nil {
		return err
	}
	return f.server.ready(func() bool { return replies(f.addr) })
}

// Addr returns the address of the forwarder, "127.0.0.1:port".
func (f *Forwarder) Addr() string { return f.addr }

// Log returns the end of what it has logged.
func (f *Forwarder) Log() string { return f.server.tail() }

// Stop ends it. It may be called again.
func (f *Forwarder) Stop() {
	f.once.Do(func() {
		if err := f.server.stop(); err != nil {
			f.t.Errorf("stopping dnsmasq: %v", err)
		}
	})
}

// replies reports whether a server says anything at all.
func replies(addr string) bool {
	c := dns.Client{Timeout: probeTime}
	_, _, err := c.Exchange(new(dns.Msg).SetQuestion(".", dns.TypeNS), addr)
	return err == nil
}
