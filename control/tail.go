package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dmarcgate/admin"
	"dmarcgate/results"
	"dmarcgate/term"
)

// errEnough ends a tail that has shown what it should.
var errEnough = errors.New("enough")

// Tail prints decisions as they are made, one a line, until ctx is done. After
// count of them it ends; with 0 it does not.
func (s Session) Tail(ctx context.Context, filter admin.Filter, count int) error {
	shown := 0
	err := s.Client.Tail(ctx, filter, func(r results.Row) error {
		if err := s.decision(r); err != nil {
			return err
		}
		if shown++; shown == count {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

func (s Session) decision(r results.Row) error {
	if s.JSON {
		return s.encode(r)
	}
	_, err := fmt.Fprintf(s.Out, "%s %s %s author=%s client=%s %s: %s\n", r.Facts.Time.Format(time.RFC3339),
		term.Printable(r.Facts.QueueID), r.Facts.Listener, term.OrNone(r.Decision.Author), r.Facts.Client, r.Decision.Action, term.Printable(r.Decision.Why))
	return err
}
