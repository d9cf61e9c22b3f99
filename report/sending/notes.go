package sending

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"dmarcgate/report/queue"
	"dmarcgate/report/verp"
)

// The names of notes in the queue. All hosts of a queue share them.
const (
	noteEnabled = "enabled" // when sending was first switched on (RFC 3339)
	notePaused  = "paused"  // why sending is paused; "" while it is not
	noteResumed = "resumed" // when the last pause ended (RFC 3339)
	noteSecret  = "verp"    // 32 random bytes in hexadecimal digits, of return paths
)

// notes is what the queue holds besides reports.
type notes struct {
	enabled, resumed time.Time
	paused           string
}

// readNotes reads the notes. The first reader notes that sending is switched on.
func readNotes(ctx context.Context, q queue.Store, now time.Time) (n notes, err error) {
	if n.enabled, err = noteTime(ctx, q, noteEnabled); err != nil {
		return n, err
	}
	if n.enabled.IsZero() {
		n.enabled = now
		if err = q.SetNote(ctx, noteEnabled, now.Format(time.RFC3339)); err != nil {
			return n, err
		}
	}
	if n.resumed, err = noteTime(ctx, q, noteResumed); err != nil {
		return n, err
	}
	n.paused, err = Paused(ctx, q)
	return n, err
}

func noteTime(ctx context.Context, q queue.Store, name string) (time.Time, error) {
	text, err := q.Note(ctx, name)
	if err != nil || text == "" {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("the note %q of the queue of reports: %w", name, err)
	}
	return t, nil
}

// Paused returns why sending is paused, "" while it is not.
func Paused(ctx context.Context, q queue.Store) (string, error) { return q.Note(ctx, notePaused) }

// Pause stops all sending, of all hosts that share the queue, until Resume. Days are
// closed and documents are made meanwhile.
func Pause(ctx context.Context, q queue.Store, why string) error {
	return q.SetNote(ctx, notePaused, why)
}

// Resume ends a pause. What waits gets the full time for its attempts again.
func Resume(ctx context.Context, q queue.Store) error {
	now, err := q.Now(ctx)
	if err != nil {
		return err
	}
	if err := q.SetNote(ctx, noteResumed, now.Format(time.RFC3339)); err != nil {
		return err
	}
	return q.SetNote(ctx, notePaused, "")
}

// Key returns the key of return paths. The first call makes it; a host that comes at the
// same time reads what is stored in the end.
func Key(ctx context.Context, q queue.Store) (verp.Key, error) {
	text, err := q.Note(ctx, noteSecret)
	if err == nil && text == "" {
		secret := make([]byte, verp.MinKey)
		_, _ = rand.Read(secret) // never fails
		if err = q.SetNote(ctx, noteSecret, hex.EncodeToString(secret)); err == nil {
			text, err = q.Note(ctx, noteSecret)
		}
	}
	if err != nil {
		return verp.Key{}, err
	}
	secret, err := hex.DecodeString(text)
	if err != nil {
		return verp.Key{}, fmt.Errorf("the key of return paths in the queue of reports: %w", err)
	}
	return verp.NewKey(secret)
}
