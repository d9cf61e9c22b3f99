package whatif

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"dmarcgate/internal/resultstest"
	"dmarcgate/policy"
	"dmarcgate/results"
)

func TestTallyTablesAreBounded(t *testing.T) {
	c := newCapped[string, struct{}](100)
	own := func(s string) string { return s }
	for n := range 10_000 {
		c.count(fmt.Sprint("once-", n), own)
		if n > 5_000 && n%10 == 0 {
			c.count("late", own)
		}
	}
	if len(c.lines) > 100 {
		t.Errorf("%d lines; want at most 100", len(c.lines))
	}
	late := c.lines["late"]
	if late == nil || late.n > 499 || late.n+c.missed < 499 {
		t.Fatalf("late = %+v, may lack %d; want 499 within that", late, c.missed)
	}
	kept := int64(0)
	for _, e := range c.lines {
		kept += e.n
	}
	if kept+c.dropped != 10_499 {
		t.Errorf("%d counted in lines and %d beside them; want 10499 together", kept, c.dropped)
	}
	if first := c.sorted(func(_, _ ranked[string, struct{}]) int { return 0 })[0]; first.key != "late" {
		t.Errorf("the largest line is %s; want late", first.key)
	}
}

func TestTallyLineShowsPossibleLoss(t *testing.T) {
	c := newCapped[string, struct{}](4)
	own := func(s string) string { return s }
	for _, key := range []string{"gone", "gone", "a", "a", "a", "b", "b", "b", "c", "c", "d", "gone"} {
		c.count(key, own)
	}
	gone := c.lines["gone"]
	if gone == nil || gone.n != 1 || gone.n+c.missed < 3 || c.dropped != 4 {
		t.Errorf("gone = %+v, may lack %d, %d dropped; want 1 that may lack 2, 4 dropped", gone, c.missed, c.dropped)
	}
}

// hostileRows are rows of which each has names that no other has.
type hostileRows struct {
	n        int
	settings policy.Settings
}

func (h hostileRows) Scan(_ context.Context, _ results.Span, f func(results.Row) error) error {
	long := strings.Repeat("x", 200)
	for n := range h.n {
		name := fmt.Sprintf("%s%d.example", long, n)
		facts := resultstest.Facts(n, resultstest.Author(name, name))
		facts.QueueID, facts.Recipients, facts.SPF.Domain = name, []string{name, "b." + name}, "s"+name
		facts.DKIM = []policy.DKIM{{Result: "fail", Domain: name, HeaderOK: true}}
		r := resultstest.Decided(h.settings, facts)
		r.Decision.Rule, r.Settings = name, "others"
		if n%2 == 0 {
			r.Facts.Listener = name
		}
		if err := f(r); err != nil {
			return err
		}
	}
	return nil
}

func TestTallyMemoryIsBounded(t *testing.T) {
	c := trying(profileSettings(t, "strict"))
	c.readiness = true
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	const lines = maxLines / 10
	got := newTally(c, lines)
	if err := (hostileRows{6 * lines, profileSettings(t, "monitor")}).Scan(t.Context(), results.Span{}, func(r results.Row) error {
		got.take(&r, c)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	grown := heap() - before
	if most := uint64(10 << 20); grown > most { // of 256 MiB for all lines, for a program that collects its garbage late
		t.Errorf("hostile rows leave %d KiB; want at most %d", grown>>10, most>>10)
	}
	for name, n := range map[string]int{
		"causes": len(got.causes.lines), "rules": len(got.rules.lines), "authors": len(got.authors.lines),
		"recipients": len(got.recipients.lines), "sources": len(got.readiness.sources.lines), "traces": len(got.readiness.traces.lines),
	} {
		if n > lines || n < lines/4 {
			t.Errorf("%s: %d lines; want some, at most %d", name, n, lines)
		}
	}
	var text strings.Builder
	if err := (&report{tally: got, tried: c, limit: 5}).text(&text); err != nil || !strings.Contains(text.String(), "(others): ") {
		t.Errorf("text() = %v\n%s\nwant that it was capped", err, text.String())
	}
}
