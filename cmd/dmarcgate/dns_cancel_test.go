package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"

	"dmarcgate/dnscache"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/internal/scale"
)

// cancelledMessages is how many messages are given up in one round; the rounds
// of soak size (50) make ten thousand.
const cancelledMessages = 200

// MTAs give messages up while answers of the DNS are waited for: by ABORT, and
// by leaving. Nothing of them stays.
func TestDaemonCancelledMessagesLeakNothing(t *testing.T) {
	const connections = 20
	srv := dnstest.New(t, `
*.late.example. TXT "v=spf1 include:x.late.example -all"
*.late.example. MX 10 mx.late.example.
!slow *.late.example 20ms
!drop *.lost.example
!any
`)
	// A descriptor that was forgotten is closed when memory is collected.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	// Pollers and their descriptors come with the first use and stay.
	cancelMessages(t, srv, 0, connections, connections)
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors(t)
	for round := range scale.Of(t) {
		queried := srv.Zone.Queried()
		cancelMessages(t, srv, 1+round, connections, cancelledMessages)
		if n := srv.Zone.Queried() - queried; n < connections { // not one for each: under pressure lookups wait, and those that nobody waits for are shared out last
			t.Errorf("queries for %d messages = %d; want more: the messages did not wait for the DNS", cancelledMessages, n)
		}
		daemontest.Eventually(t, "the goroutines of cancelled messages to end", func() bool { return runtime.NumGoroutine() <= goroutines })
		if open := openDescriptors(t); len(open) > len(descriptors) {
			t.Fatalf("descriptors before %q, after %q; want no more", descriptors, open)
		}
		runtime.GC()
	}
}

// cancelMessages runs a daemon, gives messages up over some connections at once
// and stops it. It is queried about names that no earlier round has queried.
func cancelMessages(t *testing.T, srv *dnstest.Server, round, connections, messages int) {
	t.Helper()
	t.Run(fmt.Sprintf("%d messages", messages), func(t *testing.T) {
		h := startDNSHost(t, dnscache.Config{Servers: []string{srv.Addr()}, QueryTimeout: 300 * time.Millisecond, Timeout: 500 * time.Millisecond}, daemontest.Config{})
		var wg sync.WaitGroup
		for c := range connections {
			wg.Go(func() {
				for i := range messages / connections {
					if err := h.giveUp(fmt.Sprintf("r%dc%dn%d", round, c, i), i); err != nil {
						t.Errorf("connection %d, message %d: %v", c, i, err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

// giveUp begins a message whose checks wait for the DNS, and gives it up in
// one of several ways.
func (h *dnsHost) giveUp(label string, way int) error {
	c, err := miltertest.Dial(h.Listeners()[0].Addr(), miltertest.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	domain := label + []string{".late.example", ".lost.example"}[way%2]
	signature := fmt.Sprintf(" v=1; a=rsa-sha256; d=%s; s=s; h=from; bh=AAAA; b=AAAA", domain)
	step := func(ok error, f func() (miltertest.Reply, error)) error {
		if ok != nil {
			return ok
		}
		_, err := f()
		return err
	}
	err = step(nil, func() (miltertest.Reply, error) { return c.Connect("[192.0.2.10]", demoShop, 40000) })
	err = step(err, func() (miltertest.Reply, error) { return c.Helo("mx." + domain) })
	err = step(err, func() (miltertest.Reply, error) { return c.Mail("a@" + domain) })
	err = step(err, func() (miltertest.Reply, error) { return c.Rcpt("u@receiver.example") })
	err = step(err, func() (miltertest.Reply, error) { return c.Field("From", " a@"+domain) })
	err = step(err, func() (miltertest.Reply, error) { return c.Field("DKIM-Signature", signature) })
	err = step(err, c.EndOfHeader)
	if err == nil && way%4 < 2 {
		return c.Abort()
	}
	return err // and the connection is closed
}

// openDescriptors lists what this process has open.
func openDescriptors(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var open []string
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			open = append(open, to)
		}
	}
	slices.Sort(open)
	return open
}
