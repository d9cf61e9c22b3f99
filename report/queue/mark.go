package queue

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Mark is how far a sender has come. The queue has the marks of all senders, and
// Begin raises them; each sender keeps its own one outside of the queue as well, and
// writes it before the mail goes out. So the mark in the queue is never below that
// of the sender, unless somebody has put an older queue back.
type Mark struct {
	Sender   string    // random, made with the first mark
	Queue    string    // id of the queue, random; "" before the first attempt
	Attempts int64     // ever
	Day      time.Time // the latest day that a report of any attempt was about
}

// ErrRestored means that the queue is older than what this sender has sent: it was
// restored from a backup, or its file was lost. Nothing is to be sent before
// Reconcile has held what may have been sent.
var ErrRestored = errors.New("the queue of reports is older than what was sent")

// Restored is what Reconcile found and did.
type Restored struct {
	Condition Condition
	Held      int // reports that are held now
	Days      int // days that are not planned, up to the day of the mark
}

// CatchUp is how many days back reports are made at most. Reconcile ends days of
// that time.
const CatchUp = 7

// Marks keeps the mark of this sender as a text, "" before the first one.
// results/sqlite keeps it beside the rows.
type Marks interface {
	ReportMark(ctx context.Context) (string, error)
	SetReportMark(ctx context.Context, text string) error
}

// Fence keeps a restored queue from sending again what was sent. Its methods may
// be called at once.
type Fence struct {
	store Store
	marks Marks

	mu   sync.Mutex // guards what stands below
	mark Mark
}

// NewFence reads the mark, or makes one, and compares the queue with it. It is to be
// called before anything is planned or sent.
func NewFence(ctx context.Context, s Store, m Marks) (*Fence, Restored, error) {
	f := &Fence{store: s, marks: m}
	text, err := m.ReportMark(ctx)
	if err != nil {
		return nil, Restored{}, fmt.Errorf("reading the mark of sent reports: %w", err)
	}
	if text == "" {
		f.mark.Sender = rand.Text()
		if err := m.SetReportMark(ctx, f.mark.String()); err != nil {
			return nil, Restored{}, fmt.Errorf("writing the mark of sent reports: %w", err)
		}
	} else if f.mark, err = parseMark(text); err != nil {
		return nil, Restored{}, err
	}
	found, err := s.Reconcile(ctx, f.mark)
	return f, found, err
}

// Begin is Begin of the store, and writes the mark. The mail may go out when Begin
// returns no error. After ErrRestored, a new fence is needed. The lock is held while
// both commit, because marks are written in the order of the attempts.
func (f *Fence) Begin(ctx context.Context, owner string, b Begin) (Attempt, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b.Sender = f.mark.Sender
	a, err := f.store.Begin(ctx, owner, b)
	if err != nil {
		return a, err
	}
	if !a.Mark.beyond(f.mark) {
		err = ErrRestored
	} else if err = f.marks.SetReportMark(ctx, a.Mark.String()); err == nil {
		f.mark = a.Mark
		return a, nil
	}
	undo := Outcome{State: Due, Why: "not_begun", NextTry: a.At}
	return Attempt{}, errors.Join(err, f.store.Settle(ctx, owner, a, undo))
}

// beyond reports whether more was sent than another mark of the same sender says.
func (m Mark) beyond(other Mark) bool { return m.Attempts > other.Attempts }

// Condition is what the mark of a sender tells of a queue.
type Condition int

// The conditions of a queue.
const (
	AsLeft   Condition = iota // nothing happened to the queue
	WasOlder                  // an earlier state of the queue: hold its reports, and end the days up to the mark
	Another                   // another queue, because this one was lost or left: end the days up to the mark
)

// Compare tells what happened to a queue. inQueue is what the queue has of the sender,
// with the id of the queue.
func (m Mark) Compare(inQueue Mark) Condition {
	switch {
	case !m.beyond(inQueue):
		return AsLeft
	case m.Queue == inQueue.Queue:
		return WasOlder
	}
	return Another
}

// String is the mark as text: sender, attempts, day and queue.
func (m Mark) String() string {
	return fmt.Sprintf("%s %d %s %s", m.Sender, m.Attempts, m.Day.UTC().Format(time.DateOnly), cmp.Or(m.Queue, noQueue))
}

// noQueue stands for no queue in the text of a mark.
const noQueue = "-"

func parseMark(text string) (m Mark, err error) {
	var day string
	if _, err = fmt.Sscanf(text, "%s %d %s %s", &m.Sender, &m.Attempts, &day, &m.Queue); err == nil {
		m.Day, err = time.Parse(time.DateOnly, day)
	}
	if m.Queue == noQueue {
		m.Queue = ""
	}
	if err != nil {
		return Mark{}, fmt.Errorf("the mark of sent reports %.80q cannot be read: %w", text, err)
	}
	return m, nil
}
