package queue

import (
	"context"
	"errors"
	"time"
)

var (
	// ErrLost means that another host has the work now, or that the state is no
	// longer the expected one. Nothing was changed.
	ErrLost = errors.New("the work belongs to another host now")
	// ErrUnknown means that the queue has no such day, report or delivery.
	ErrUnknown = errors.New("not in the queue")
	// ErrText means that a key cannot be stored: empty, too long, or with
	// characters that no domain or address has. It is permanent.
	ErrText = errors.New("a key of the queue is unusable")
	// ErrGone means that the body of a report was deleted.
	ErrGone = errors.New("the document of the report was deleted")
	// ErrReopen means that the queue cannot be used any longer: its file is damaged, or
	// the path names another one. Opening it again fixes that.
	ErrReopen = errors.New("the queue of reports has to be opened again")
)

// Lease is how long work belongs to the host that took it. Begin and Renew begin
// the lease anew. An SMTP session has to end earlier.
const Lease = 10 * time.Minute

// Store is a queue. All methods may be called at once, by any number of hosts
// where the database is shared. An owner is a text that no other process has: host
// name, process id and a random number. All times are those of the database.
type Store interface {
	Days
	Reports
	Deliveries
	Suppressions
	Maintenance
}

// Days are the steps of whole days.
type Days interface {
	// CloseDay closes an open day, or one that the queue does not know yet. The
	// first host to do so decides; CloseDay returns what holds now.
	CloseDay(ctx context.Context, run Run) (Run, error)
	// TakeDay takes the oldest closed day that has no owner, to plan it. It
	// returns ErrUnknown when there is none.
	TakeDay(ctx context.Context, owner string) (Run, error)
	// Plan adds reports with their deliveries to a day that the owner has taken, and
	// makes the day planned, in one transaction. Reports whose key is in the queue
	// stay as they are. Those that are Withheld by a gate stay so, with their Why; all
	// others are planned. With ErrLost nothing was added.
	Plan(ctx context.Context, owner string, day time.Time, plan Plan) (PlanResult, error)
	// Runs returns the days from first to last, both included, oldest first.
	Runs(ctx context.Context, first, last time.Time) ([]Run, error)
	// RetryDay opens a day that Reconcile has ended.
	RetryDay(ctx context.Context, day time.Time) error
	// CountRows writes how many rows of a closed day have come late, and how many
	// were lost before it was closed. Both only grow.
	CountRows(ctx context.Context, day time.Time, late, lost int64) error
}

// Reports are the steps of one report.
type Reports interface {
	// Take takes reports that are planned, or that are ready with a delivery whose
	// NextTry is over, and whose lease is free or over: at most limit, oldest
	// NextTry first. Ready ones have their deliveries.
	Take(ctx context.Context, owner string, want State, limit int) ([]Report, error)
	// Renew begins the leases of an owner anew, of the reports that it still has,
	// and returns their number.
	Renew(ctx context.Context, owner string) (int, error)
	// Release gives a report back.
	Release(ctx context.Context, owner, id string) error
	// StoreBody keeps the document, and makes a planned report ready. Storing the same
	// document twice is no error. A ready report without a delivery is taken at once,
	// so that its destinations can be found (Address), or the report ended (End).
	StoreBody(ctx context.Context, owner, id string, b Body) error
	// ReadBody returns the document, or ErrGone.
	ReadBody(ctx context.Context, id string) (Body, error)
	// Address adds deliveries to a report that has not ended. Those whose Key the
	// report has stay as they are.
	Address(ctx context.Context, owner, id string, to []Delivery) error
	// End ends a report before all its deliveries have ended: withheld, withdrawn,
	// failed. Its open deliveries end with it.
	End(ctx context.Context, owner, id string, s State, why string) error
	// Split replaces a report by those of parts of its period.
	Split(ctx context.Context, owner, id string, parts []Report) error
	// Find returns the reports that a filter means, newest first, with deliveries.
	Find(ctx context.Context, f Filter) ([]Report, error)
	// RecordSince returns the begin of the first period that the queue has a report about
	// a policy domain for, whatever became of the report: the record was known by then.
	// Zero is none.
	RecordSince(ctx context.Context, policyDomain string) (time.Time, error)
	// Retry puts a report that has ended back to work, except what was sent.
	Retry(ctx context.Context, id string) error
	// Hasten makes the due deliveries of a report due now.
	Hasten(ctx context.Context, id string) error
}

// Filter says which reports are meant: those for which all fields hold that are
// set.
type Filter struct {
	ID           string
	PolicyDomain string
	First, Last  time.Time // of the begin of the period, both included
	State        State
	Why          string
	MailState    DeliveryState // of one of its deliveries
	MailWhy      string        // the same
	Limit        int           // 0: 1,000
}

