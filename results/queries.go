package results

import (
	"context"
	"database/sql"
	"fmt"
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

var _ Queries = (*Reader)(nil)

// Span is the rows from a time, included, to another, excluded.
type Span struct {
	From, To time.Time
	// Ruled leaves out the rows that name no rule, of any mode. Those of earlier
	// versions, which have no mark for it, come first.
	Ruled bool
}

// milliseconds returns the limits as the tables have them.
func (s Span) milliseconds() (from, to int64) {
	from, to = since(s.From), int64(1)<<62
	if !s.To.IsZero() {
		to = s.To.UnixMilli()
	}
	return from, to
}

func since(t time.Time) int64 {
	if t.IsZero() {
		return -1 << 62
	}
	return t.UnixMilli()
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
	Author      string          `json:"author"`
	Override    policy.Override `json:"override"`
	Messages    int64           `json:"messages"`
	Quarantined int64           `json:"quarantined"`
	Rejected    int64           `json:"rejected"`
	Last        time.Time       `json:"last"`
}

// Malformed is a domain whose DMARC record has defects, or no domain: From
// fields that name none.
type Malformed struct {
	Domain   string    `json:"domain"` // of the record; else the author domain, "" when From has none
	Messages int64     `json:"messages"`
	Last     time.Time `json:"last"`
	// What was wrong with the newest of them.
	Defects []string    `json:"defects,omitempty"`
	From    policy.From `json:"from,omitempty"`
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

// The queries read one index each and no table (schema.go); state and the like
// are written as they stand there, because SQLite compares the texts.
const (
	failingSQL = `SELECT author, count(*) AS n, sum(disposition = 1), sum(disposition = 2), count(DISTINCT client), max(time)
		FROM message WHERE result = 2 AND state = 0 AND time >= ? GROUP BY author ORDER BY n DESC, author LIMIT ?`
	overriddenSQL = `SELECT author, override, count(*) AS n, sum(disposition = 1), sum(disposition = 2), max(time)
		FROM message WHERE override <> '' AND state = 0 AND time >= ? GROUP BY author, override ORDER BY n DESC, author, override LIMIT ?`
	malformedSQL = `SELECT CASE policy_domain WHEN '' THEN author ELSE policy_domain END AS domain, count(*) AS n, max(time), max(seq)
		FROM message WHERE flags & 2 AND state = 0 AND time >= ? GROUP BY domain ORDER BY n DESC, domain LIMIT ?`
	newSendersSQL = `SELECT org, net, first, passed, seq FROM sender WHERE first >= ? ORDER BY first DESC LIMIT ?`
)

// TopFailing implements Queries.
func (r *Reader) TopFailing(ctx context.Context, from time.Time, limit int) ([]Failing, error) {
	return query(ctx, r.db, "failing messages", func(rs *sql.Rows) (f Failing, err error) {
		err = rs.Scan(&f.Author, &f.Messages, &f.Quarantined, &f.Rejected, &f.Clients, (*milliseconds)(&f.Last))
		return f, err
	}, failingSQL, since(from), max(0, limit))
}

// TopOverridden implements Queries.
func (r *Reader) TopOverridden(ctx context.Context, from time.Time, limit int) ([]Overridden, error) {
	return query(ctx, r.db, "overridden decisions", func(rs *sql.Rows) (o Overridden, err error) {
		err = rs.Scan(&o.Author, &o.Override, &o.Messages, &o.Quarantined, &o.Rejected, (*milliseconds)(&o.Last))
		return o, err
	}, overriddenSQL, since(from), max(0, limit))
}

// TopMalformed implements Queries.
func (r *Reader) TopMalformed(ctx context.Context, from time.Time, limit int) ([]Malformed, error) {
	var newest []int64
	out, err := query(ctx, r.db, "malformed records", func(rs *sql.Rows) (m Malformed, err error) {
		var seq int64
		err = rs.Scan(&m.Domain, &m.Messages, (*milliseconds)(&m.Last), &seq)
		newest = append(newest, seq)
		return m, err
	}, malformedSQL, since(from), max(0, limit))
	if err != nil {
		return nil, err
	}
	for i := range out {
		rows, err := r.rows(ctx, "SELECT "+rowSelection+" FROM message WHERE seq = ?", newest[i])
		if err != nil {
			return nil, err
		}
		for _, row := range rows { // none when it has been deleted meanwhile
			out[i].Defects, out[i].From = row.author().Defects, row.Facts.From
		}
	}
	return out, nil
}

// NewSenders implements Queries.
func (r *Reader) NewSenders(ctx context.Context, from time.Time, limit int) ([]NewSender, error) {
	var firsts []int64
	out, err := query(ctx, r.db, "new senders", func(rs *sql.Rows) (n NewSender, err error) {
		var net []byte
		var seq int64
		err = rs.Scan(&n.Org, &net, (*milliseconds)(&n.First), &n.Passed, &seq)
		n.Net = netOf(net)
		firsts = append(firsts, seq)
		return n, err
	}, newSendersSQL, since(from), max(0, limit))
	if err != nil {
		return nil, err
	}
	for i := range out {
		err := r.db.QueryRowContext(ctx, "SELECT qid, author FROM message WHERE seq = ?", firsts[i]).Scan(&out[i].QueueID, &out[i].Author)
		if err != nil && err != sql.ErrNoRows {
			return nil, fmt.Errorf("reading the first message of a sender: %w", err)
		}
	}
	return out, nil
}

// milliseconds reads a time of a table.
type milliseconds time.Time

// Scan implements sql.Scanner.
func (m *milliseconds) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("a time is a %T", v)
	}
	*m = milliseconds(time.UnixMilli(n).UTC())
	return nil
}

// query returns what scan makes of the rows that a query finds.
func query[T any](ctx context.Context, db queryer, what string, scan func(*sql.Rows) (T, error), text string, args ...any) ([]T, error) {
	rs, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", what, err)
	}
	defer rs.Close()
	var out []T
	for rs.Next() {
		v, err := scan(rs)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", what, err)
		}
		out = append(out, v)
	}
	return out, rs.Err()
}
