package logging

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Our limits of one text of a warning or an error. A reload says at most 50 lines of one
// text, and all of them are written.
const (
	repeatBurst = 60               // lines at once
	repeatEvery = 10 * time.Second // after that, one for each span of this length
	repeatTold  = time.Minute      // how soon after a line was left out the log says so
	maxTexts    = 500              // texts that are counted apart; others share one count
)

// repeats counts warnings and errors by their text. What differs between two lines of
// one text, such as a queue id, does not matter.
type repeats struct {
	next   slog.Handler
	counts *counts

	mu      sync.Mutex
	texts   map[string]*repeated
	waiting *time.Timer // to tell of lines that were left out; nil when there are none
	stopped bool
}

// repeated is one text.
type repeated struct {
	level   slog.Level
	left    float64 // lines that may be written at once
	at      time.Time
	missing int // lines left out since the log has said so
}

func newRepeats(next slog.Handler, c *counts) *repeats {
	return &repeats{next: next, counts: c, texts: make(map[string]*repeated)}
}

// admit reports whether a line may be written.
func (r *repeats) admit(level slog.Level, text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	t, known := r.texts[text]
	if !known {
		if len(r.texts) >= maxTexts {
			text = ""
		}
		if t, known = r.texts[text]; !known {
			t = &repeated{left: repeatBurst, at: now}
			r.texts[text] = t
		}
	}
	t.left = min(repeatBurst, t.left+float64(now.Sub(t.at))/float64(repeatEvery))
	t.at, t.level = now, level
	if t.left >= 1 {
		t.left--
		return true
	}
	t.missing++
	r.counts.lost("repeated", 1)
	if r.waiting == nil && !r.stopped {
		r.waiting = time.AfterFunc(repeatTold, r.tell)
	}
	return false
}

// tell says for each text how many lines were left out.
func (r *repeats) tell() {
	r.mu.Lock()
	var told []slog.Record
	for text, t := range r.texts {
		if t.missing == 0 {
			continue
		}
		about := slog.NewRecord(time.Now(), t.level, "repeated lines left out of the log", 0)
		about.Add("text", text, "lines", t.missing)
		told = append(told, about)
		t.missing = 0
	}
	r.waiting = nil
	r.mu.Unlock()
	for _, about := range told {
		_ = r.next.Handle(context.Background(), about)
	}
}

// stop tells what there is to tell; nothing is told later.
func (r *repeats) stop() {
	r.mu.Lock()
	r.stopped = true
	if r.waiting != nil {
		r.waiting.Stop()
	}
	r.mu.Unlock()
	r.tell()
}

// sampled is a handler that leaves repeated warnings and errors out.
type sampled struct {
	slog.Handler
	repeats *repeats
}

func (s sampled) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn && !s.repeats.admit(r.Level, r.Message) {
		return nil
	}
	return s.Handler.Handle(ctx, r)
}

func (s sampled) WithAttrs(attrs []slog.Attr) slog.Handler {
	return sampled{s.Handler.WithAttrs(attrs), s.repeats}
}

func (s sampled) WithGroup(name string) slog.Handler {
	return sampled{s.Handler.WithGroup(name), s.repeats}
}
