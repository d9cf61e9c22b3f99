package pattern

import (
	"errors"
	"testing"
)

// wrong wants err to be a fault without a key that says this; "" wants no
// error.
func wrong(t *testing.T, call string, err error, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("%s = %v; want no error", call, err)
		}
		return
	}
	var f Fault
	if !errors.As(err, &f) || f.Key != "" || f.Error() != want {
		t.Errorf("%s = error %v; want %s", call, err, want)
	}
}

func TestParseSealerAcceptsOneDomain(t *testing.T) {
	tests := []struct {
		name, text, want, fault string
	}{
		{"a domain", "lists.example.org", "lists.example.org", ""},
		{"in any letter case", "Lists.Example.ORG", "lists.example.org", ""},
		{"every name below one", ".example.org", "", `".example.org" is more than one domain; write the d= of each sealer that is meant`},
		{"an organization", "org:example.org", "", `"org:example.org" is more than one domain; write the d= of each sealer that is meant`},
		{"no domain: the example shows nothing that is refused here", "a b.example", "",
			`"a b.example" is not a domain or a set of them; write the d= of a sealer, as "lists.example.org"`},
		{"letters beyond ASCII: what to write instead is said", "bücher.example", "", `"bücher.example" is not in ASCII; write "xn--bcher-kva.example"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseSealer(tt.text)
			if got != tt.want {
				t.Errorf("ParseSealer(%q) = %q; want %q", tt.text, got, tt.want)
			}
			wrong(t, "ParseSealer("+tt.text+")", err, tt.fault)
		})
	}
}

func TestParseForwarderAcceptsDomainOrNamesBelow(t *testing.T) {
	tests := []struct {
		name, text, want, fault string
	}{
		{"a domain", "Forwarder.example", "forwarder.example", ""},
		{"every name below one", ".lists.example", ".lists.example", ""},
		{"a public suffix alone", "co.uk", "co.uk", ""},
		{"an organization, which nobody looks up here", "org:example.org", "", `"org:example.org" is for rules alone; write "example.org" and ".example.org"`},
		{"an organization that is a public suffix", "org:co.uk", "", `"org:co.uk" is for rules alone; write "co.uk" and ".co.uk"`},
		{"no domain: the example shows nothing that is refused here", "a..b", "",
			`"a..b" is not a domain or a set of them; write "example.org", or ".example.org" for every name below it`},
		{"a top-level domain: the fix is the pattern's own", ".com", "", `".com" is a whole top-level domain; name the domains that are meant`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseForwarder(tt.text)
			if got.String() != tt.want {
				t.Errorf("ParseForwarder(%q) = %q; want %q", tt.text, got, tt.want)
			}
			wrong(t, "ParseForwarder("+tt.text+")", err, tt.fault)
		})
	}
}
