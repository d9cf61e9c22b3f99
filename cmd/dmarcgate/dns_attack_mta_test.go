//go:build mta

package main

import (
	"testing"

	"dmarcgate/internal/mtatest"
)

// The same with dnsmasq between the daemon and the name server, which takes 150
// questions at once by default, as it is on many a host.
func TestDNSAttackBehindRealForwarder(t *testing.T) {
	parallel(t)
	key, record := attackKey(t)
	grid(t, attacksOn(t, "dnsmasq", overflowNever), key, func(t *testing.T, a attack) (*attackServer, string) {
		upstream := startAttackServer(t, a.above, record)
		return upstream, mtatest.StartForwarder(t, upstream.addr).Addr()
	})
}
