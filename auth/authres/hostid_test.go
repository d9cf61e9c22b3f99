package authres

import (
	"strings"
	"testing"
)

func TestIsHostIDTakesFullHostNamesOnly(t *testing.T) {
	for _, s := range []string{"mx.example.org", "MX1.Example.ORG", "a.b", "mx_1.example", "mx.xn--bcher-kva.example", "1.2.3.example", strings.Repeat("a", 63) + ".b"} {
		if !IsHostID(s) {
			t.Errorf("IsHostID(%q) = false; want true", s)
		}
	}
	for _, s := range []string{
		"", "mx", "localhost", ".", "mx.", ".mx", "mx..example", "192.0.2.1", "mx.1", "[192.0.2.1]", "mx example.org", "mx.example.org;", "mx.example.org\r\n",
		"mx.bücher.example", `"mx.example.org"`, "mx.example.org/1", "mx.example\x00", strings.Repeat("a.", 128) + "b",
	} {
		if IsHostID(s) {
			t.Errorf("IsHostID(%q) = true; want false", s)
		}
	}
}

// What IsHostID takes is written as it is, and Claims finds it again.
func FuzzIsHostID(f *testing.F) {
	for _, s := range []string{"mx.example.org", "mx", "192.0.2.1", "a.b\n", "(a).b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !IsHostID(s) {
			return
		}
		field := Format(s, nil)
		if field != " "+s+"; none" {
			t.Errorf("Format(%q) = %q", s, field)
		}
		if !Claims(field, []string{s}) || Claims(field, []string{"x." + s}) {
			t.Errorf("Claims(%q) does not tell %q from another id", field, s)
		}
	})
}
