package dmarc

import (
	"strings"
	"testing"

	"github.com/weppos/publicsuffix-go/publicsuffix"

	"dmarcgate/internal/suites"
)

// Another library reads the whole list and finds the same, for each rule and names above
// and below it.
func TestLoadSuffixesAgreesWithAnotherLibrary(t *testing.T) {
	text := string(suites.Read(t, "psl/public_suffix_list.dat"))
	ours, err := readSuffixes(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	theirs := publicsuffix.NewList()
	if _, err := theirs.Load(strings.NewReader(text), publicsuffix.DefaultParserOptions); err != nil {
		t.Fatal(err)
	}
	names, wrong := 0, 0
	for rule := range ours {
		_, parent, _ := strings.Cut(rule, ".")
		for _, name := range []string{rule, parent, "a." + rule, "b.a." + rule, "c.b.a." + rule, "x" + rule} {
			if name == "" {
				continue
			}
			want, err := publicsuffix.DomainFromListWithOptions(theirs, name, &publicsuffix.FindOptions{DefaultRule: publicsuffix.DefaultRule})
			if err != nil {
				want = ""
			}
			names++
			if got := ours.Org(name); got != want && wrong < 20 {
				wrong++
				t.Errorf("Org(%q) = %q; want %q", name, got, want)
			}
		}
	}
	if names < 40_000 {
		t.Errorf("%d names were compared; want the whole list", names)
	}
}

func TestReadSuffixesTakesEachKindOfRule(t *testing.T) {
	list, err := readSuffixes(strings.NewReader("// a comment\n\nCOM\n*.ck\n!www.ck\tand more\n\tboth.example\n*.both.example\nbücher.example\n*\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"com": "", "a.com": "a.com", "B.A.Com": "a.com", "ck": "", "x.ck": "", "a.x.ck": "a.x.ck", "www.ck": "www.ck", "a.www.ck": "www.ck",
		"both.example": "", "x.both.example": "", "a.x.both.example": "a.x.both.example", "xn--bcher-kva.example": "", "a.bücher.example": "a.xn--bcher-kva.example",
		"unlisted": "", "a.unlisted": "a.unlisted", "": "", ".": "", ".com": "", "a..com": "", "a.com.": "",
	} {
		if got := list.Org(name); got != want {
			t.Errorf("Org(%q) = %q; want %q", name, got, want)
		}
	}
	if _, err := readSuffixes(strings.NewReader("com\n!\n")); err == nil || !strings.Contains(err.Error(), "is no domain") {
		t.Errorf("a rule without a name: %v; want an error", err)
	}
}
