package scope

import (
	"net/netip"
	"testing"
)

func TestAtOrBelow(t *testing.T) {
	tests := []struct {
		name, domain, top string
		want              bool
	}{
		{"the domain itself", "example.com", "example.com", true},
		{"a subdomain", "a.b.example.com", "example.com", true},
		{"the parent", "com", "example.com", false},
		{"another domain with the same end", "badexample.com", "example.com", false},
		{"an unknown top", "example.com", "", false},
		{"two unknown domains", "", "", false},
		{"an unknown domain", "", "example.com", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := AtOrBelow(tt.domain, tt.top); got != tt.want {
				t.Errorf("AtOrBelow(%q, %q) = %v; want %v", tt.domain, tt.top, got, tt.want)
			}
		})
	}
}

func TestClientNetwork(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.77":           "192.0.2.0/24",
		"::ffff:192.0.2.77":    "192.0.2.0/24",
		"2001:db8:1:2::3":      "2001:db8:1::/48",
		"2001:db8:1:2::3%eth0": "2001:db8:1::/48",
		"fe80::1%eth0":         "fe80::/48",
	} {
		if got := ClientNetwork(netip.MustParseAddr(in)).String(); got != want {
			t.Errorf("ClientNetwork(%s) = %s; want %s", in, got, want)
		}
	}
	if got := ClientNetwork(netip.Addr{}); got != (netip.Prefix{}) {
		t.Errorf("ClientNetwork of no address = %v; want the zero prefix", got)
	}
}
