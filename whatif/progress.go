package whatif

import (
	"context"
	"fmt"
	"strings"
	"time"

	"dmarcgate/results"
	"dmarcgate/survey"
	"dmarcgate/term"
)

// bar draws how far a scan has come, on one line of a terminal. It goes by the
// times of the rows, which come in order: to count them first would take long.
type bar struct {
	survey.Scanner
	shown term.Line
	now   func() time.Time

	end   time.Time // of the span
	first time.Time // of the first row
	began time.Time
	drawn time.Time
	rows  int64
}

const (
	redraw    = 200 * time.Millisecond
	lookEvery = 64 // rows between two looks at the clock
	barWidth  = 24
)

// Scan scans the store, and draws meanwhile.
func (b *bar) Scan(ctx context.Context, span results.Span, f func(results.Row) error) error {
	b.began = b.now()
	if b.end = span.To; b.end.IsZero() || b.end.After(b.began) {
		b.end = b.began
	}
	defer b.shown.Clear()
	return b.Scanner.Scan(ctx, span, func(r results.Row) error {
		b.seen(r.Facts.Time)
		return f(r)
	})
}

func (b *bar) seen(at time.Time) {
	if b.rows == 0 {
		b.first = at
	}
	if b.rows++; b.rows%lookEvery != 0 {
		return
	}
	now := b.now()
	if now.Sub(b.drawn) < redraw {
		return
	}
	b.drawn = now
	b.shown.Draw(b.line(at, now))
}

// line is what the bar shows at a row of that time.
func (b *bar) line(at, now time.Time) string {
	done := 1.0
	if all := b.end.Sub(b.first); all > 0 {
		done = min(1, max(0, float64(at.Sub(b.first))/float64(all)))
	}
	took := now.Sub(b.began)
	filled := int(done * barWidth)
	line := fmt.Sprintf("[%s%s] %3.0f%%  %d messages", strings.Repeat("#", filled), strings.Repeat("-", barWidth-filled), 100*done, b.rows)
	if took > 0 {
		line += fmt.Sprintf("  %.0f/s", float64(b.rows)/took.Seconds())
	}
	if done > 0.01 && done < 1 {
		left := time.Duration(float64(took) * (1 - done) / done)
		line += fmt.Sprintf("  %s left", left.Round(time.Second))
	}
	return line
}
