package spf

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// sample is a check of the identity that RFC 7208, Section 7.4, takes.
func sample(ip string) *checker {
	return &checker{
		dns: &static{}, ip: netip.MustParseAddr(ip), now: func() time.Time { return time.Unix(1234567890, 0) },
		sender: "email.example.com", local: "strong-bad", helo: "mx.example.org",
	}
}

func TestMacrosExpandAsTheRFCSays(t *testing.T) {
	tests := []struct{ ip, spec, want string }{
		{"192.0.2.3", "%{s}", "strong-bad@email.example.com"},
		{"192.0.2.3", "%{o}", "email.example.com"},
		{"192.0.2.3", "%{d}", "email.example.com"},
		{"192.0.2.3", "%{d4}", "email.example.com"},
		{"192.0.2.3", "%{d3}", "email.example.com"},
		{"192.0.2.3", "%{d2}", "example.com"},
		{"192.0.2.3", "%{d1}", "com"},
		{"192.0.2.3", "%{d127}", "email.example.com"},
		{"192.0.2.3", "%{d99999999999999999999}", "email.example.com"},
		{"192.0.2.3", "%{dr}", "com.example.email"},
		{"192.0.2.3", "%{d2R}", "example.email"},
		{"192.0.2.3", "%{l}", "strong-bad"},
		{"192.0.2.3", "%{l-}", "strong.bad"},
		{"192.0.2.3", "%{lr}", "strong-bad"},
		{"192.0.2.3", "%{lr-}", "bad.strong"},
		{"192.0.2.3", "%{l1r-}", "strong"},
		{"192.0.2.3", "%{s.-+,/_=}", "strong.bad@email.example.com"},
		{"192.0.2.3", "%{h}", "mx.example.org"},
		{"192.0.2.3", "%{p}", "unknown"},
		{"192.0.2.3", "%{S}", "strong-bad%40email.example.com"},
		{"192.0.2.3", "a%%b%_c%-d.example", "a%b c%20d.example"},
		{"192.0.2.3", "%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"},
		{"192.0.2.3", "%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"},
		{"192.0.2.3", "%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"},
		{"192.0.2.3", "%{d2}.trusted-domains.example.net.", "example.com.trusted-domains.example.net"},
		{"2001:db8::cb01", "%{ir}.%{v}._spf.%{d2}", "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com"},
	}
	for _, tt := range tests {
		c := sample(tt.ip)
		if d := checkDomainSpec(tt.spec); d != "" {
			t.Errorf("checkDomainSpec(%q) = %q; want none", tt.spec, d)
		}
		got := expandName(tt.spec, func(l byte) string { return c.value(t.Context(), l, "email.example.com") })
		if !strings.EqualFold(got, tt.want) {
			t.Errorf("expandName(%q) = %q; want %q", tt.spec, got, tt.want)
		}
	}
}

func TestBadMacrosAreErrors(t *testing.T) {
	for _, s := range []string{
		"%", "x%", "%x", "%{", "%{}", "%{d", "%d}", "%{z}", "%{d0}", "%{d00r}", "%{d2rr}", "%{d-2}", "%{d;}", "%{dd}", "%{ d}", "%{2d}", "%(d)", "%{d}%",
		"%{\x00}", "%{[}", "%{c}", "%{r}", "%{t}",
	} {
		if _, d := checkMacros(s, lettersOfTerms); d != badMacro {
			t.Errorf("checkMacros(%q) = %q; want %q", s, d, badMacro)
		}
	}
}

func TestMacroCutsLongNamesFromLeft(t *testing.T) {
	label := strings.Repeat("x", 49) + "."
	tests := []struct {
		name, in string
		want     int
	}{
		{"a name that fits", strings.Repeat(label, 5) + "abc", 253},
		{"the final dot does not count", strings.Repeat(label, 5) + "abc.", 253},
		{"one byte more costs a label", strings.Repeat(label, 5) + "abcd", 204},
		{"a label that is too long alone", strings.Repeat("y", 300), 0},
		{"a name far too long", strings.Repeat(label, 1000) + "abc", 253},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := fitName(tt.in); len(got) != tt.want || !strings.HasSuffix(tt.in, got) && !strings.HasSuffix(tt.in, got+".") {
				t.Errorf("fitName(%d bytes) = %d bytes, %q; want %d", len(tt.in), len(got), got, tt.want)
			}
			byMacros := expandName(strings.Repeat("%{d}", 100)+"."+tt.in, func(byte) string { return "z" })
			if tt.want != 0 && !strings.HasSuffix(byMacros, fitName(tt.in)) {
				t.Errorf("expandName() = %q; want the same end as %q", byMacros, fitName(tt.in))
			}
		})
	}
}

func TestExplanationIsPrintableAndShort(t *testing.T) {
	c := sample("192.0.2.3")
	tests := []struct {
		name, text, want string
		ok               bool
	}{
		{"macros of its own", "%{c} at %{t} to %{r}", "192.0.2.3 at 1234567890 to unknown", true},
		{"spaces stay", " a  b%_.", " a  b .", true},
		{"a line break", "a\r\nb", "", false},
		{"beyond ASCII", "na\u00efve", "", false},
		{"a bad macro", "100% sure", "", false},
		{"a long one", strings.Repeat("x", 65000), strings.Repeat("x", maxExplanation), true},
		{"one that grows", strings.Repeat("%{s}", 16000), strings.Repeat("strong-bad@email.example.com", 18)[:maxExplanation], true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := expandText(tt.text, func(l byte) string { return c.value(t.Context(), l, "email.example.com") })
			if got != tt.want || ok != tt.ok {
				t.Errorf("expandText() = %q, %t; want %q, %t", got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestExplanationExpandsOnlyKeptPart(t *testing.T) {
	calls := 0
	expandText(strings.Repeat("%{l}", 16000), func(byte) string { calls++; return "x" })
	if calls != maxExplanation {
		t.Errorf("%d macros expanded; want %d, one for each byte that is kept", calls, maxExplanation)
	}
}

func FuzzExpand(f *testing.F) {
	f.Add("%{d2r-.}.%{l}%{S}%%%_%-.%{ir}.%{v}.example.", "a.b-c+d", "mx.example")
	f.Add("%{d2147483648r}%{h127r.-+,/_=}%{i", "\r\n\x00\xff", "[192.0.2.1]")
	f.Fuzz(func(t *testing.T, s, local, helo string) {
		c := sample("2001:db8::1")
		c.local, c.helo = local, helo
		value := func(l byte) string { return c.value(t.Context(), l, "x.example") }
		if checkDomainSpec(s) == "" {
			if name := expandName(s, value); len(name) > maxName {
				t.Errorf("expandName(%q) has %d bytes; want %d at most", s, len(name), maxName)
			}
		}
		if text, ok := expandText(s, value); len(text) > maxExplanation || !ok && text != "" || !visible(strings.ReplaceAll(text, " ", "")) {
			t.Errorf("expandText(%q) = %q, %t; want short printable text", s, text, ok)
		}
	})
}
