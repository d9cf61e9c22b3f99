package results

import (
	"strings"
	"testing"
)

func TestHashQueueIDNeedsKey(t *testing.T) {
	a, b := HashQueueID([]byte("a"), "q"), HashQueueID([]byte("b"), "q")
	if a == b || len(a) != len(b) || len(a) != 23 || !strings.HasPrefix(a, hashedID) || HashQueueID([]byte("a"), "r") == a {
		t.Errorf("hashes = %q, %q; want two of 23 characters", a, b)
	}
	if got := HashQueueID(nil, "q"); got != "q" {
		t.Errorf("HashQueueID without a key = %q; want the id", got)
	}
}

func TestShortenCutsAddressLiterals(t *testing.T) {
	for in, want := range map[string]string{
		"[192.0.2.77]": "[192.0.2.0]", "192.0.2.77": "192.0.2.0", "[IPv6:2001:db8:1:2::3]": "[IPv6:2001:db8:1::]", "[ipv6:fe80::1%eth0]": "[ipv6:fe80::]",
		"mx.example": "mx.example", "": "", "[x]": "[x]", "IPv6:": "IPv6:", "[192.0.2.77": "[192.0.2.0]",
	} {
		if got := shortLiteral(in); got != want {
			t.Errorf("shortLiteral(%q) = %q; want %q", in, got, want)
		}
	}
}

func TestCleanKeepsRegisteredTags(t *testing.T) {
	for _, tt := range []struct{ record, want string }{
		{"", ""},
		{"v=DMARC1; p=reject", "v=DMARC1; p=reject"},
		{"v=DMARC1; p=reject; rua=mailto:jane@x.example", "v=DMARC1; p=reject"},
		{"v=DMARC1; p=reject; ruf=mailto:jane@x.example; fo=1:d", "v=DMARC1; p=reject; fo=1:d"},
		{"v=DMARC1; p=reject; fo=1:d", "v=DMARC1; p=reject; fo=1:d"},
		{"v=DMARC1; p=invalid; sp=invalid; np=none; rua=mailto:jane@x.example", "v=DMARC1; p=invalid; sp=invalid; np=none"},
		{"v=DMARC1; rua=mailto:jane@x.example", "v=DMARC1"},
		{"v=DMARC1; p=none; ruaa=mailto:jane@x.example; contact=jane; t=y", "v=DMARC1; p=none; t=y"},
		{"v=DMARC1; p=quarantine; adkim=s; aspf=s; psd=n; pct=7; ri=3600; rf=jane@x.example", "v=DMARC1; p=quarantine; adkim=s; aspf=s; psd=n; pct=7; ri=3600"},
		{"jane@x.example", ""},
		{"v=spf1 include:jane@x.example", ""},
	} {
		if got := cleanTags(tt.record); got != tt.want || cleanTags(got) != got {
			t.Errorf("cleanTags(%q) = %q, and again %q; want %q", tt.record, got, cleanTags(got), tt.want)
		}
	}
}
