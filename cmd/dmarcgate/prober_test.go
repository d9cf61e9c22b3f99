package main

import (
	"strings"
	"testing"
	"time"

	"dmarcgate/admin"
	"dmarcgate/term"
)

func TestStatusShowsAServerThatRefuses(t *testing.T) {
	root, now := &term.Node{}, time.Now()
	dnsNodes(root, admin.DNSStatus{Servers: []admin.ServerStatus{{Address: "192.0.2.53:53", Window: 75, InFlight: 3, GivenUp: 1, Plain: true, Refusing: now.Add(-time.Minute), Refusal: "refused\x1b"}}}, now)
	var text strings.Builder
	_ = root.Print(&text)
	if got := text.String(); !strings.Contains(got, "REFUSES queries for 1m0s") || !strings.Contains(got, "takes 75 at once (3 in flight, 1 given up)") || !strings.Contains(got, "does not repeat the case") || !strings.Contains(got, "dns-forward-max") || strings.Contains(got, "\x1b") {
		t.Errorf("status = %q; want the refusal with what to do, printable", got)
	}
}
