package lookup

import (
	"strings"
	"testing"

	"dmarcgate/internal/dnstest"
)

func TestLookupShowsReachOfSPF(t *testing.T) {
	dns := dnstest.New(t, `
. NS ns.example.
_dmarc.few.example. TXT "v=DMARC1; p=reject"
few.example. TXT "v=spf1 ip4:192.0.2.0/28 ip6:2001:db8::/63 -all"
_dmarc.shared.example. TXT "v=DMARC1; p=reject"
shared.example. TXT "v=spf1 include:_spf.google.com include:amazonses.com include:mail.few.example -all"
_spf.google.com. TXT "v=spf1 ip4:198.51.100.0/24 ~all"
amazonses.com. TXT "v=spf1 ip4:203.0.113.0/24 -all"
mail.few.example. TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.open.example. TXT "v=DMARC1; p=reject"
open.example. TXT "v=spf1 +all"
_dmarc.macro.example. TXT "v=DMARC1; p=reject"
macro.example. TXT "v=spf1 exists:%{i}._spf.macro.example -all"
_dmarc.closed.example. TXT "v=DMARC1; p=reject"
closed.example. TXT "v=spf1 -all"
_dmarc.bare.example. TXT "v=DMARC1; p=reject"
!any
`)
	tests := []struct {
		domain string
		want   []string
		not    string
	}{
		{"few.example", []string{"SPF lets in 16 IPv4 addresses and 2 IPv6 networks of /64"}, "among them"},
		{"shared.example", []string{"SPF lets in 513 IPv4 addresses", "among them google.com (_spf.google.com): a mailbox provider", "among them amazonses.com (amazonses.com): a service that sends for its customers"}, "(mail.few.example)"},
		{"open.example", []string{"SPF lets in EVERYBODY"}, "among them"},
		{"macro.example", []string{"SPF lets in no address", "not known: exists:%{i}._spf.macro.example"}, "among them"},
		{"closed.example", []string{"SPF lets in no address"}, "not known"},
		{"bare.example", nil, "SPF lets in"},
	}
	for _, tt := range tests {
		out, failure := looked(t, dns.Addr(), tt.domain)
		if failure != "" {
			t.Errorf("lookup %s = %q; want no error", tt.domain, failure)
		}
		for _, want := range tt.want {
			if !strings.Contains(out, want) {
				t.Errorf("lookup %s prints\n%s\nwant %q", tt.domain, out, want)
			}
		}
		if tt.not != "" && strings.Contains(out, tt.not) {
			t.Errorf("lookup %s prints\n%s\nwant nothing of %q", tt.domain, out, tt.not)
		}
	}
	s, failure := reportOf(t, dns.Addr(), "shared.example")
	if got := s.SPF; failure != "" || got == nil || got.IPv4 != 513 || len(got.Shared) != 2 || got.Everybody {
		t.Errorf("lookup as JSON = %q, %+v; want 513 addresses and two shared senders", failure, got)
	}
}
