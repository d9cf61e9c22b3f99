package pg

import (
	"testing"

	"dmarcgate/results"
)

func TestForkFindsFirstDifference(t *testing.T) {
	o := func(token string, first int64) results.Opening { return results.Opening{Token: token, FirstSeq: first} }
	type list = []results.Opening
	tests := []struct {
		name            string
		openings, known list
		shipped         int64
		own             mark
		first           int64
		forked          bool
	}{
		{"the same file, still open", list{o("a", 1)}, list{o("a", 1)}, 50, mark{"s", 50, 50}, 0, false},
		{"opened again while the server was away", list{o("a", 1), o("b", 11), o("c", 11)}, list{o("a", 1)}, 10, mark{}, 0, false},
		{"opened again, and less shipped than written", list{o("a", 1), o("b", 101)}, list{o("a", 1)}, 10, mark{}, 0, false},
		{"a server that was set back", list{o("a", 1), o("b", 101)}, list{o("a", 1)}, 10, mark{}, 0, false},
		{"an old state put back: shipped beyond its end", list{o("a", 1), o("b", 51)}, list{o("a", 1)}, 100, mark{}, 51, true},
		{"an old state whose end is where shipping stands", list{o("a", 1), o("b", 51)}, list{o("a", 1)}, 50, mark{}, 0, false},
		{"an old state put back, and the original was opened later", list{o("a", 1), o("b", 51)}, list{o("a", 1), o("z", 81)}, 100, mark{}, 51, true},
		{"an original whose copy was taken for it", list{o("a", 1), o("b", 81)}, list{o("a", 1), o("z", 51)}, 60, mark{}, 51, true},
		{"the same, still in the opening that was copied", list{o("a", 1)}, list{o("a", 1), o("z", 51)}, 50, mark{"s", 50, 50}, 51, true},
		{"a copy made before there were rows", list{o("a", 1), o("b", 1)}, list{o("a", 1), o("z", 1)}, 0, mark{}, 1, true},
		{"a batch whose commit was never heard of", list{o("a", 1)}, list{o("a", 1)}, 60, mark{"s", 50, 60}, 0, false},
		{"one that was not done", list{o("a", 1)}, list{o("a", 1)}, 50, mark{"s", 50, 60}, 0, false},
		{"a machine set back during one", list{o("a", 1)}, list{o("a", 1)}, 55, mark{"s", 50, 60}, 51, true},
		{"a new store set back", list{o("a", 1)}, list{o("a", 1)}, 10, mark{"s", 0, 0}, 1, true},
		{"a server set back under a running machine", list{o("a", 1)}, list{o("a", 1)}, 10, mark{"s", 50, 50}, 0, false},
		{"a running machine set back", list{o("a", 1)}, list{o("a", 1)}, 100, mark{"s", 60, 60}, 61, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			first, forked := fork(tt.openings, tt.known, tt.shipped, tt.own)
			if first != tt.first || forked != tt.forked {
				t.Errorf("fork(%v, %v, %d, %v) = %d, %v; want %d, %v", tt.openings, tt.known, tt.shipped, tt.own, first, forked, tt.first, tt.forked)
			}
		})
	}
}
