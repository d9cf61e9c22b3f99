package sending

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"dmarcgate/metrics"
	"dmarcgate/report"
	"dmarcgate/report/deliver"
	"dmarcgate/report/due"
	"dmarcgate/report/gate"
	"dmarcgate/report/mail"
	"dmarcgate/report/queue"
	"dmarcgate/report/xml"
	"dmarcgate/results"
)

// Rows are the stored rows of all hosts that report together.
type Rows interface {
	Scan(ctx context.Context, span results.Span, f func(results.Row) error) error
	KnownSince(ctx context.Context, org string) (time.Time, error)
	// Sources returns the stores after the rows of this host are committed that were
	// answered before the call.
	Sources(ctx context.Context) ([]queue.Source, error)
	// Late counts rows of a day beyond the numbers of queue.Run.Upto.
	Late(ctx context.Context, day report.Period, upto map[string]int64) (int64, error)
	// Lost counts rows that were deleted for their size before the day was closed.
	Lost(ctx context.Context, day time.Time) (int64, error)
	// Hold notes the first day that is not closed: Lost counts from there on.
	Hold(ctx context.Context, first time.Time) error
}

// Sender hands over one mail: deliver.Sender.
type Sender interface {
	Send(ctx context.Context, from, to string, text []byte) deliver.Outcome
	Close() error
}

// Settings are what the configuration says about reports.
type Settings struct {
	Gate      gate.Gate // without what the queue and the identity check know
	Contact   string
	Generator string // name and version of the program
	Limits    xml.Limits
	Schema    func(host string) string // rfc9990 or rfc7489
	CatchUp   time.Duration            // how long after its end a day is still reported
	Keys      []*mail.Key
	// Discovery is that of report.Builder.
	Discovery func(shape string) string
	// Place is where the queue is: when it changes, the queue is closed and opened again.
	// It can be compared.
	Place any
	// Open returns a sender, without a connection.
	Open func() (Sender, error)
	// Verify returns what keeps receivers from accepting a report mail (package
	// identity); "" is nothing.
	Verify func(ctx context.Context, id gate.Identity, probe []byte) (problem string)
}

// Parts are what a Sending works with.
type Parts struct {
	Settings func() (Settings, error) // read once in each turn
	Queue    func(ctx context.Context) (queue.Store, error)
	Marks    queue.Marks
	Rows     Rows
	Records  due.Records
	Dir      string // for temporary files; "" is that of the system
	Owner    string // that no other process has
	Log      *slog.Logger
	Metrics  Metrics
	Draw     func() float64  // random, from 0 up to 1
	Wake     <-chan struct{} // a turn is due at once; nil never
}

// Metrics counts what happens, for monitoring. Words are from closed lists.
type Metrics interface {
	ReportPlanned(why string, reports int64)   // "" is no gate
	ReportRows(outcome string, messages int64) // reported, or the why of queue.Run.LeftOut
	ReportMade(bytes int64)                    // a document, compressed
	ReportRendered(d time.Duration)            // the documents of a day
	ReportDelivery(outcome, class string)      // an attempt that ended
	ReportGate(open, paused bool)              // in this turn
	ReportWork(state string)                   // after each turn: metrics.ReportsOff and its neighbours
	ReportQueue(q metrics.ReportQueue)         // after each turn
}

// The limits of this room.
const (
	every       = time.Minute      // between turns
	renewEvery  = 2 * time.Minute  // leases of long work
	mailTime    = 8 * time.Minute  // of one mail: less than queue.Lease
	storeTime   = 30 * time.Second // of what is written although the program stops
	spread      = 6 * time.Hour    // over which the mails of a day are spread
	maxWithheld = 10_000           // reports of a plan that a gate holds back
	maxPlanned  = 100_000          // reports that are rendered at once
	batch       = 20               // reports that are delivered before others are asked for
)

