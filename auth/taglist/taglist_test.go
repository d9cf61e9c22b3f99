package taglist

import (
	"strings"
	"testing"
)

func TestParseSeparatesNamesAndValues(t *testing.T) {
	for _, tt := range []struct {
		about, text string
		loose       bool
		want        string // names and values, or "" for no list
	}{
		{"two tags", "v=1; a=rsa-sha256", false, "v=1 a=rsa-sha256"},
		{"a semicolon at the end", "v=1;", false, "v=1"},
		{"white space and a fold around a value", "v = 1 ;\r\n\tb=x y", false, "v=1 b=x y"},
		{"an equals sign in a value", "b=eA==", false, "b=eA=="},
		{"a name twice", "v=1; v=1", false, ""},
		{"names differ in case", "v=1; V=1", false, "v=1 V=1"},
		{"an empty place in a signature", "v=1;; a=b", false, ""},
		{"an empty place in a key record", "v=1;; a=b", true, "v=1 a=b"},
		{"a bare LF in a signature", "v=1;\n a=b", false, ""},
		{"a bare LF in a key record", "v=1;\n a=b", true, "v=1 a=b"},
		{"stray bytes around a value of a key record", "k=rsa; p=\u00a0eA\x7f", true, "k=rsa p=eA"},
		{"a name that begins with a digit", "1=x", false, ""},
		{"no equals sign", "v", false, ""},
		{"nothing", "", true, ""},
		{"as many tags as are read", many(maxTags), false, strings.ReplaceAll(strings.TrimSuffix(many(maxTags), ";"), ";", " ")},
		{"one more", many(maxTags + 1), false, ""},
	} {
		list, ok := Parse(tt.text, tt.loose)
		var words []string
		for _, tag := range list {
			words = append(words, tag.Name+"="+tag.Value)
		}
		if got := strings.Join(words, " "); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: Parse(%q, %v) = %q, %v; want %q", tt.about, tt.text, tt.loose, got, ok, tt.want)
		}
	}
}

// many is a list of n tags.
func many(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("t" + strings.Repeat("x", i) + "=1;")
	}
	return b.String()
}

func TestBareTakesStrayBytesAway(t *testing.T) {
	for in, want := range map[string]string{
		"reject": "reject", " reject\r\n": "reject", "\u00a0reject\xa0\x7f": "reject", "\u00a0": "", "": "", "a b": "a b", "a\u00a0b": "a\u00a0b",
	} {
		if got := Bare(in); got != want {
			t.Errorf("Bare(%q) = %q; want %q", in, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("v=1; a=rsa-sha256; b= x\r\n y", false)
	f.Add("k=rsa;; p=\u00a0eA\x7f;\n", true)
	f.Fuzz(func(t *testing.T, text string, loose bool) {
		list, ok := Parse(text, loose)
		if ok != (len(list) > 0) || len(list) > maxTags {
			t.Errorf("Parse(%q) = %d tags, %v", text, len(list), ok)
		}
		for i, tag := range list {
			if found, _ := list.Find(tag.Name); found != list[i] {
				t.Errorf("Find(%q) = %+v; want %+v, as each name is there once", tag.Name, found, tag)
			}
			if between := text[tag.From:tag.To]; !strings.Contains(between, tag.Value) || strings.Contains(between, ";") {
				t.Errorf("tag %+v is at %q", tag, between)
			}
		}
	})
}
