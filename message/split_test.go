package message

import (
	"bytes"
	"strings"
	"testing"
)

func TestSplitTakesAMessageApart(t *testing.T) {
	tests := []struct {
		name, text, header, body string
	}{
		{"LF becomes CRLF", "From: a\nTo: b\n\nx\n", "From: a\r\n|To: b\r\n", "x\r\n"},
		{"CRLF stays", "From: a\r\n\r\nx\r\n", "From: a\r\n", "x\r\n"},
		{"folds belong to their field", "A: 1\n 2\n\t3\nB: 4\n\n", "A: 1\r\n 2\r\n\t3\r\n|B: 4\r\n", ""},
		{"no body", "A: 1\n", "A: 1\r\n", ""},
		{"no last line end", "A: 1\n\nx", "A: 1\r\n", "x\r\n"},
		{"a line that is no field begins the body", "A: 1\nhello\n\nx\n", "A: 1\r\n", "hello\r\n\r\nx\r\n"},
		{"an empty first line", "\nx: y\n", "", "x: y\r\n"},
		{"a fold without a field", " x\nA: 1\n", "", " x\r\nA: 1\r\n"},
		{"nothing", "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			header, body := Split([]byte(tt.text))
			if got := string(bytes.Join(header, []byte("|"))); got != tt.header {
				t.Errorf("Split(%q) header = %q; want %q", tt.text, got, tt.header)
			}
			if string(body) != tt.body {
				t.Errorf("Split(%q) body = %q; want %q", tt.text, body, tt.body)
			}
		})
	}
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte("A: 1\n 2\n\nx"))
	f.Add([]byte("\r\n\r\r\n:\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		header, body := Split(text)
		var all []byte
		for _, field := range header {
			if !bytes.HasSuffix(field, []byte("\r\n")) || bytes.IndexByte(field, ':') <= 0 {
				t.Fatalf("Split(%q) has the field %q", text, field)
			}
			all = append(all, field...)
		}
		if got, most := len(all)+len(body), 2*len(text)+2; got > most {
			t.Fatalf("Split(%q) returns %d bytes; want at most %d", text, got, most)
		}
		if strings.Contains(strings.ReplaceAll(string(body), "\r\n", ""), "\n") {
			t.Fatalf("Split(%q) has a bare LF in the body", text)
		}
	})
}