// Sending drives the reports of a site. Turn and Run are for one goroutine; Bounce may be
// called by others.
type Sending struct {
	Parts

	store  queue.Store // nil while the queue is closed
	place  any         // of store
	fence  *queue.Fence
	held   time.Time // what Rows.Hold was told
	purged time.Time // day of the last purge
	late   time.Time // when late rows were counted

	verified  gate.Verified
	checked   time.Time // when the identity was checked
	checkedOf gate.Identity

	sender Sender // nil while there is none
	streak deliver.Streak
	struck []queue.Strike // of the streak

	wait func(ctx context.Context, d time.Duration) error // for tests
}

// New returns a Sending. It opens nothing.
func New(p Parts) *Sending { return &Sending{Parts: p, wait: wait} }

// wait waits, unless ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// Run takes one turn after the other until ctx ends.
func (s *Sending) Run(ctx context.Context) {
	defer s.Close()
	for failed := false; ctx.Err() == nil; {
		if err := s.Turn(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("reports: work interrupted; next attempt in a minute", "err", err)
			failed = true
		} else if failed {
			s.Log.Info("reports: work goes on")
			failed = false
		}
		select {
		case <-ctx.Done():
		case <-s.Wake:
		case <-time.After(every):
		}
	}
}

// hangUp ends the session with the smarthost: that of the next turn has the settings of
// then.
func (s *Sending) hangUp() {
	if s.sender != nil {
		_ = s.sender.Close()
		s.sender = nil
	}
}

// Close closes the queue and the session with the smarthost.
func (s *Sending) Close() {
	s.hangUp()
	if s.store != nil {
		if err := s.store.Close(); err != nil {
			s.Log.Error("reports: cannot close the queue", "err", err)
		}
		s.store, s.fence = nil, nil
	}
}

// Turn does what is due. With [reports] send = false, or with keys missing, it does
// nothing, and closes what is open.
func (s *Sending) Turn(ctx context.Context) error {
	on, err := s.work(ctx)
	switch {
	case err != nil:
		s.Metrics.ReportWork(metrics.ReportsFailing)
	case on:
		s.Metrics.ReportWork(metrics.ReportsWorking)
	default:
		s.Metrics.ReportWork(metrics.ReportsOff)
	}
	return err
}

// work is Turn, and tells whether sending is on.
func (s *Sending) work(ctx context.Context) (on bool, err error) {
	set, err := s.Settings()
	if err != nil {
		return true, err
	}
	if !set.Gate.Send || len(set.Gate.Identity.Missing()) > 0 {
		s.Close()
		s.Metrics.ReportGate(false, false)
		return false, nil
	}
	if err := s.turn(ctx, set); err != nil {
		s.Close()
		return true, err
	}
	return true, nil
}

