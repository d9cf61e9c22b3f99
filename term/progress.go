package term

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// When and how often a Progress draws.
const (
	progressAfter = 2 * time.Second        // shorter commands show nothing
	progressEvery = 200 * time.Millisecond // between two texts
)

// Progress shows on one line of a terminal how far a command has come: nothing
// in the first two seconds, then a text at most five times a second. A nil
// Progress shows nothing, so that commands need not ask. Text from outside must
// be printable.
type Progress struct {
	Out io.Writer
	Now func() time.Time

	mu           sync.Mutex
	line         Line
	began, drawn time.Time
}

// NewProgress returns a Progress on w, which begins now: nil, when w is no
// terminal or the command is to be quiet, as with --json.
func NewProgress(w io.Writer, quiet bool) *Progress {
	if quiet || !IsTerminal(w) {
		return nil
	}
	return &Progress{Out: w, Now: time.Now, began: time.Now()}
}

// Show draws what text returns, if it is time to.
func (p *Progress) Show(text func() string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.Now()
	if p.began.IsZero() {
		p.began = now
	}
	if now.Sub(p.began) < progressAfter || now.Sub(p.drawn) < progressEvery {
		return
	}
	p.drawn = now
	p.line.Out = p.Out
	p.line.Draw(text())
}

// Count shows how many things were done of all; of an unknown number when all
// is 0.
func (p *Progress) Count(done, all int, what string) {
	p.Show(func() string {
		if all == 0 {
			return Count(done, what)
		}
		return fmt.Sprintf("%d of %s", done, Count(all, what))
	})
}

// While shows a text with the seconds that have passed, until end is called.
// It is for work that tells nothing before its end.
func (p *Progress) While(text string) (end func()) {
	if p == nil {
		return func() {}
	}
	stop, done := make(chan struct{}), make(chan struct{})
	began := p.Now()
	go func() {
		defer close(done)
		ticker := time.NewTicker(progressEvery)
		defer ticker.Stop()
		for {
			p.Show(func() string { return fmt.Sprintf("%s, %.0f s", text, p.Now().Sub(began).Seconds()) })
			select {
			case <-ticker.C:
			case <-stop:
				return
			}
		}
	}()
	return func() {
		close(stop)
		<-done
		p.Clear()
	}
}

// Clear leaves an empty line, for the output of the command.
func (p *Progress) Clear() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line.Clear()
}
