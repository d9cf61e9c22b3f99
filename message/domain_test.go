package message

import (
	"strings"
	"testing"
)

func TestParseDomain(t *testing.T) {
	long := strings.Repeat("a.", 126) + "a" // 253 bytes
	tests := []struct {
		name, in, want string // want "" is an error
	}{
		{"lower case", "y.example", "y.example"},
		{"upper case", "Y.EXAMPLE", "y.example"},
		{"a final dot", "y.example.", "y.example"},
		{"one label", "localhost", "localhost"},
		{"an underscore", "_dmarc.y.example", "_dmarc.y.example"},
		{"hyphens where hosts have none", "-a.b-.ab--cd.example", "-a.b-.ab--cd.example"},
		{"U-labels", "bücher.EXAMPLE", "xn--bcher-kva.example"},
		{"sharp s stays itself (RFC 5891)", "faß.example", "xn--fa-hia.example"},
		{"an A-label in capitals", "XN--BCHER-KVA.example", "xn--bcher-kva.example"},
		{"an A-label that is none for IDNA", "xn--zzzz9.example", "xn--zzzz9.example"},
		{"full-width letters and dots", "ｙ。example", "y.example"},
		{"the longest name", long, long},
		{"the longest name with a dot", long + ".", long},
		{"the longest label", strings.Repeat("a", 63), strings.Repeat("a", 63)},
		{"a number for a host, a word at the top", "192.0.2.example", "192.0.2.example"},
		{"nothing", "", ""},
		{"the root", ".", ""},
		{"two final dots", "y.example..", ""},
		{"a dot first", ".y.example", ""},
		{"an empty label", "y..example", ""},
		{"a label that maps to nothing", "\u00ad.example", ""},
		{"a name too long", long + "a", ""},
		{"a label too long", strings.Repeat("a", 64) + ".example", ""},
		{"a megabyte", strings.Repeat("é", 1<<19), ""},
		{"an address literal", "[192.0.2.1]", ""},
		{"an IPv6 literal", "[IPv6:2001:db8::1]", ""},
		{"an IPv4 address", "192.0.2.1", ""},
		{"an IPv6 address", "2001:db8::1", ""},
		{"a space", "y .example", ""},
		{"a space last", "y.example ", ""},
		{"NUL", "y\x00.example", ""},
		{"CR and LF", "y.example\r\n", ""},
		{"an at", "x@y.example", ""},
		{"a slash that a character maps to", "y.example℀.w.example", ""},
		{"bytes that are not UTF-8", "\xff.example", ""},
		{"mixed directions", "א1x.example", ""},
		{"a U-label behind xn--", "xn--ü.example", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseDomain(tt.in)
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("ParseDomain(%.80q) = %q, %v; want %q", tt.in, got, err, tt.want)
			}
		})
	}
}

func TestAddressDomain(t *testing.T) {
	tests := []struct {
		name, in, want string // want "" is false
	}{
		{"an address", "x@y.example", "y.example"},
		{"upper case", "X@Y.Example", "y.example"},
		{"angle brackets", "<x@y.example>", "y.example"},
		{"a source route", "<@a.example,@b.example:x@y.example>", "y.example"},
		{"a source route without brackets", "@a.example:x@y.example", "y.example"},
		{"the last at counts", "a@b.example@y.example", "y.example"},
		{"a quoted at does not count", `"a@b.example"@y.example`, "y.example"},
		{"a quoted quote", `"a\"@b.example"@y.example`, "y.example"},
		{"U-labels", "x@bücher.example", "xn--bcher-kva.example"},
		{"the null path", "", ""},
		{"the null path in brackets", "<>", ""},
		{"no at", "postmaster", ""},
		{"no at but a quoted one", `"a@b.example"`, ""},
		{"a quoted-string without end", `"a@b.example`, ""},
		{"an escaped at", `a\@b.example`, ""},
		{"a backslash last", `a@b\`, ""},
		{"no domain", "x@", ""},
		{"a route and nothing", "<@a.example>", ""},
		{"a literal", "x@[192.0.2.1]", ""},
		{"an IPv6 literal", "<x@[IPv6:2001:db8::1]>", ""},
		{"NUL", "x@y.example\x00", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := AddressDomain(tt.in)
			if got != tt.want || ok != (tt.want != "") {
				t.Errorf("AddressDomain(%q) = %q, %v; want %q", tt.in, got, ok, tt.want)
			}
		})
	}
}

func FuzzParseDomain(f *testing.F) {
	for _, s := range []string{"Y.example.", "bücher.example", "xn--.example", "a。b", "\u00ad", "℀", "\xff", "192.0.2.1", "xn--ü", "٠.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseDomain(s)
		if err != nil {
			if got != "" {
				t.Errorf("ParseDomain(%q) = %q, %v; want no domain with an error", s, got, err)
			}
			return
		}
		again, err := ParseDomain(got)
		if err != nil || again != got {
			t.Errorf("ParseDomain(%q) = %q, but ParseDomain of that = %q, %v", s, got, again, err)
		}
		if got == "" || len(got) > 253 || strings.Trim(got, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
			t.Errorf("ParseDomain(%q) = %q; want a name in lower case", s, got)
		}
	})
}

func FuzzAddressDomain(f *testing.F) {
	for _, s := range []string{"<@a:b@c.example>", `"a@b"@c.example`, `\@`, "x@bücher.example", "<"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := AddressDomain(s)
		again, err := ParseDomain(got)
		if ok && (err != nil || again != got) || !ok && got != "" {
			t.Errorf("AddressDomain(%q) = %q, %v; ParseDomain of that = %q, %v", s, got, ok, again, err)
		}
	})
}
