package pattern

import "testing"

func TestNearestCountsEdits(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"profil", "profile", 1},
		{"timoeut", "timeout", 2},
		{"kitten", "sitting", 3},
		{"abc", "xyz", 3},
	}
	for _, tt := range tests {
		if got, back := distance(tt.a, tt.b), distance(tt.b, tt.a); got != tt.want || back != tt.want {
			t.Errorf("distance(%q, %q) = %d, the other way %d; want %d", tt.a, tt.b, got, back, tt.want)
		}
	}
}

func TestNearestGuessesNothingFar(t *testing.T) {
	tests := []struct{ in, want string }{
		{"monitr", "monitor"},
		{"stric", "strict"},
		{"reject", ""},
		{"", ""},
	}
	for _, tt := range tests {
		if got := Nearest(tt.in, []string{"monitor", "conformant", "strict"}); got != tt.want {
			t.Errorf("Nearest(%q) = %q; want %q", tt.in, got, tt.want)
		}
	}
}
