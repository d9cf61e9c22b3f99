package config

import (
	"strings"
	"testing"
)

func TestAddressesOfPostfixAndSendmailAreRead(t *testing.T) {
	tests := []struct {
		in   string
		want Address
	}{
		{"unix:/run/a.sock", Address{"unix", "/run/a.sock"}},
		{"local:/run//a.sock", Address{"unix", "/run/a.sock"}},
		{"tcp:127.0.0.1:8893", Address{"tcp", "127.0.0.1:8893"}},
		{"tcp:[::1]:8893", Address{"tcp", "[::1]:8893"}},
		{"inet:localhost:8893", Address{"tcp", "localhost:8893"}},
		{"inet:8893@localhost", Address{"tcp", "localhost:8893"}},
		{"inet6:8893@::1", Address{"tcp", "[::1]:8893"}},
		{"inet6:8893@[::1]", Address{"tcp", "[::1]:8893"}},
	}
	for _, tt := range tests {
		got, err := parseAddress(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("parseAddress(%q) = %v, %v; want %v", tt.in, got, err, tt.want)
		}
		if again, err := parseAddress(got.String()); err != nil || again != got {
			t.Errorf("parseAddress(%q) = %v, %v; want %v again", got, again, err, got)
		}
	}
	for _, in := range []string{
		"", "unix", "unix:", "unix:a.sock", "unix:/a\x00", "inet:8893", "inet:@localhost", "inet:70000@localhost",
		"tcp:::1:8893", "tcp:a..b:1", "tcp:a b:1", "tcp:localhost:smtp", "udp:127.0.0.1:1", "8893",
	} {
		if got, err := parseAddress(in); err == nil {
			t.Errorf("parseAddress(%q) = %v; want an error", in, got)
		}
	}
}

func TestOnlyLoopbackIsHiddenFromOtherHosts(t *testing.T) {
	tests := []struct {
		in   string
		want bool
	}{
		{"127.0.0.1:1", true},
		{"127.9.9.9:1", true},
		{"[::1]:1", true},
		{"[::ffff:127.0.0.1]:1", true},
		{"0.0.0.0:1", false},
		{"[::]:1", false},
		{"192.0.2.1:1", false},
		{"example.org:1", false},
		{"", false},
	}
	for _, tt := range tests {
		if got := isLoopback(tt.in); got != tt.want {
			t.Errorf("isLoopback(%q) = %v; want %v", tt.in, got, tt.want)
		}
	}
	if got, err := parseAdmin("localhost:9435"); err != nil || got != "127.0.0.1:9435" {
		t.Errorf(`parseAdmin("localhost:9435") = %q, %v; want the loopback address`, got, err)
	}
}

// A reply line has 512 bytes (RFC 5321, Section 4.5.3.1.5), codes and line end
// among them.
func TestTheLongestReplyWithTheLongestDomainFitsIntoALine(t *testing.T) {
	const codes, longestDomain = len("550 5.7.1 \r\n"), 253
	text := "DMARC {domain}" + strings.Repeat("x", maxReplyText-len("DMARC {domain}"))
	if err := CheckReply(text); err != nil {
		t.Fatal(err)
	}
	if n := codes + len(text) - len("{domain}") + longestDomain; n > 512 {
		t.Errorf("the reply has %d bytes; want at most 512", n)
	}
}
