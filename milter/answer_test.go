package milter

import (
	"strings"
	"testing"
)

func TestRefuseWritesReply(t *testing.T) {
	long := strings.Repeat("x", 2*maxReplyText)
	tests := []struct {
		name           string
		code           int
		enhanced, text string
		wire           string
	}{
		{"plain", 550, "5.7.1", "no", "550 5.7.1 no"},
		{"percent signs are doubled", 550, "5.7.1", "100%", "550 5.7.1 100%%"},
		{"several lines", 550, "5.7.1", "a\r\nb\n\nc", "550-5.7.1 a\r\n550-5.7.1 b\r\n550 5.7.1 c"},
		{"the class follows the code", 451, "5.7.1", "x", "451 4.7.1 x"},
		{"a status that is none", 550, "5.7", "x", "550 5.7.1 x"},
		{"a status with text", 550, "5.7.1\r\n", "x", "550 5.7.1 x"},
		{"no status", 450, "", "x", "450 4.7.1 x"},
		{"a code that delivers is none", 250, "2.0.0", "x", "451 4.3.0 x"},
		{"a code of nonsense is none", 5500, "5.0.0", "x", "451 4.3.0 x"},
		{"no text", 550, "5.7.1", " \n ", "550 5.7.1 Message refused"},
		{"no text, temporary", 450, "4.7.1", "", "450 4.7.1 Try again later"},
		{"control and foreign characters", 550, "5.7.1", "a\x00b\rc\x7fdé", "550 5.7.1 a?b?c?d?"},
		{"a long line", 550, "5.7.1", long, "550 5.7.1 " + long[:maxReplyText]},
		{"many lines", 550, "5.7.1", strings.Repeat("x\n", 99), strings.Repeat("550-5.7.1 x\r\n", maxReplyLines-1) + "550 5.7.1 x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(Refuse(tt.code, tt.enhanced, tt.text).wire()); got != tt.wire+"\x00" {
				t.Errorf("Refuse(%d, %q, %q) = %q; want %q", tt.code, tt.enhanced, tt.text, got, tt.wire)
			}
		})
	}
}

func TestReplyZeroValueDelivers(t *testing.T) {
	var r Reply
	if r.Refuses() || r.Temporary() || r.String() != "continue" {
		t.Errorf("zero Reply: %v %v %q; want to deliver", r.Refuses(), r.Temporary(), r)
	}
	if r := Refuse(451, "4.3.0", "a\nb"); !r.Refuses() || !r.Temporary() || r.String() != "451 4.3.0 a b" {
		t.Errorf("Refuse(451): %v %v %q", r.Refuses(), r.Temporary(), r)
	}
}

func TestInsertFieldStaysOneField(t *testing.T) {
	tests := []struct{ name, field, value, want string }{
		{"a space is added", "X", "a", "insert X: a"},
		{"a space is kept", "X", " a", "insert X: a"},
		{"CRLF folds become LF", "X", " a\r\n b", "insert X: a\n b"},
		{"LF folds stay", "X", " a\n\tb", "insert X: a\n\tb"},
		{"a line that would be a field", "X", " a\r\nBcc: b", "insert X: a Bcc: b"},
		{"a line that would end the header", "X", " a\r\n\r\nbody", "insert X: a body"},
		{"a line of white space", "X", " a\n \n b", "insert X: a\n b"},
		{"bare CR and NUL", "X", " a\rb\x00c", "insert X: a b c"},
		{"a trailing line end", "X", " a\r\n", "insert X: a"},
		{"a name with a colon", "X: y", " a", "insert Xy: a"},
		{"no name", "\r\n", " a", "nothing"},
		{"a long value is cut at a fold", "X", " a\n " + strings.Repeat("b", maxEditValue), "insert X: a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := InsertField(tt.field, tt.value).String(); got != tt.want {
				t.Errorf("InsertField(%q, %.40q) = %q; want %q", tt.field, tt.value, got, tt.want)
			}
		})
	}
}

func TestHoldReasonIsShortAndPrintable(t *testing.T) {
	for in, want := range map[string]string{"": "held", "a\nb": "a?b", strings.Repeat("é", 200): strings.Repeat("?", maxHoldReason)} {
		if got := Hold(in).value; got != want {
			t.Errorf("Hold(%q) = %q; want %q", in, got, want)
		}
	}
}

func TestDeleteFieldCountsFromOne(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("DeleteField(x, 0) does not panic")
		}
	}()
	DeleteField("x", 0)
}

func FuzzInsertField(f *testing.F) {
	for _, s := range []string{" a\r\n b", "a\nb", "\n", "\r", "a\n \n\tb", "\x00", " a\n" + strings.Repeat("\t", 9), "\n a"} {
		f.Add("X", s)
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		e := InsertField(name, value)
		if strings.ContainsAny(e.name, "\r\n: \x00") || strings.ContainsAny(e.value, "\r\x00") {
			t.Fatalf("InsertField(%q, %q) = %q", name, value, e)
		}
		for i, line := range strings.Split(e.value, "\n") {
			if e.name != "" && (line == "" || !isSpace(line[0]) || i > 0 && strings.TrimSpace(line) == "" && strings.Trim(line, " \t") == "") {
				t.Fatalf("InsertField(%q, %q) has the line %q", name, value, line)
			}
		}
		if again := InsertField(e.name, e.value); again != e {
			t.Fatalf("InsertField of its own result %q = %q", e, again)
		}
	})
}

func FuzzRefuse(f *testing.F) {
	f.Add(550, "5.7.1", "a%\nb")
	f.Add(0, "", "\r\n")
	f.Fuzz(func(t *testing.T, code int, enhanced, text string) {
		for line := range strings.SplitSeq(strings.TrimSuffix(string(Refuse(code, enhanced, text).wire()), "\x00"), "\r\n") {
			if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) || len(strings.ReplaceAll(line, "%%", "%")) > 510 {
				t.Fatalf("Refuse(%d, %q, %q) has the line %q", code, enhanced, text, line)
			}
			if line[4] != line[0] || strings.Contains(strings.ReplaceAll(line, "%%", ""), "%") {
				t.Fatalf("Refuse(%d, %q, %q) has the line %q", code, enhanced, text, line)
			}
		}
	})
}
