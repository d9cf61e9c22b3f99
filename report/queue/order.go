package queue

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Action is what a person orders.
type Action string

// The actions.
const (
	SendNow      Action = "send_now"   // Order.ID: its due deliveries are due now
	RetryReport  Action = "retry"      // Order.ID: put back to work what has ended, except what was sent
	ReopenDay    Action = "retry_day"  // Order.Day: make the reports of a day that a restored queue has ended
	Suppress     Action = "suppress"   // Order.Suppression
	Unsuppress   Action = "unsuppress" // Order.Suppression: Kind and What
	PauseSending Action = "pause"      // Order.Why
	ResumeAgain  Action = "resume"
	Delete       Action = "purge" // Order.Purge, as a person deletes results
)

// Order is one change that a person orders.
type Order struct {
	Do          Action      `json:"do"`
	ID          string      `json:"id,omitempty"`
	Day         time.Time   `json:"day,omitzero"`
	Suppression Suppression `json:"suppression,omitzero"`
	Why         string      `json:"why,omitempty"`
	Purge       Purge       `json:"purge,omitzero"`
}

// Apply does what is ordered. The daemon calls it for an order that came over the
// control socket, a command when no daemon runs.
func (o Order) Apply(ctx context.Context, s Store) error {
	switch o.Do {
	case SendNow:
		return inWords(s.Hasten(ctx, o.ID), "no report has this ID", "the report has ended: nothing is due, and a retry puts it back to work")
	case RetryReport:
		return inWords(s.Retry(ctx, o.ID), "no report has this ID", "the report has not ended: it is at work already")
	case ReopenDay:
		return inWords(s.RetryDay(ctx, o.Day), "", "no restored queue has ended the day")
	case Suppress:
		return s.Suppress(ctx, o.Suppression)
	case Unsuppress:
		return inWords(s.Unsuppress(ctx, o.Suppression.Kind, o.Suppression.What), "there is no such suppression", "")
	case PauseSending:
		if o.Why == "" {
			return errors.New("pausing: no reason is given")
		}
		return Pause(ctx, s, o.Why)
	case ResumeAgain:
		return inWords(Resume(ctx, s), "sending is not paused", "")
	case Delete:
		_, err := s.Purge(ctx, o.Purge)
		return err
	}
	return fmt.Errorf("unknown order %.20q", o.Do)
}

// inWords says to a person what an error means for an order.
func inWords(err error, unknown, lost string) error {
	switch {
	case unknown != "" && errors.Is(err, ErrUnknown):
		return fmt.Errorf("%w: %s", ErrUnknown, unknown)
	case lost != "" && errors.Is(err, ErrLost):
		return errors.New(lost)
	}
	return err
}