// Deliveries are the steps of one delivery.
type Deliveries interface {
	// Begin commits an attempt of a delivery of a report that the owner has. Allow
	// is called within the transaction; when it returns a word, Begin changes nothing
	// and returns a LimitError with that word.
	Begin(ctx context.Context, owner string, b Begin) (Attempt, error)
	// Settle writes how an attempt ended. A report whose last delivery ends is done,
	// a day whose last report ends, too. An owner who lost the report in between may
	// settle, unless the next attempt has begun.
	Settle(ctx context.Context, owner string, a Attempt, o Outcome) error
	// EndDelivery ends a delivery that has not ended, or defers it: suppressed,
	// unauthorized, withdrawn, withheld, expired, or due with another NextTry. An
	// attempt that goes on may still settle it as sent.
	EndDelivery(ctx context.Context, owner string, delivery int64, o Outcome) error
	// Bounce makes a sent delivery refused, with the strike of the outcome. It finds the
	// delivery by its token, and returns false when that has bounced before. A strike
	// against an address that is not named is against that of the delivery.
	Bounce(ctx context.Context, verp string, o Outcome) (bool, error)
	// Attempts returns the attempts of a report, oldest first.
	Attempts(ctx context.Context, report string) ([]Tried, error)
}

// Tried is an attempt as the queue keeps it.
type Tried struct {
	Delivery int64
	N        int
	At       time.Time
	Owner    string
	Host     string
	Outcome  string // "" while it goes on, "unknown" when its host died
}

// Begin says which attempt begins.
type Begin struct {
	Delivery int64
	Sender   string // of the mark; Fence sets it
	Bytes    int64  // of the mail
	// Allow decides whether the limits leave room; nil means always.
	Allow func(Usage) (why string)
}

// Usage is what was sent. Numbers are of the current UTC day of the database.
type Usage struct {
	ToHost     int64 // mails to the host of the delivery, without those that failed
	Total      int64 // the same to all hosts
	NewHosts   int64 // hosts that got their first mail ever
	HostIsNew  bool  // this host has never got any
	LastMinute int64 // attempts in the last 60 seconds
}

// LimitError says which limit keeps an attempt from being made.
type LimitError struct{ Why string }

func (e *LimitError) Error() string { return "no attempt now: " + e.Why }

// Suppressions are the addresses, hosts and domains without reports.
type Suppressions interface {
	// Suppressed returns the active suppressions of a destination.
	Suppressed(ctx context.Context, addr, host, policyDomain string) ([]Suppression, error)
	// Suppress sets a suppression, as a person asks for it.
	Suppress(ctx context.Context, s Suppression) error
	// Unsuppress lifts a suppression and forgets its strikes.
	Unsuppress(ctx context.Context, kind, what string) error
	// Suppressing lists all of them, active or not.
	Suppressing(ctx context.Context) ([]Suppression, error)
}

// Maintenance is the rest.
type Maintenance interface {
	// Now is the time of the database.
	Now(ctx context.Context) (time.Time, error)
	// Note returns what was noted under a name, "" for nothing: the begin of the
	// dry run, for example, or why sending is paused.
	Note(ctx context.Context, name string) (string, error)
	// SetNote notes a text, or forgets the name with "".
	SetNote(ctx context.Context, name, text string) error
	// Reconcile compares the queue with the mark that a sender keeps outside of it
	// (Mark.Compare). When the queue was older, every report up to the day of the mark
	// that has not ended is held. Then, and with another queue, every day up to the
	// mark that is not planned is done. The queue has the mark afterwards. See Fence.
	Reconcile(ctx context.Context, m Mark) (Restored, error)
	// Counts counts reports and deliveries by state, for metrics.
	Counts(ctx context.Context) (Counts, error)
	// Overview returns what an operator looks at first. Each of its lists has at most so
	// many days or lines. It reads days, suppressions and what an index finds, so that it
	// takes little time however many reports are kept.
	Overview(ctx context.Context, days, lines int) (Overview, error)
	// Purge deletes what is older than is kept, in steps that are short, and
	// whatever names a domain.
	Purge(ctx context.Context, p Purge) (Purged, error)
	Close() error
}

// Counts says what is in the queue.
type Counts struct {
	Reports    map[State]int64
	Deliveries map[DeliveryState]int64
	OldestDue  time.Time // NextTry of the delivery that waits longest; zero without
	Suppressed map[string]int64
	Again      int64     // copies that may have been sent because a host died
	LastClosed time.Time // the latest day that is closed; zero without
	WaitedFor  []string  // Run.WaitedFor of that day
}

// How long documents are kept, and everything about a report.
const (
	KeepBodies = 30 * Day
	KeepAll    = 400 * Day
)

// Kept returns the purge of what is older than is kept.
func Kept(now time.Time) Purge {
	return Purge{Bodies: now.Add(-KeepBodies), All: now.Add(-KeepAll)}
}

// Purge says what goes: Bodies and All what is older than is kept, the other fields what a
// person means. Those leave days as they are: no day is reported twice because its reports
// are gone.
type Purge struct {
	Bodies time.Time // documents of reports that ended, made before
	All    time.Time // everything about periods that ended before

	Before    time.Time // reports about periods that began before; a limit for the rest when it is not alone
	Domain    string    // reports about this domain and those below, and addresses there
	Documents bool      // documents of all reports that ended: what is meant may be in any of them
}

// Purged is how much went.
type Purged struct{ Bodies, Reports, Addresses, Days int64 }
