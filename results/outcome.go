package results

import "dmarcgate/policy"

// Outcome says what became of a row.
type Outcome uint8

// The outcomes. The zero value promises nothing.
const (
	Dropped     Outcome = iota // not in the store, and counted
	Late                       // queued; the commit was not waited for, or took too long
	Written                    // committed
	NotRecorded                // there is no store
)

// String returns the word of the log line.
func (o Outcome) String() string { return [...]string{"dropped", "late", "written", "off"}[o] }

// None is the store of a site that keeps no results.
type None struct{}

// Add records nothing.
func (None) Add(Row) *Receipt { return &Receipt{Outcome: NotRecorded} }

// MarkUnanswered does nothing.
func (None) MarkUnanswered(*Receipt) {}

// History returns nothing: who keeps no results knows nobody.
func (None) History(string) policy.History { return policy.History{} }

// Receipt stands for a row handed to a store.
type Receipt struct {
	Outcome Outcome
	Token   any // the store's own, for MarkUnanswered; nil when there is no row
}
