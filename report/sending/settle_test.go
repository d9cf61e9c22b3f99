package sending

import (
	"context"
	"errors"
	"testing"
	"time"

	"dmarcgate/report/queue"
)

// errAway is what a queue says whose server is away.
var errAway = errors.New("the server is away")

// away is a queue that is away for some calls from the first mail on.
type away struct {
	queue.Store
	s     *site
	err   error
	calls int // to come
}

func (a *away) fails() error {
	if len(a.s.mails) == 0 || a.calls == 0 {
		return nil
	}
	a.calls--
	return a.err
}

func (a *away) Now(ctx context.Context) (time.Time, error) {
	if err := a.fails(); err != nil {
		return time.Time{}, err
	}
	return a.Store.Now(ctx)
}

func (a *away) Settle(ctx context.Context, owner string, at queue.Attempt, o queue.Outcome) error {
	if err := a.fails(); err != nil {
		return err
	}
	return a.Store.Settle(ctx, owner, at, o)
}

// An outcome that was not written would be a second mail.
func TestTurnSettlesWhenTheQueueIsBack(t *testing.T) {
	for _, tt := range []struct {
		name  string
		err   error
		calls int
		mails int
	}{
		{"a queue that is away for a minute", errAway, 60, 1},
		{"a queue that is away for longer than outcomes wait", errAway, insistTries + 1, 2},
		{"a queue that has to be opened again", queue.ErrReopen, 1, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := ready(t, "bank.example")
			h := s.host("a")
			q := &away{s: s, err: tt.err, calls: tt.calls}
			h.Queue = func(ctx context.Context) (queue.Store, error) {
				var err error
				q.Store, err = s.open(ctx)
				return q, err
			}
			err := h.Turn(t.Context())
			if (err == nil) != (tt.mails == 1) {
				t.Fatalf("Turn = %v", err)
			}
			s.now = s.now.Add(queue.Lease)
			s.until(s.host("b"), day(3, 12), time.Hour)
			if len(s.mails) != tt.mails || s.mails[0].text != s.mails[len(s.mails)-1].text {
				t.Errorf("%d mails; want %d with the same text", len(s.mails), tt.mails)
			}
			if r := s.reports(queue.Filter{}); len(r) != 1 || r[0].State != queue.Done || r[0].Deliveries[0].Suspected != tt.mails-1 {
				t.Errorf("reports = %+v; want one, done, with %d copies counted", r, tt.mails-1)
			}
		})
	}
}

// A program that is told to stop while its queue is away tries once more before it ends.
func TestTurnSettlesWhenTheProgramStops(t *testing.T) {
	for _, tt := range []struct {
		name  string
		calls int // of the queue that fail
		mails int
	}{
		{"the queue has come back", 1, 1},
		{"the queue is still away", 2, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := ready(t, "bank.example")
			h := s.host("a")
			h.Queue = func(ctx context.Context) (queue.Store, error) {
				store, err := s.open(ctx)
				return &away{Store: store, s: s, err: errAway, calls: tt.calls}, err
			}
			ctx, stop := context.WithCancel(t.Context())
			h.wait = func(ctx context.Context, _ time.Duration) error {
				if len(s.mails) > 0 {
					stop()
				}
				return ctx.Err()
			}
			_ = h.Turn(ctx) // ends where the program stops
			if len(s.mails) != 1 || ctx.Err() == nil {
				t.Fatalf("%d mails before the stop, %v; want one, and a stop while its outcome waited", len(s.mails), ctx.Err())
			}
			h.Close()
			s.now = s.now.Add(queue.Lease)
			s.until(s.host("b"), day(3, 12), time.Hour)
			if len(s.mails) != tt.mails {
				t.Errorf("%d mails; want %d", len(s.mails), tt.mails)
			}
		})
	}
}
