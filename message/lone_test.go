package message

import (
	"net/mail"
	"strings"
	"testing"
)

func TestParseAuthorWithOneAddressInEveryReading(t *testing.T) {
	checkAuthors(t, []authorTest{
		{"two colons", " Wiki :: blog <x@y.example>", OneMailbox, "y.example"},
		{"a colon at the beginning", " : <x@y.example>", OneMailbox, "y.example"},
		{"a semicolon", " Doe; Jane <x@y.example>", OneMailbox, "y.example"},
		{"a comma and a semicolon", " Doe, Jane; Sales <x@y.example>", OneMailbox, "y.example"},
		{"a word in angle brackets", " News <Company> <x@y.example>", OneMailbox, "y.example"},
		{"empty angle brackets first", " <> <x@y.example>", OneMailbox, "y.example"},
		{"an encoded-word before a semicolon", " =?utf-8?b?TcO8bGxlcg==?=; blog <x@y.example>", OneMailbox, "y.example"},
		{"raw ISO-2022-JP", " \x1b$B%F%9%H\x1b(B <x@y.example>", OneMailbox, "y.example"},
		{"raw ISO-2022-JP with brackets and a quote in it", " \x1b$B\"<(>:\x1b(B \x1b$B,;\x1b(J<x@y.example>", OneMailbox, "y.example"},
		{"raw ISO-2022-JP with an at sign before no name", " \x1b$B!@!!\x1b(B <x@y.example>", OneMailbox, "y.example"},
		{"two colons before a bare address", " News :: x@y.example", OneMailbox, "y.example"},

		{"an address in ISO-2022-JP", " \x1b$Ba@b.example,\x1b(B <x@y.example>", Unparsable, "b.example"},
		{"an address that begins in ISO-2022-JP", " \x1b$Baa@b\x1b(B.example, <x@y.example>", Unparsable, "b"},
		{"ISO-2022-JP without an end", " \x1b$B%F%9%H <x@y.example>", Unparsable, "y.example"},
		{"another escape sequence", " \x1b[31m <x@y.example>", Unparsable, "y.example"},
		{"an address before a semicolon", " a@b.example; <x@y.example>", SeveralDomains, "b.example y.example"},
		{"an address in a quoted name", ` "a@b.example": <x@y.example>`, Unparsable, "y.example"},
		{"an address in a comment", " News :: (a@b.example) <x@y.example>", Unparsable, "y.example"},
		{"an address in an encoded-word", " =?utf-8?q?a=40b.example?=; <x@y.example>", Unparsable, "y.example"},
		{"an encoded-word in a charset that writes an at sign otherwise", " =?utf-7?q?a+AEA-b.example?=; <x@y.example>", Unparsable, "y.example"},
		{"an encoded-word that cannot be decoded", " =?utf-8?b?%%?=; <x@y.example>", Unparsable, "y.example"},
		{"a fullwidth at sign", " a\uff20b.example; <x@y.example>", Unparsable, "y.example"},
		{"text behind the address", " News :: <x@y.example> b.example", Unparsable, "y.example"},
		{"a quoted-string without an end", ` News :: "x <x@y.example>`, Unparsable, ""},
		{"a control byte", " News :: \x01 <x@y.example>", Unparsable, "y.example"},
		{"a quoted local-part", ` News :: <"x"@y.example>`, Unparsable, "y.example"},
		{"words of this host before a bare address", " admin; x@y.example", Unparsable, "y.example"},
	})
}

// TestParseAuthorTakesNoPartOfALongFieldForTheWhole: an address behind what is
// looked at would be seen by mail readers alone.
func TestParseAuthorTakesNoPartOfALongFieldForTheWhole(t *testing.T) {
	long := " News :: " + strings.Repeat("x", MaxFromBytes) + "<x@y.example>"
	if got := ParseAuthor(from(long)); got.Outcome != Unparsable {
		t.Errorf("ParseAuthor(From of %d bytes) = %v; want unparsable", len(long), got.Outcome)
	}
	if got := ParseAuthor(from(" News :: <x@y.example>", " News :: <x@y.example>")); got.Outcome != SeveralFields {
		t.Errorf("ParseAuthor(two From fields) = %v; want several_fields", got.Outcome)
	}
}

// FuzzLoneDomain compares with another reader, and counts the signs that can
// make an address.
func FuzzLoneDomain(f *testing.F) {
	for _, s := range []string{
		" Wiki :: blog <x@y.example>", " News <Company> <x@y.example>", " \x1b$B%F%9%H\x1b(B <x@y.example>", " \x1b$Ba@b.c\x1b(B <x@y.example>",
		" =?utf-8?q?a=40b.example?=; <x@y.example>", " a; b, c: <x@y.example>", " News :: x@y.example", " (a@b) <x@y.example>", "\r\n <x@y.example>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		domain, ok := loneDomain(text)
		if !ok {
			return
		}
		name, addr, _ := cutAddress(unfold(text))
		plain, _, _ := cutJapanese(name)
		if strings.Count(addr, "@") != 1 || hasAt(plain) {
			t.Errorf("loneDomain(%q) = %q; want one address", text, domain)
		}
		if canonical, err := ParseDomain(domain); err != nil || canonical != domain {
			t.Errorf("loneDomain(%q) = %q; want a canonical domain", text, domain)
		}
		list, err := mail.ParseAddressList(text)
		if err != nil {
			return
		}
		for _, a := range list {
			_, d, _ := strings.Cut(a.Address, "@")
			if d, err := ParseDomain(d); err == nil && d != domain {
				t.Errorf("loneDomain(%q) = %q; net/mail sees %q", text, domain, a.Address)
			}
		}
	})
}
