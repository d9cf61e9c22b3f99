package main

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestContendersTakeTurnsAndBeginInTurn(t *testing.T) {
	var order []byte
	name := func(c byte) contender {
		return contender{string(c), func() error { order = append(order, c); return nil }}
	}
	c := &contest{calls: 1, contenders: []contender{name('a'), name('b'), name('c')}}
	if err := hold(t.Context(), []*contest{c}, 3); err != nil {
		t.Fatal(err)
	}
	// Each is called once more than is counted.
	if want := "aabbcc" + "bbccaa" + "ccaabb"; string(order) != want {
		t.Errorf("order = %s; want %s", order, want)
	}
	for i, used := range c.used {
		if len(used) != 3 {
			t.Errorf("contender %d was measured %d times; want 3", i, len(used))
		}
	}
}

func TestAWrongResultEndsTheContest(t *testing.T) {
	wrong := errors.New("wrong")
	c := &contest{title: "t", calls: 1, contenders: []contender{{"a", func() error { return wrong }}}}
	if err := hold(t.Context(), []*contest{c}, 1); !errors.Is(err, wrong) {
		t.Errorf("hold = %v; want %v", err, wrong)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := hold(ctx, []*contest{c}, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("hold = %v; want %v", err, context.Canceled)
	}
}

func TestRatiosAreThoseOfOneRepetition(t *testing.T) {
	c := &contest{used: [][]float64{{1, 2, 4}, {4, 2, 2}}}
	got := c.ratios(want{over: 1, under: 0})
	if want := []float64{4, 1, 0.5}; !slices.Equal(got, want) {
		t.Errorf("ratios = %v; want %v", got, want)
	}
	if got := spreadOf(got); got != (spread{1, 0.5, 4}) {
		t.Errorf("spread = %+v", got)
	}
	if got := spreadOf(nil); !math.IsNaN(got.median) {
		t.Errorf("spread of nothing = %+v; want NaN", got)
	}
}

func TestBoundsAreSaidWithTheRatio(t *testing.T) {
	for _, tt := range []struct {
		want want
		text string
	}{
		{want{}, "2.00 (1.00-3.00)"},
		{want{least: 2}, "2.00 (1.00-3.00) >= 2 ok"},
		{want{least: 2.5}, "2.00 (1.00-3.00) >= 2.5 MISSED"},
		{want{atMost: 2}, "2.00 (1.00-3.00) <= 2 ok"},
		{want{atMost: 1.3}, "2.00 (1.00-3.00) <= 1.3 MISSED"},
	} {
		if got := tt.want.cell(spread{2, 1, 3}); got != tt.text {
			t.Errorf("cell of %+v = %q; want %q", tt.want, got, tt.text)
		}
	}
}

func TestATableHasAColumnForEachContenderAndBound(t *testing.T) {
	c := &contest{
		group: "things", title: "one", contenders: []contender{{name: "ours"}, {name: "lib"}},
		used: [][]float64{{1}, {3}}, wants: []want{{title: "lib/ours", over: 1, under: 0, least: 2}},
	}
	var out strings.Builder
	p := printer{w: &out}
	p.table(group{c})
	got := strings.Join(strings.Fields(out.String()), " ")
	if want := "things ours lib lib/ours one 1 3 3.00 (3.00-3.00) >= 2 ok"; p.err != nil || got != want {
		t.Errorf("table = %q, %v; want %q", got, p.err, want)
	}
}
