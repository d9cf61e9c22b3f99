package nameservers

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dmarcgate/config"
	"dmarcgate/dnscache"
	"dmarcgate/internal/daemontest"
)

// asksOf returns the addresses of the servers of a resolver, those that are
// trusted with a "!".
func asksOf(r *dnscache.Resolver) (list []string) {
	for _, s := range r.Servers() {
		if s.Trusted {
			s.Address += "!"
		}
		list = append(list, s.Address)
	}
	return list
}

func TestNameServersFromConfigurationOrFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	daemontest.PutFile(t, path, "nameserver 192.0.2.1\noptions trust-ad\n")
	dns, err := dnscache.New(dnscache.Config{Servers: []string{"192.0.2.9:53"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dns.Close()
	n := NewList(dns, config.DNS{Servers: []string{"192.0.2.9:53"}}, path, slog.New(slog.DiscardHandler))
	n.Start(t.Context())
	defer func() { n.Stop() }()
	for _, tt := range []struct {
		name string
		cfg  config.DNS
		want []string
	}{
		{"none in the configuration", config.DNS{}, []string{"192.0.2.1:53!"}},
		{"one in the configuration", config.DNS{Servers: []string{"192.0.2.2:53"}}, []string{"192.0.2.2:53"}},
		{"two, one trusted", config.DNS{Servers: []string{"192.0.2.2:53", "192.0.2.3:53"}, Trusted: []string{"192.0.2.3:53"}}, []string{"192.0.2.2:53", "192.0.2.3:53!"}},
	} {
		if err := n.Use(tt.cfg); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := asksOf(dns); !slices.Equal(got, tt.want) {
			t.Errorf("%s: servers = %q; want %q", tt.name, got, tt.want)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := n.Use(n.cfg); err != nil {
		t.Errorf("use of what is active = %v; want nil, whatever the file says", err)
	}
	if err := n.Use(config.DNS{}); err == nil || !strings.Contains(err.Error(), "set servers in [dns]") {
		t.Errorf("use without a file = %v; want an error that says what to set", err)
	}
	if got, want := asksOf(dns), []string{"192.0.2.2:53", "192.0.2.3:53!"}; !slices.Equal(got, want) {
		t.Errorf("servers after a failure = %q; want %q as before", got, want)
	}
}
