package dmarc

import "testing"

func TestRelatedGuessesByNames(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"example.com", "example.com", true},
		{"mail.example.com", "example.com", true},
		{"example.com", "a.b.example.com", true},
		{"a.example.com", "b.example.com", true},
		{"a.x.example.co.uk", "b.example.co.uk", true},
		{"example.co.uk", "example.com", false},
		{"a.co.uk", "b.co.uk", false},
		{"evilexample.com", "example.com", false},
		{"example.com", "evilexample.com", false},
		{"a.github.io", "b.github.io", true}, // by the tree walk, one record at github.io makes it so
		{"a.github.io", "b.io", false},
		{"a.blogspot.com", "b.com", false},
		{"a.corp", "b.corp", false},
		{"a.x.corp", "b.x.corp", true},
		{"", "example.com", false},
		{"com", "example.com", true},
	} {
		if got, back := Related(tt.a, tt.b), Related(tt.b, tt.a); got != tt.want || back != tt.want {
			t.Errorf("Related(%q, %q) = %v, and %v the other way; want %v", tt.a, tt.b, got, back, tt.want)
		}
	}
}
