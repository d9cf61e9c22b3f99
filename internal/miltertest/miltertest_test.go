package miltertest

import (
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestSplitIsWhatAMilterSees(t *testing.T) {
	tests := []struct {
		name, message string
		fields        []Field
		body          string
	}{
		{"LF becomes CRLF in the body", "A: 1\nB:2\n\nx\ny\n", []Field{{"A", " 1"}, {"B", "2"}}, "x\r\ny\r\n"},
		{"CRLF folds become LF", "A: 1\r\n\t2\r\n 3\r\n\r\nx\r\n", []Field{{"A", " 1\n\t2\n 3"}}, "x\r\n"},
		{"white space before the colon goes", "From : a\n\n", []Field{{"From", " a"}}, ""},
		{"a line that is no field ends the header", "A: 1\nno field\nB: 2\n", []Field{{"A", " 1"}}, "no field\r\nB: 2\r\n"},
		{"a Return-Path goes", "return-path: <a@b>\nA: 1\n\n", []Field{{"A", " 1"}}, ""},
		{"an empty value", "A:\n\n", []Field{{"A", ""}}, ""},
		{"no header", "\nx", nil, "x\r\n"},
		{"a bare CR in the body is a space", "A: 1\n\nx\ry\n", []Field{{"A", " 1"}}, "x y\r\n"},
		{"nothing", "", nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fields, body := Split([]byte(tt.message))
			if !reflect.DeepEqual(fields, tt.fields) || string(body) != tt.body {
				t.Errorf("Split(%q) = %q, %q; want %q, %q", tt.message, fields, body, tt.fields, tt.body)
			}
		})
	}
	fields, _ := Split([]byte("Long: " + strings.Repeat("x", 70000) + "\n\n"))
	if n := len(fields[0].Name) + 1 + len(fields[0].Value); n != maxField {
		t.Errorf("a long field is cut to %d bytes; want %d", n, maxField)
	}
}

func TestApplyEditsLikePostfix(t *testing.T) {
	const message = "A: 1\nB: 2\n\tfolded\na: 3\nA: 4\n\nbody\n"
	tests := []struct {
		name  string
		edits []Edit
		want  string
	}{
		{"insert on top", []Edit{{OpInsert, 0, "X", " 0"}}, "X: 0\nA: 1\nB: 2\n\tfolded\na: 3\nA: 4\n\nbody\n"},
		{"insert within", []Edit{{OpInsert, 2, "X", " 0\n y"}}, "A: 1\nB: 2\n\tfolded\nX: 0\n y\na: 3\nA: 4\n\nbody\n"},
		{"insert beyond the end", []Edit{{OpInsert, 99, "X", " 0"}}, "A: 1\nB: 2\n\tfolded\na: 3\nA: 4\nX: 0\n\nbody\n"},
		{"delete the last first", []Edit{{OpChange, 3, "A", ""}, {OpChange, 1, "A", ""}}, "B: 2\n\tfolded\na: 3\n\nbody\n"},
		{"a deleted field renumbers the rest", []Edit{{OpChange, 1, "A", ""}, {OpChange, 3, "A", ""}}, "B: 2\n\tfolded\na: 3\nA: 4\n\nbody\n"},
		{"an inserted field counts", []Edit{{OpInsert, 0, "A", " 0"}, {OpChange, 1, "A", ""}}, message},
		{"change", []Edit{{OpChange, 1, "b", " new"}}, "A: 1\nb: new\na: 3\nA: 4\n\nbody\n"},
		{"change of what is not there adds", []Edit{{OpChange, 1, "C", " new"}}, "A: 1\nB: 2\n\tfolded\na: 3\nA: 4\nC: new\n\nbody\n"},
		{"deletion of what is not there", []Edit{{OpChange, 1, "C", ""}}, message},
		{"add", []Edit{{OpAdd, 0, "C", " new"}}, "A: 1\nB: 2\n\tfolded\na: 3\nA: 4\nC: new\n\nbody\n"},
		{"a quarantine changes nothing", []Edit{{OpHold, 0, "", "why"}}, message},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := Result{Edits: tt.edits, LeadingSpace: true}
			if got := string(Apply([]byte(message), r)); got != tt.want {
				t.Errorf("Apply() = %q; want %q", got, tt.want)
			}
			crlf := strings.ReplaceAll(message, "\n", "\r\n")
			if got := string(Apply([]byte(crlf), r)); got != strings.ReplaceAll(tt.want, "\n", "\r\n") {
				t.Errorf("Apply() with CRLF = %q", got)
			}
		})
	}
	r := Result{Edits: []Edit{{OpInsert, 0, "X", "0"}}}
	if got := string(Apply([]byte("\nbody"), r)); got != "X: 0\n\nbody" {
		t.Errorf("without leading spaces Apply() = %q; want a space added", got)
	}
}

