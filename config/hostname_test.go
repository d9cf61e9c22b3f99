package config

import (
	"slices"
	"testing"
)

func TestNamesOfFindsTheFullHostName(t *testing.T) {
	const debian = "127.0.0.1 localhost\n127.0.1.1\tMX1.Example.org mx1 # made by the installer\n::1 localhost ip6-localhost\n"
	tests := []struct {
		name, host, hosts, resolv string
		full                      string
		all                       []string
	}{
		{"a full name needs nothing", "mx1.example.org", "192.0.2.1 other.example mx1.example.org\n", "search x.example\n", "mx1.example.org", []string{"mx1.example.org"}},
		{"in capitals, with a dot at its end", "MX1.Example.org.", "", "", "mx1.example.org", []string{"mx1.example.org"}},
		{"the line of the installer", "mx1", debian, "", "mx1.example.org", []string{"mx1.example.org", "mx1"}},
		{"that line before the domain for short names", "mx1", debian, "search other.example\n", "mx1.example.org", []string{"mx1.example.org", "mx1"}},
		{"the canonical name behind the short one", "mx1", "192.0.2.1 mx1 mx1.example.org\n", "", "mx1.example.org", []string{"mx1.example.org", "mx1"}},
		{"the domain for short names", "mx1", "127.0.0.1 localhost mx1\n", "nameserver 192.0.2.53\nsearch Example.org. b.example\n", "mx1.example.org", []string{"mx1.example.org", "mx1"}},
		{"a domain line", "mx1", "", "domain example.org\n", "mx1.example.org", []string{"mx1.example.org", "mx1"}},
		{"a name of every host is none", "mx1", "127.0.0.1 localhost.localdomain localhost mx1\n", "", "mx1", []string{"mx1"}},
		{"a comment is none", "mx1", "# 127.0.1.1 mx1.example.org mx1\n", "# search example.org\n", "mx1", []string{"mx1"}},
		{"a line of another host", "mx1", "192.0.2.1 mx11.example.org mx11\n", "", "mx1", []string{"mx1"}},
		{"a search list that is nothing", "mx1", "", "search .\n", "mx1", []string{"mx1"}},
		{"a canonical name that cannot be an id", "mx1", "192.0.2.1 mx;1.example.org mx1\n", "", "mx1", []string{"mx1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := namesOf(tt.host, tt.hosts, tt.resolv)
			if err != nil || got.full != tt.full || !slices.Equal(got.all, tt.all) {
				t.Errorf("namesOf(%q) = %+v, %v; want %q, %q", tt.host, got, err, tt.full, tt.all)
			}
		})
	}
	for _, host := range []string{"", "mx 1", "mx\n1", "mx;1"} {
		if got, err := namesOf(host, debian, ""); err == nil {
			t.Errorf("namesOf(%q) = %+v; want an error", host, got)
		}
	}
}
