package pattern

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func oneHolds(patterns []Domain, domain, org string) bool {
	return slices.ContainsFunc(patterns, func(p Domain) bool { return p.Holds(domain, org) })
}

func TestDomainHoldsNamedDomains(t *testing.T) {
	tests := []struct {
		pattern, domain, org string
		want                 bool
	}{
		{"example.org", "example.org", "", true},
		{"Example.ORG", "example.org", "", true},
		{"example.org", "a.example.org", "example.org", false},
		{"example.org", "", "", false},
		{".example.org", "a.example.org", "", true},
		{".example.org", "a.b.example.org", "", true},
		{".example.org", "example.org", "example.org", false},
		{".example.org", "badexample.org", "", false},
		{"org:example.org", "example.org", "example.org", true},
		{"org:example.org", "a.example.org", "example.org", true},
		{"org:example.org", "a.example.org", "a.example.org", false},
		{"org:example.org", "a.example.org", "", false},
		{"org:example.org", "example.org", "", true},
		{"org:a.example.org", "a.example.org", "example.org", false},
		{"com", "com", "", true},
		{"_x.example.org", "_x.example.org", "", true},
	}
	for _, tt := range tests {
		p, err := ParseDomain(tt.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Holds(tt.domain, tt.org); got != tt.want {
			t.Errorf("%q holds %q of %q = %v; want %v", tt.pattern, tt.domain, tt.org, got, tt.want)
		}
		var again Domain
		if err := again.UnmarshalText([]byte(p.String())); err != nil || again != p || p.String() != strings.ToLower(tt.pattern) {
			t.Errorf("ParseDomain(%q) = %v, %v; want %v again", p, again, err, p)
		}
	}
	if (Domain{}).Holds("", "") {
		t.Error("the zero pattern holds a domain; want none")
	}
}

func TestParseDomainRejectsEmptyAndUniversalPatterns(t *testing.T) {
	for _, s := range []string{
		"", ".", "org:", "org:.", "..", ".com", "org:com", "*.example.org", "a..b", "a.", "org:.example.org", "192.0.2.1", ".2.1", "a b.example",
		"x@example.org", "bücher.example", strings.Repeat("a", 64) + ".example", strings.Repeat("abcdefg.", 31) + "abcdef", "\x00.example",
	} {
		if p, err := ParseDomain(s); err == nil || p != (Domain{}) {
			t.Errorf("ParseDomain(%q) = %v, %v; want an error and no pattern", s, p, err)
		}
	}
}

func TestParseDomainAcceptsLongestNames(t *testing.T) {
	for _, s := range []string{strings.Repeat("abcdefg.", 31) + "abcde", strings.Repeat("a", 63) + ".example"} {
		if p, err := ParseDomain(s); err != nil || p.String() != s {
			t.Errorf("ParseDomain(%q) = %v, %v; want it as it is", s, p, err)
		}
	}
}

// What is to be written instead is said only if it would be accepted.
func TestParseDomainShowsALabelForm(t *testing.T) {
	const examples = ` is not a domain or a set of them; write "example.org", ".example.org" for every name below it, or "org:example.org"`
	for s, want := range map[string]string{
		"org:Bücher.example":           `"org:Bücher.example" is not in ASCII; write "org:xn--bcher-kva.example"`,
		".bücher.example":              `".bücher.example" is not in ASCII; write ".xn--bcher-kva.example"`,
		"１９２.０.２.１":                    `"１９２.０.２.１"` + examples,            // an address
		"bücher.xn--a.example":         `"bücher.xn--a.example"` + examples, // no letters stand for this label
		"a b.example":                  `"a b.example"` + examples,
		strings.Repeat("ü", 63) + ".x": `"` + strings.Repeat("ü", 63) + `.x"` + examples, // too long in ASCII
	} {
		_, err := ParseDomain(s)
		if err == nil || err.Error() != want {
			t.Errorf("ParseDomain(%s) = %v; want %s", s, err, want)
		}
	}
}

func FuzzParseDomain(f *testing.F) {
	for _, s := range []string{"example.org", ".example.org", "org:example.org", ".", "org:", "bücher.example", "org:org:a.b"} {
		f.Add(s, "a.example.org")
	}
	f.Fuzz(func(t *testing.T, s, domain string) {
		p, err := ParseDomain(s)
		if err != nil {
			if p.Holds(domain, domain) || p.Holds(domain, "") {
				t.Errorf("ParseDomain(%q) has an error and holds %q", s, domain)
			}
			return
		}
		if again, err := ParseDomain(p.String()); err != nil || again != p {
			t.Errorf("ParseDomain(%q) = %v; ParseDomain of that = %v, %v", s, p, again, err)
		}
		if p.Holds(domain, "") && !strings.HasSuffix("."+domain, "."+p.domain) {
			t.Errorf("%q holds %q", s, domain)
		}
	})
}
