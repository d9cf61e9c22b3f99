package config

import (
	"strings"
	"testing"
	"time"
)

func TestDurationsNeedAUnit(t *testing.T) {
	tests := []struct {
		in   string
		want time.Duration
		text string // as String writes it
	}{
		{"250ms", 250 * time.Millisecond, "250ms"},
		{"20s", 20 * time.Second, "20s"},
		{"90s", 90 * time.Second, "1m30s"},
		{"15m", 15 * time.Minute, "15m"},
		{"1h30m", 90 * time.Minute, "1h30m"},
		{"24h", 24 * time.Hour, "24h"},
		{"7d", 168 * time.Hour, "7d"},
		{"0s", 0, "0s"},
	}
	for _, tt := range tests {
		var d Duration
		if err := d.UnmarshalText([]byte(tt.in)); err != nil || time.Duration(d) != tt.want || d.String() != tt.text {
			t.Errorf("Duration(%q) = %v, %v; want %s", tt.in, d, err, tt.text)
		}
	}
	for _, in := range []string{"", "0", "20", "-1", "1e3", "20 s", "d", "-1d", "1.5d", "99999999d", "20S", "2w", "inf"} {
		var d Duration
		if err := d.UnmarshalText([]byte(in)); err == nil || d != 0 {
			t.Errorf("Duration(%q) = %v, %v; want an error and no value", in, d, err)
		}
	}
}

func TestSizesNeedAUnit(t *testing.T) {
	tests := []struct {
		in   string
		want Size
		text string
	}{
		{"512B", 512, "512B"},
		{"1024B", 1024, "1KiB"},
		{"4MiB", 4 << 20, "4MiB"},
		{"50MB", 50_000_000, "50MB"},
		{"50 MB", 50_000_000, "50MB"},
		{"1kB", 1000, "1kB"},
		{"64GiB", 64 << 30, "64GiB"},
		{"4294967295GiB", 4294967295 << 30, "4294967295GiB"},
		{"0B", 0, "0B"},
	}
	for _, tt := range tests {
		var z Size
		if err := z.UnmarshalText([]byte(tt.in)); err != nil || z != tt.want || z.String() != tt.text {
			t.Errorf("Size(%q) = %v, %v; want %s", tt.in, z, err, tt.text)
		}
	}
	for _, in := range []string{"", "0", "4096", "4M", "4mb", "4KB", "-1MiB", "1.5GiB", "MiB", "4294967296GiB", "4 M iB"} {
		var z Size
		if err := z.UnmarshalText([]byte(in)); err == nil || z != 0 {
			t.Errorf("Size(%q) = %v, %v; want an error and no value", in, z, err)
		}
	}
}

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
	if err := checkReply(text); err != nil {
		t.Fatal(err)
	}
	if n := codes + len(text) - len("{domain}") + longestDomain; n > 512 {
		t.Errorf("the reply has %d bytes; want at most 512", n)
	}
}
