package queue

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"
)

// The names of notes. All hosts that share a queue share them.
const (
	noteEnabled  = "enabled"  // when sending was first switched on (RFC 3339)
	notePaused   = "paused"   // why sending is paused; "" while it is not
	noteResumed  = "resumed"  // when the last pause ended (RFC 3339)
	noteIdentity = "identity" // when the identity was checked last (RFC 3339), and what was wrong
)

// Notes are what a queue holds besides days and reports. What was never noted is the
// zero value.
type Notes struct {
	Enabled time.Time // when sending was first switched on
	Paused  string    // why sending is paused; "" while it is not
	Resumed time.Time // when the last pause ended
	Checked time.Time // when a host checked the identity of reports last
	Problem string    // what that check found; "" is a success
}

// ReadNotes reads the notes.
func ReadNotes(ctx context.Context, s Maintenance) (n Notes, err error) {
	var at [3]time.Time
	var rest [3]string
	for i, name := range [...]string{noteEnabled, noteResumed, noteIdentity} {
		text, err := s.Note(ctx, name)
		if err != nil {
			return n, err
		}
		if at[i], rest[i], err = stamped(text); err != nil {
			return n, fmt.Errorf("the note %q of the queue of reports: %w", name, err)
		}
	}
	n.Paused, err = s.Note(ctx, notePaused)
	n.Enabled, n.Resumed, n.Checked, n.Problem = at[0], at[1], at[2], rest[2]
	return n, err
}

// stamped reads a note that begins with a time.
func stamped(text string) (at time.Time, rest string, err error) {
	if text == "" {
		return at, "", nil
	}
	stamp, rest, _ := strings.Cut(text, " ")
	at, err = time.Parse(time.RFC3339, stamp)
	return at, rest, err
}

// Enable notes that sending is switched on, unless that was noted before, and returns
// since when.
func Enable(ctx context.Context, s Maintenance, n Notes, now time.Time) (time.Time, error) {
	if !n.Enabled.IsZero() {
		return n.Enabled, nil
	}
	return now, s.SetNote(ctx, noteEnabled, now.Format(time.RFC3339))
}

// NoteCheck notes what the identity check found; "" is a success.
func NoteCheck(ctx context.Context, s Maintenance, now time.Time, problem string) error {
	return s.SetNote(ctx, noteIdentity, strings.TrimSpace(now.UTC().Format(time.RFC3339)+" "+problem))
}

// Pause stops all sending, of all hosts that share the queue, until Resume. Days are
// closed and documents are made meanwhile.
func Pause(ctx context.Context, s Maintenance, why string) error {
	return s.SetNote(ctx, notePaused, cmp.Or(why, "no reason given"))
}

// Resume ends a pause. What waits gets the full time for its attempts again. Without a
// pause it returns ErrUnknown.
func Resume(ctx context.Context, s Maintenance) error {
	why, err := s.Note(ctx, notePaused)
	if err == nil && why == "" {
		err = ErrUnknown
	}
	if err != nil {
		return err
	}
	now, err := s.Now(ctx)
	if err == nil {
		err = s.SetNote(ctx, noteResumed, now.Format(time.RFC3339))
	}
	if err != nil {
		return err
	}
	return s.SetNote(ctx, notePaused, "")
}
