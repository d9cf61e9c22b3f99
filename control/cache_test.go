package control

import (
	"fmt"
	"strings"
	"testing"

	"dmarcgate/dnscache"
)

func TestCacheDumpStreamsLargeCache(t *testing.T) {
	var out, warn strings.Builder
	list := dumpPrinter{Session: Session{Out: &out, Warn: &warn}}
	for i := range maxSorted + 2 {
		if err := list.add(dnscache.Entry{Name: fmt.Sprintf("d%05d.example", maxSorted+2-i), Type: "TXT"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := list.end(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != maxSorted+2 || !strings.HasPrefix(lines[0], "TXT d10002.example") || !strings.HasPrefix(lines[maxSorted+1], "TXT d00001.example") {
		t.Errorf("cache dump prints %d lines from %q to %q; want all %d in their order", len(lines), lines[0], lines[len(lines)-1], maxSorted+2)
	}
	if !strings.Contains(warn.String(), "not sorted") {
		t.Errorf("warnings = %q; want that they are not sorted", warn.String())
	}
}
