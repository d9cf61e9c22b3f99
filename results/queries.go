package results

import (
	"context"
	"net/netip"
	"time"

	"dmarcgate/policy"
)

// Queries are the questions that a store answers, whatever keeps it. What is
// counted are messages whose answer the MTA has. Times that are zero are no
// limit. A limit below 1 asks for nothing.
type Queries interface {
	// Recent returns the newest rows, newest first.
	Recent(ctx context.Context, limit int) ([]Row, error)
	// ByQueueID returns the rows of one queue id, oldest first, at most 100.
	ByQueueID(ctx context.Context, qid string) ([]Row, error)
	// Scan calls f for each row of the span, by and large from the oldest to
	// the newest, and ends with f's error. It reads in slices, so that the
	// writer is free to shorten its log; rows that come meanwhile may be among
	// them.
	Scan(ctx context.Context, span Span, f func(Row) error) error

	// TopFailing returns the author domains with the most messages that failed.
	TopFailing(ctx context.Context, since time.Time, limit int) ([]Failing, error)
	// TopOverridden returns the author domains with the most messages for which
	// the decision was not what the owner asks for, for each cause.
	TopOverridden(ctx context.Context, since time.Time, limit int) ([]Overridden, error)
	// TopMalformed returns the domains with the most messages whose DMARC record
	// or From field is malformed.
	TopMalformed(ctx context.Context, since time.Time, limit int) ([]Malformed, error)
	// NewSenders returns the senders whose first message is not older, the
	// newest first.
	NewSenders(ctx context.Context, since time.Time, limit int) ([]NewSender, error)
	// KnownSince returns the time of the first message of an organization, from the
	// networks that mail with a pass of DMARC has come from; zero when there is
	// none. Forged mail makes no organization known.
	KnownSince(ctx context.Context, org string) (time.Time, error)

	// RuleUse returns what is known of the rules that have ever matched, by id:
	// also of those whose rows are no longer kept, up to 20,000 for each store,
	// of which it forgets those that have not matched for longest. A message
	// counts for each rule that it names, also when it was deferred; rows of
	// other programs do not.
	RuleUse(ctx context.Context) ([]RuleUse, error)
	// RuleHits returns what rules did with the messages since a time, or would
	// have done, by id.
	RuleHits(ctx context.Context, since time.Time) ([]RuleHit, error)
}

// Span is the rows from a time, included, to another, excluded.
type Span struct {
	From, To time.Time
	// Ruled leaves out the rows that name no rule, of any mode. Those of earlier
	// versions, which have no mark for it, come first.
	Ruled bool
	// Upto, when not nil, leaves out the rows with a number above that of their
	// store, and the rows of stores that it does not name: a second scan reads the
	// same rows, whatever came meanwhile.
	Upto map[string]int64
}

// Failing is an author domain in whose name messages failed.
type Failing struct {
	Author      string    `json:"author"`
	Messages    int64     `json:"messages"`
	Quarantined int64     `json:"quarantined"`
	Rejected    int64     `json:"rejected"`
	Clients     int64     `json:"clients"` // different addresses
	Last        time.Time `json:"last"`
}

// Overridden is an author domain and a cause for not doing as it asks.
type Overridden struct {
	Author      string        `json:"author"`
	Reason      policy.Reason `json:"reason"`
	Messages    int64         `json:"messages"`
	Quarantined int64         `json:"quarantined"`
	Rejected    int64         `json:"rejected"`
	Last        time.Time     `json:"last"`
}

// Malformed is a domain whose DMARC record has defects, or no domain: From
// fields that name none.
type Malformed struct {
	Domain   string    `json:"domain"` // of the record; else the author domain, "" when From has none
	Messages int64     `json:"messages"`
	Last     time.Time `json:"last"`
	// What was wrong with the newest of them.
	Defects   []string    `json:"defects,omitempty"`
	FromField policy.From `json:"from_field,omitempty"`
}

// NewSender is a network from which mail of an organization came for the first
// time.
type NewSender struct {
	Org     string       `json:"org"`
	Net     netip.Prefix `json:"net"` // /24 or /48
	First   time.Time    `json:"first"`
	Passed  bool         `json:"passed"` // DMARC has passed since, or at once
	QueueID string       `json:"qid"`    // of the first message; "" when that is no longer kept
	Author  string       `json:"author"` // the same
}
