package queue

import "time"

// RunState says how far the reports of a day are.
type RunState string

// The states of a day.
const (
	Open       RunState = "open"    // rows may come
	Closed     RunState = "closed"  // rows that come are late
	RunPlanned RunState = "planned" // its reports are in the queue
	RunDone    RunState = "done"    // all of them have ended
)

// Run is one UTC day, as the queue knows it.
type Run struct {
	Day      time.Time // its begin
	State    RunState
	Why      string // "restored" when Reconcile has ended the day
	ClosedAt time.Time
	// WaitedFor names the hosts whose rows were missing when the time for them was
	// over.
	WaitedFor []string
	// Upto has, for each store, the number of the last row that counts: rows of
	// the day with a higher number are late, and are in no report. A second rendering
	// reads the same rows as the first one (results.Span.Upto).
	Upto map[string]int64
	Late int64 // rows that came after the day was closed
	Lost int64 // rows that size limits deleted before the day was closed
	// LeftOut is how many messages of the day are in no report, by why.
	LeftOut map[string]int64
}

// Plan is what a day is to have in the queue.
type Plan struct {
	Reports []Report // with the deliveries that are known; the rest comes with Address
	// LeftOut is how many messages are in no report, by why.
	LeftOut map[string]int64
}

// PlanResult is what became of a plan.
type PlanResult struct {
	Added int // reports
	Known int // reports that were in the queue before: nothing changed
	// Unusable names reports with a key that no database may keep, such as a
	// policy domain with control characters. All others are planned.
	Unusable []string
}
