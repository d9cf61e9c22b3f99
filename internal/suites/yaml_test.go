package suites

import (
	"reflect"
	"strings"
	"testing"
)

func text(s string) Node { return Node{Text: s} }

func list(items ...Node) Node { return Node{Items: append([]Node{}, items...)} }

func dict(pairs ...any) Node {
	n := Node{Items: []Node{}}
	for i := 0; i < len(pairs); i += 2 {
		n.Keys, n.Items = append(n.Keys, pairs[i].(string)), append(n.Items, pairs[i+1].(Node))
	}
	return n
}

func TestYAMLReadsWhatTheSuitesWrite(t *testing.T) {
	tests := []struct {
		name, text string
		want       Node
	}{
		{"scalars", "a: mail.example\nb: ::FFFF:192.0.2.1\nc: 'it''s %{l}'\nd: \"x\\n\\\"y\\\\ \\0\\x80\"\ne: ''\nf: 1 # one", dict(
			"a", text("mail.example"), "b", text("::FFFF:192.0.2.1"), "c", text("it's %{l}"), "d", text("x\n\"y\\ \x00\x80"), "e", text(""), "f", text("1"))},
		{"keys with colons", "foo:bar/baz.example: x\n\"two  spaces: one\": y", dict("foo:bar/baz.example", text("x"), "two  spaces: one", text("y"))},
		{"lists in brackets", "a: [10,mail.example]\nb: [0, \"foo:bar, baz\"]\nc: [ \"v=spf1 ip4:\", 'x y' ]\nd: [ ]\n", dict(
			"a", list(text("10"), text("mail.example")), "b", list(text("0"), text("foo:bar, baz")), "c", list(text("v=spf1 ip4:"), text("x y")), "d", list())},
		{"maps and lists below", "a:\n  b:\n    - SPF: v=spf1 -all\n    - TIMEOUT\n  c: x\n", dict(
			"a", dict("b", list(dict("SPF", text("v=spf1 -all")), text("TIMEOUT")), "c", text("x")))},
		{"a list as far left as its key", "a:\n- x: 1\n  y: 2\n- x: 3\nb: z\n", dict(
			"a", list(dict("x", text("1"), "y", text("2")), dict("x", text("3"))), "b", text("z"))},
		{"a block keeps its lines", "a: |\n  From: x\n    folded\n\n  # body\nb: y\n", dict("a", text("From: x\n  folded\n\n# body\n"), "b", text("y"))},
		{"a block without its last line break", "a: |-\n  x\n  y\n", dict("a", text("x\ny"))},
		{"a folded block", "a: >-\n  x\n  y\nb: z", dict("a", text("x y"), "b", text("z"))},
		{"a plain scalar on two lines", "a: x\n  y\nb: z", dict("a", text("x y"), "b", text("z"))},
		{"comments and empty lines", "# c\na: x\n\n  # d\nb: y\n", dict("a", text("x"), "b", text("y"))},
		{"nothing", "a:\nb: y\n", dict("a", Node{}, "b", text("y"))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := YAML("---\n" + tt.text)
			if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], tt.want) {
				t.Errorf("YAML(%q) = %+v, %v; want %+v", tt.text, got, err, tt.want)
			}
		})
	}
}

func TestYAMLRefusesWhatItDoesNotUnderstand(t *testing.T) {
	for _, text := range []string{"a: x\n  b: y\n", "a: \"x\n", "a: 'x\n", "a: [x\n", "a: \"x\" y\n", "no key\n", "a: x\n- y\n"} {
		text = "# the library names no line for a fault in the first\n" + text
		if got, err := YAML(text); err == nil || !strings.Contains(err.Error(), "line ") {
			t.Errorf("YAML(%q) = %+v, %v; want an error with a line", text, got, err)
		}
	}
}

func TestTheSuitesAreReadWhole(t *testing.T) {
	for name, want := range map[string][2]int{ // documents, tests
		"spf-rfc7208/rfc7208-tests.yml":          {16, 203},
		"arc-validation/arc-validation-half.yml": {10, 87},
	} {
		docs, err := YAML(string(Read(t, name)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		tests := 0
		for _, d := range docs {
			tests += len(d.Get("tests").Keys)
		}
		if len(docs) != want[0] || tests != want[1] {
			t.Errorf("%s has %d documents with %d tests; want %v", name, len(docs), tests, want)
		}
	}
}

func TestGetAndTexts(t *testing.T) {
	docs, err := YAML("a: 1\na: 2\nb: [x, y]\n")
	if err != nil {
		t.Fatal(err)
	}
	if got := docs[0].Get("a").Text; got != "2" || !docs[0].Has("a") {
		t.Errorf("Get(a) = %q; want the last", got)
	}
	if got := docs[0].Get("none"); docs[0].Has("none") || !reflect.DeepEqual(got, Node{}) {
		t.Errorf("Get(none) = %+v; want the zero Node", got)
	}
	if got := strings.Join(docs[0].Get("b").Texts(), "|") + docs[0].Get("a").Texts()[0]; got != "x|y2" {
		t.Errorf("Texts() = %q; want x|y and 2", got)
	}
}
