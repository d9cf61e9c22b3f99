package queue

import "time"

// Overview is what an operator looks at first: how far the reports of the newest days
// are, and what went wrong of late.
type Overview struct {
	Now   time.Time // of the database
	Notes Notes
	Days  []Run // the newest that the queue knows, newest first

	Reports []Tally // of Days, the most frequent first
	Mails   []Tally // at work, or ended since the begin of Days, the most frequent first

	Next      []Mail // under way and due, the next attempt first
	Failed    []Mail // refused, bounced and expired, newest first: NextTry is when that was
	SentToday int64  // mails of the UTC day, without those that failed
	NewToday  int64  // hosts that got their first mail today

	Suppressed  []Suppression // active, newest first
	Suppressing int64         // active, in all
}

// Tally says how many reports or mails are in a state for a reason.
type Tally struct {
	State string // State or DeliveryState
	Why   string
	N     int64
}

// Mail is a delivery with the report that it brings.
type Mail struct {
	Report       string // ID
	PolicyDomain string
	Begin, End   time.Time // of its period
	Delivery
}