// turn is Turn with an open queue.
func (s *Sending) turn(ctx context.Context, set Settings) error {
	if s.place != set.Place {
		s.Close()
	}
	s.place = set.Place
	if err := s.open(ctx); err != nil {
		return err
	}
	t := &turn{Sending: s, set: set}
	if err := t.begin(ctx); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{t.closeDays, t.planDays, t.render, t.deliver, t.housekeeping} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// open opens the queue when it is closed, and compares it with the mark of this host.
func (s *Sending) open(ctx context.Context) error {
	if s.store != nil {
		return nil
	}
	store, err := s.Queue(ctx)
	if err != nil {
		return err
	}
	fence, found, err := queue.NewFence(ctx, store, s.Marks)
	if err != nil {
		return errors.Join(err, store.Close())
	}
	if found.Condition != queue.AsLeft {
		s.Log.Error("queue of reports restored or lost: reports possibly sent before are held until a retry",
			"held", found.Held, "days", found.Days)
	}
	s.store, s.fence = store, fence
	return nil
}

// turn is one turn.
type turn struct {
	*Sending
	set     Settings
	gate    gate.Gate
	now     time.Time // of the queue
	enabled time.Time
	resumed time.Time // when the last pause ended; zero without
	renewed time.Time
}

// begin reads the clock and the notes of the queue, and completes the gate.
func (t *turn) begin(ctx context.Context) (err error) {
	if err = t.clock(ctx); err != nil {
		return err
	}
	t.renewed = t.now
	notes, err := queue.ReadNotes(ctx, t.store)
	if err != nil {
		return err
	}
	if t.enabled, err = queue.Enable(ctx, t.store, notes, t.now); err != nil {
		return err
	}
	t.resumed = notes.Resumed
	t.gate = t.set.Gate
	t.gate.Enabled, t.gate.Paused = t.enabled, notes.Paused != ""
	if err := t.verify(ctx); err != nil {
		return err
	}
	t.gate.Verified = t.verified
	t.Metrics.ReportGate(t.gate.MaySend(t.now), t.gate.Paused)
	return nil
}

// clock reads the time of the queue.
func (t *turn) clock(ctx context.Context) (err error) {
	t.now, err = t.store.Now(ctx)
	return err
}

// renew begins the leases of this host anew when that is due. It is called within long
// work.
func (t *turn) renew(ctx context.Context) error {
	if err := t.clock(ctx); err != nil {
		return err
	}
	if t.now.Sub(t.renewed) < renewEvery {
		return nil
	}
	t.renewed = t.now
	_, err := t.store.Renew(ctx, t.Owner)
	return err
}

// scan returns the scan of the rows of a day that count. It renews leases meanwhile.
func (t *turn) scan(upto map[string]int64) report.Scan {
	const rows = 50_000 // that take much less than renewEvery
	return func(ctx context.Context, span results.Span, f func(results.Row) error) error {
		span.Upto = upto
		n := 0
		return t.Rows.Scan(ctx, span, func(r results.Row) error {
			if n++; n%rows == 0 {
				if err := t.renew(ctx); err != nil {
					return err
				}
			}
			return f(r)
		})
	}
}

// builder returns what makes reports of rows.
func (t *turn) builder() *report.Builder {
	id := t.set.Gate.Identity
	return &report.Builder{
		Identity:  report.Identity{Organization: id.Organization, Email: id.Email, Contact: t.set.Contact, Submitter: id.Submitter},
		Generator: t.set.Generator, Dir: t.Dir, Discovery: t.set.Discovery,
		Optional: func(r *results.Row) bool { return !r.Facts.Ordinary() },
	}
}

// lost reports whether another host has the work now; the error is gone then.
func lost(err error) (bool, error) {
	if errors.Is(err, queue.ErrLost) {
		return true, nil
	}
	return false, err
}

// housekeeping counts, and once a day deletes what is older than is kept.
func (t *turn) housekeeping(ctx context.Context) error {
	if err := t.clock(ctx); err != nil {
		return err
	}
	if day := report.DayOf(t.now).Begin; !day.Equal(t.purged) {
		if _, err := t.store.Purge(ctx, queue.Kept(t.now)); err != nil {
			return fmt.Errorf("deleting old reports: %w", err)
		}
		t.purged = day
	}
	counts, err := t.store.Counts(ctx)
	if err != nil {
		return err
	}
	q := metrics.ReportQueue{
		Reports: words(counts.Reports), Deliveries: words(counts.Deliveries), Suppressed: counts.Suppressed,
		LastClosed: counts.LastClosed, Silent: counts.WaitedFor, Again: counts.Again,
	}
	if !counts.OldestDue.IsZero() {
		q.Oldest = max(0, t.now.Sub(counts.OldestDue))
	}
	t.Metrics.ReportQueue(q)
	return nil
}

// words returns numbers by the words of states.
func words[K ~string](counts map[K]int64) map[string]int64 {
	out := make(map[string]int64, len(counts))
	for k, n := range counts {
		out[string(k)] = n
	}
	return out
}
