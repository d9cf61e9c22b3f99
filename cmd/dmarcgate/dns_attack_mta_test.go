//go:build mta

package main

import (
	"fmt"
	"testing"

	"dmarcgate/internal/mtatest"
)

// The same with dnsmasq between the daemon and the name server, which takes 150
// questions at once by default, as it is on many a host.
func TestGoodMailPassesAndNoSpoofDoesBehindARealForwarder(t *testing.T) {
	key, record := attackKey(t)
	shapes, sessions, m := attackSizes(t)
	for _, shape := range shapes {
		for _, n := range sessions {
			t.Run(fmt.Sprintf("dnsmasq, %s, %d sessions", shape.name, n), func(t *testing.T) {
				t.Parallel()
				upstream := startAttackServer(t, overflowNever, record)
				forwarder := mtatest.StartForwarder(t, upstream.addr)
				f := attack{"dnsmasq", shape, n, m}.run(t, upstream, forwarder.Addr(), key)
				t.Log(f)
				f.check(t)
			})
		}
	}
}
