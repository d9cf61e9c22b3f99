package message

import (
	"bytes"
	"strings"
	"testing"
)

func TestNewFieldSplitsAtTheFirstColon(t *testing.T) {
	tests := []struct {
		name, raw, wantName, wantBody, wantValue string
	}{
		{"an ordinary field", "Subject: hello\r\n", "Subject", " hello", "hello"},
		{"a colon in the value", "Subject: a: b\r\n", "Subject", " a: b", "a: b"},
		{"no space after the colon", "Subject:a\r\n", "Subject", "a", "a"},
		{"space before the colon", "From \t: a@b\r\n", "From", " a@b", "a@b"},
		{"a vertical tab before the colon", "From\v: a@b\r\n", "From", " a@b", "a@b"},
		{"folds", "Subject: a\r\n b\r\n\tc\r\n", "Subject", " a\r\n b\r\n\tc", "a b\tc"},
		{"a fold of LF alone", "Subject: a\n b\n", "Subject", " a\n b", "a b"},
		{"a fold first", "Subject:\r\n a\r\n", "Subject", "\r\n a", "a"},
		{"line breaks that are no folds", "X: a\r\nY: b\rc\nd\r\n", "X", " a\r\nY: b\rc\nd", "a  Y: b c d"},
		{"an empty value", "X:\r\n", "X", "", ""},
		{"a blank value", "X: \t \r\n", "X", " \t ", ""},
		{"no colon", "hello \r\n", "hello", "", ""},
		{"no name", ": a\r\n", "", " a", "a"},
		{"nothing", "", "", "", ""},
		{"no final line break", "X: a", "X", " a", "a"},
		{"8-bit bytes stay", "X\xff: \xfe\x00\r\n", "X\xff", " \xfe\x00", "\xfe\x00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := NewField([]byte(tt.raw))
			if f.Name != tt.wantName || f.Body() != tt.wantBody || f.Value() != tt.wantValue {
				t.Errorf("NewField(%q) = name %q, body %q, value %q; want %q, %q, %q", tt.raw, f.Name, f.Body(), f.Value(), tt.wantName, tt.wantBody, tt.wantValue)
			}
			if string(f.Raw) != tt.raw {
				t.Errorf("NewField(%q).Raw = %q; want the same bytes", tt.raw, f.Raw)
			}
		})
	}
}

func TestIsComparesASCIIWithoutCase(t *testing.T) {
	for _, tt := range []struct {
		raw, name string
		want      bool
	}{
		{"Authentication-Results: x", "Authentication-Results", true},
		{"aUTHENTICATION-rESULTS : x", "Authentication-Results", true},
		{"Authentication-Re\u017fults: x", "Authentication-Results", false}, // long s
		{"\u212aey: x", "Key", false},                                       // sign for kelvin
		{"Authentication-Result: x", "Authentication-Results", false},
		{"X-Authentication-Results: x", "Authentication-Results", false},
		{": x", "", true},
	} {
		if got := NewField([]byte(tt.raw)).Is(tt.name); got != tt.want {
			t.Errorf("NewField(%q).Is(%q) = %v; want %v", tt.raw, tt.name, got, tt.want)
		}
	}
}

func TestNamedKeepsOrderAndIgnoresCase(t *testing.T) {
	h := Header{
		NewField([]byte("Received: 1\r\n")),
		NewField([]byte("From: x\r\n")),
		NewField([]byte("RECEIVED : 2\r\n")),
		NewField([]byte("X-Received: 3\r\n")),
	}
	var got []string
	for _, f := range h.Named("received") {
		got = append(got, f.Value())
	}
	if strings.Join(got, " ") != "1 2" {
		t.Errorf("Named(%q) = %q; want [1 2]", "received", got)
	}
	if found := h.Named("To"); len(found) != 0 {
		t.Errorf("Named(%q) = %q; want none", "To", found)
	}
}

func FuzzNewField(f *testing.F) {
	for _, s := range []string{"From : a\r\n b\r\n", ":", "\r\n", "X: a\rb\nc\r\n", "X:\r\n \r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		field := NewField(raw)
		if !bytes.Equal(field.Raw, raw) {
			t.Errorf("NewField(%q).Raw = %q; want the same bytes", raw, field.Raw)
		}
		if strings.Contains(field.Name, ":") {
			t.Errorf("NewField(%q).Name = %q; want no colon", raw, field.Name)
		}
		value := field.Value()
		if strings.ContainsAny(value, "\r\n") || len(value) > len(raw) {
			t.Errorf("NewField(%q).Value() = %q; want one line", raw, value)
		}
	})
}
