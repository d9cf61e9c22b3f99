package taglist

import (
	"slices"
	"strings"
	"testing"
	"unsafe"
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
		{"a name of every kind of character", "aZ_09z=1; Az=2", false, "aZ_09z=1 Az=2"},
		{"a name with a character beside the letters", "a{=1", false, ""},
		{"a name with a character before the digits", "a/=1", false, ""},
		{"a name with a character behind the digits", "a:=1", false, ""},
		{"a name that begins with an underscore", "_=x", false, ""},
		{"no name", "=x", false, ""},
		{"a control character in a signature", "v=\x01", false, ""},
		{"DEL in a signature", "v=a\x7fb", false, ""},
		{"a tilde and a U-label in a signature", "v=~\u00fc", false, "v=~\u00fc"},
		{"a tab in a signature", "v=a\tb", false, "v=a\tb"},
		{"a byte 0x80 in a signature", "v=\u0080", false, "v=\u0080"},
		{"a fold before the first name", "\r\n v=1", false, "v=1"},
		{"a fold that ends the text", "v=1\r\n ", false, "v=1"},
		{"a fold with a tab", "v=1\r\n\tx", false, "v=1\r\n\tx"},
		{"a line end that is no fold", "v=1\r\nx", false, ""},
		{"a line end at the end", "v=1\r\n", false, ""},
		{"a CR at the end", "v=1\r", false, ""},
		{"a CR alone", "v=1\r  x", false, ""},
		{"two folds in a row", "v=1\r\n \r\n x", false, "v=1\r\n \r\n x"},
		{"a control character within a value of a key record", "p=a\x01b", true, ""},
		{"DEL within a value of a key record", "p=a\x7fb", true, ""},
		{"lines within a value of a key record", "p=a\r\nb\tc", true, "p=a\r\nb\tc"},
		{"nothing", "", true, ""},
		{"as many tags as are read", many(64), false, strings.ReplaceAll(strings.TrimSuffix(many(64), ";"), ";", " ")},
		{"one more", many(65), false, ""},
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

func TestATagKnowsItsPlace(t *testing.T) {
	const text = "v=1; b = x y ;h=z"
	list, _ := Parse(text, false)
	for i, want := range []string{"1", " x y ", "z"} {
		if got := text[list[i].From:list[i].To]; got != want {
			t.Errorf("tag %d is at %q; want %q", i, got, want)
		}
	}
}

func TestValueOfATag(t *testing.T) {
	list, _ := Parse("v=1; z=From:x; b=", false)
	for _, tt := range []struct{ name, want string }{{"v", "1"}, {"b", ""}, {"q", "otherwise"}, {"V", "otherwise"}} {
		if got := list.Value(tt.name, "otherwise"); got != tt.want {
			t.Errorf("Value(%q) = %q; want %q", tt.name, got, tt.want)
		}
	}
	if tag, ok := list.Find("q"); ok || tag != (Tag{}) {
		t.Errorf("Find(q) = %+v, %v; want none", tag, ok)
	}
	before := list[0].Value
	list.Detach()
	if list.Value("v", "") != "1" || list.Value("z", "") != "" {
		t.Errorf("Detach leaves v=%q, z=%q; want 1 and nothing", list.Value("v", ""), list.Value("z", ""))
	}
	if unsafe.StringData(before) == unsafe.StringData(list[0].Value) {
		t.Error("Detach keeps the text")
	}
}

func TestWordsOfAList(t *testing.T) {
	for _, tt := range []struct {
		value, word string
		want        bool
	}{
		{"sha256", "sha256", true}, {"sha1 : SHA256", "sha256", true}, {"sha1", "sha256", false}, {"", "y", false}, {"ys", "y", false},
	} {
		if got := HasWord(tt.value, tt.word); got != tt.want {
			t.Errorf("HasWord(%q, %q) = %v; want %v", tt.value, tt.word, got, tt.want)
		}
	}
	if got := Split("From : \r\n To:"); !slices.Equal(got, []string{"From", "To", ""}) {
		t.Errorf("Split = %q; want From, To and nothing", got)
	}
}

func TestValuesAreDecoded(t *testing.T) {
	for in, want := range map[string]string{"": "", "abc": "abc", " a\tb\r\nc ": "abc", "a\vb": "a\vb", "a b c": "abc"} {
		if got := Compact(in); got != want {
			t.Errorf("Compact(%q) = %q; want %q", in, got, want)
		}
	}
	for _, tt := range []struct {
		in, want string
		ok       bool
	}{
		{"eHl6", "xyz", true}, {"eA==", "x", true}, {"eA", "x", true}, {"eHk=", "xy", true}, {" e A\r\n =\t=", "x", true},
		{"eA===", "", false}, {"==", "", false}, {"", "", false}, {"e!", "", false},
	} {
		if got, ok := Decode(tt.in); ok != tt.ok || ok && string(got) != tt.want {
			t.Errorf("Decode(%q) = %q, %v; want %q, %v", tt.in, got, ok, tt.want, tt.ok)
		}
	}
	for _, tt := range []struct {
		in, want string
		ok       bool
	}{
		{"plain@x", "plain@x", true}, {"a=20b", "a b", true}, {"=3D=F0c", "=\xf0c", true}, {"a =\r\n 2 0", "a ", true},
		{"a=2", "", false}, {"a=", "", false}, {"a=2f", "", false}, {"a=f2", "", false}, {"=G0", "", false}, {"=0G", "", false},
		{"=00", "\x00", true}, {"=A0=0A", "\xa0\n", true},
	} {
		if got, ok := Unquote(tt.in); ok != tt.ok || got != tt.want {
			t.Errorf("Unquote(%q) = %q, %v; want %q, %v", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("v=1; a=rsa-sha256; b= x\r\n y", false)
	f.Add("k=rsa;; p=\u00a0eA\x7f;\n", true)
	f.Fuzz(func(t *testing.T, text string, loose bool) {
		list, ok := Parse(text, loose)
		if ok != (len(list) > 0) || len(list) > 64 {
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