func TestRepliesThatAnMTARefuses(t *testing.T) {
	for _, text := range []string{
		"", "550", "250 2.0.0 ok", "550 4.7.1 class", "550 5.7.1 100% sure", "550-5.7.1 no last line",
		"550 5.7.1 a\r\n550 5.7.1 b", "550-5.7.1 a\r\n551 5.7.1 b", "550 5.7.1 a\nb", "550 5.7.1 " + strings.Repeat("x", 510),
	} {
		if r, err := parseReply('y', append([]byte(text), 0)); err == nil {
			t.Errorf("parseReply(%q) = %+v; want an error", text, r)
		}
	}
	want := Reply{ReplyCode, 550, "5.7.1", "100% a\nb"}
	if got, err := parseReply('y', []byte("550-5.7.1 100%% a\r\n550 5.7.1 b\x00")); err != nil || got != want {
		t.Errorf("parseReply() = %+v, %v; want %+v", got, err, want)
	}
}

func TestEditsThatAnMTARefuses(t *testing.T) {
	c := &Client{agreed: Agreed{Offer: Offer{Actions: AddHeader | ChangeHeader}}}
	for _, tt := range []struct{ name, data string }{
		{"not agreed", "qwhy\x00"}, {"no index", "iX"}, {"field 0", "m\x00\x00\x00\x00X\x00\x00"}, {"one string", "hX\x00"},
		{"no end", "hX\x00a"}, {"another field", "hX\x00 a\nB: c\x00"}, {"CRLF", "hX\x00 a\r\n b\x00"},
	} {
		if e, _, err := c.parseEdit(tt.data[0], []byte(tt.data[1:])); err == nil {
			t.Errorf("%s: parseEdit(%q) = %+v; want an error", tt.name, tt.data, e)
		}
	}
}

func TestFilterMayNotTakeMoreThanTheOffer(t *testing.T) {
	for name, answer := range map[string]string{
		"version":     "\x00\x00\x00\x0dO\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00",
		"actions":     "\x00\x00\x00\x0dO\x00\x00\x00\x06\x00\x00\x02\x00\x00\x00\x00\x00",
		"protocol":    "\x00\x00\x00\x0dO\x00\x00\x00\x06\x00\x00\x00\x00\x00\x20\x00\x00",
		"macro lists": "\x00\x00\x00\x13O\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00j\x00",
		"no answer":   "\x00\x00\x00\x01c",
		"enormous":    "\xff\xff\xff\xffO",
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			go func() {
				_, _ = theirs.Read(make([]byte, 64))
				_, _ = theirs.Write([]byte(answer))
				_ = theirs.Close()
			}()
			if c, err := New(ours, Options{}); err == nil {
				t.Errorf("New() agrees to %+v; want an error", c.Agreed())
			}
		})
	}
}

// filter is a client whose filter has written answers already and reads what
// comes.
func filter(t *testing.T, answers string) *Client {
	ours, theirs := net.Pipe()
	go func() { _, _ = io.Copy(io.Discard, theirs) }()
	go func() { _, _ = theirs.Write([]byte(answers)) }()
	t.Cleanup(func() { _ = theirs.Close() })
	return Raw(ours, Options{Timeout: 10 * time.Second})
}

func TestProgressIsCountedAndNoAnswer(t *testing.T) {
	const more, done = "\x00\x00\x00\x01p", "\x00\x00\x00\x01c"
	c := filter(t, more+done+more+more+done)
	if r, err := c.EndOfHeader(); err != nil || r.Action != Continue {
		t.Errorf("EndOfHeader() = %v, %v; want continue", r, err)
	}
	if r, err := c.EndOfMessage(); err != nil || r.Action != Continue || r.Progress != 2 {
		t.Errorf("EndOfMessage() = %+v, %v; want continue after 2 progresses", r, err)
	}
}

func TestProgressWithDataIsRefused(t *testing.T) {
	const wrong = "\x00\x00\x00\x02px"
	c := filter(t, wrong+wrong)
	if r, err := c.EndOfHeader(); err == nil {
		t.Errorf("EndOfHeader() = %v; want an error", r)
	}
	if r, err := c.EndOfMessage(); err == nil {
		t.Errorf("EndOfMessage() = %+v; want an error", r)
	}
}
