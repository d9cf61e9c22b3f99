package dbfile

import "testing"

func TestByQueueIDReadsAnyBlock(t *testing.T) {
	for n := range 20 {
		if got := Find(make([]byte, n), 5, 0); len(got) != n/digestEntry {
			t.Errorf("Find in %d bytes = %v; want %d rows", n, got, n/digestEntry)
		}
	}
}
