package pg

import (
	"testing"

	"dmarcgate/results"
)

func TestAForkIsFoundWhereTheFilesParted(t *testing.T) {
	o := func(token string, first int64) results.Opening { return results.Opening{Token: token, FirstSeq: first} }
	type list = []results.Opening
	tests := []struct {
		name               string
		openings, known    list
		shipped, attempted int64
		first              int64
		forked             bool
	}{
		{"the same file, still open", list{o("a", 1)}, list{o("a", 1)}, 50, 50, 0, false},
		{"opened again while the server was away", list{o("a", 1), o("b", 11), o("c", 11)}, list{o("a", 1)}, 10, 0, 0, false},
		{"opened again, and less shipped than written", list{o("a", 1), o("b", 101)}, list{o("a", 1)}, 10, 0, 0, false},
		{"a server that was set back", list{o("a", 1), o("b", 101)}, list{o("a", 1)}, 10, 120, 0, false},
		{"an old state put back: shipped beyond its end", list{o("a", 1), o("b", 51)}, list{o("a", 1)}, 100, 0, 51, true},
		{"an old state whose end is where shipping stands", list{o("a", 1), o("b", 51)}, list{o("a", 1)}, 50, 0, 0, false},
		{"an old state put back, and the original was opened later", list{o("a", 1), o("b", 51)}, list{o("a", 1), o("z", 81)}, 100, 0, 51, true},
		{"an original whose copy was taken for it", list{o("a", 1), o("b", 81)}, list{o("a", 1), o("z", 51)}, 60, 0, 51, true},
		{"the same, still in the opening that was copied", list{o("a", 1)}, list{o("a", 1), o("z", 51)}, 50, 50, 51, true},
		{"a copy made before there were rows", list{o("a", 1), o("b", 1)}, list{o("a", 1), o("z", 1)}, 0, 0, 1, true},
		{"a running machine set back", list{o("a", 1)}, list{o("a", 1)}, 100, 60, 61, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			first, forked := fork(tt.openings, tt.known, tt.shipped, tt.attempted)
			if first != tt.first || forked != tt.forked {
				t.Errorf("fork(%v, %v, %d, %d) = %d, %v; want %d, %v", tt.openings, tt.known, tt.shipped, tt.attempted, first, forked, tt.first, tt.forked)
			}
		})
	}
}
