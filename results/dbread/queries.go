package dbread

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"time"

	"dmarcgate/results"
)

var _ results.Queries = (*Reader)(nil)

// The queries read one index each and no table (schema.go); state and the like
// are written as they stand there, because SQLite compares the texts.
const (
	failingSQL = `SELECT author, count(*) AS n, sum(disposition = 1), sum(disposition = 2), count(DISTINCT client), max(time)
		FROM message WHERE result = 2 AND state = 0 AND time >= ? AND ` + givingWay + ` GROUP BY author ORDER BY n DESC, author LIMIT ?`
	overriddenSQL = `SELECT author, override, count(*) AS n, sum(disposition = 1), sum(disposition = 2), max(time)
		FROM message WHERE override <> '' AND state = 0 AND time >= ? AND ` + givingWay + ` GROUP BY author, override ORDER BY n DESC, author, override LIMIT ?`
	malformedSQL = `SELECT CASE policy_domain WHEN '' THEN author ELSE policy_domain END AS domain, count(*) AS n, max(time), max(seq)
		FROM message WHERE flags & 2 AND state = 0 AND time >= ? AND ` + givingWay + ` GROUP BY domain ORDER BY n DESC, domain LIMIT ?`
	newSendersSQL = `SELECT org, net, first, passed, seq FROM sender WHERE first >= ? ORDER BY first DESC LIMIT ?`
	knownSinceSQL = `SELECT first FROM sender WHERE org = ? AND passed = 1 ORDER BY first LIMIT 1`
)

// TopFailing implements Queries.
func (r *Reader) TopFailing(ctx context.Context, from time.Time, limit int) ([]results.Failing, error) {
	return Query(ctx, r, "failing messages", func(rs *sql.Rows) (f results.Failing, err error) {
		err = rs.Scan(&f.Author, &f.Messages, &f.Quarantined, &f.Rejected, &f.Clients, (*Milliseconds)(&f.Last))
		return f, err
	}, failingSQL, since(from), max(0, limit))
}

// TopOverridden implements Queries.
func (r *Reader) TopOverridden(ctx context.Context, from time.Time, limit int) ([]results.Overridden, error) {
	return Query(ctx, r, "overridden decisions", func(rs *sql.Rows) (o results.Overridden, err error) {
		err = rs.Scan(&o.Author, &o.Reason, &o.Messages, &o.Quarantined, &o.Rejected, (*Milliseconds)(&o.Last))
		return o, err
	}, overriddenSQL, since(from), max(0, limit))
}

// TopMalformed implements Queries.
func (r *Reader) TopMalformed(ctx context.Context, from time.Time, limit int) ([]results.Malformed, error) {
	var newest []int64
	out, err := Query(ctx, r, "malformed records", func(rs *sql.Rows) (m results.Malformed, err error) {
		var seq int64
		err = rs.Scan(&m.Domain, &m.Messages, (*Milliseconds)(&m.Last), &seq)
		newest = append(newest, seq)
		return m, err
	}, malformedSQL, since(from), max(0, limit))
	if err != nil {
		return nil, err
	}
	for i := range out {
		rows, err := r.rows(ctx, "SELECT "+Selection+" FROM message WHERE seq = ?", newest[i])
		if err != nil {
			return nil, err
		}
		for _, row := range rows { // none when it has been deleted meanwhile
			out[i].Defects, out[i].FromField = row.Author().Defects, row.Facts.FromField
		}
	}
	return out, nil
}

// NewSenders implements Queries.
func (r *Reader) NewSenders(ctx context.Context, from time.Time, limit int) ([]results.NewSender, error) {
	var firsts []int64
	out, err := Query(ctx, r, "new senders", func(rs *sql.Rows) (n results.NewSender, err error) {
		var net []byte
		var seq int64
		err = rs.Scan(&n.Org, &net, (*Milliseconds)(&n.First), &n.Passed, &seq)
		n.Net = NetOf(net)
		firsts = append(firsts, seq)
		return n, err
	}, newSendersSQL, since(from), max(0, limit))
	if err != nil {
		return nil, err
	}
	for i := range out {
		err := r.QueryRowContext(ctx, "SELECT qid, author FROM message WHERE seq = ?", firsts[i]).Scan(&out[i].QueueID, &out[i].Author)
		if err != nil && err != sql.ErrNoRows {
			return nil, fmt.Errorf("reading the first message of a sender: %w", err)
		}
	}
	return out, nil
}

// KnownSince implements Queries.
func (r *Reader) KnownSince(ctx context.Context, org string) (time.Time, error) {
	first, err := Query(ctx, r, "the first message of an organization", func(rs *sql.Rows) (at time.Time, err error) {
		return at, rs.Scan((*Milliseconds)(&at))
	}, knownSinceSQL, org)
	if err != nil || len(first) == 0 {
		return time.Time{}, err
	}
	return first[0], nil
}

// Milliseconds reads a time of a table, in milliseconds since 1970.
type Milliseconds time.Time

// Scan implements sql.Scanner.
func (m *Milliseconds) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("a time is a %T", v)
	}
	*m = Milliseconds(time.UnixMilli(n).UTC())
	return nil
}

// Query returns what scan makes of the rows that a query finds.
func Query[T any](ctx context.Context, db Querier, what string, scan func(*sql.Rows) (T, error), text string, args ...any) ([]T, error) {
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

// limits returns the limits of a span as the tables have them.
func limits(s results.Span) (from, to int64) {
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

// NetOf is the network of the bytes of the table sender, invalid when there is none.
func NetOf(b []byte) netip.Prefix {
	size := 4
	if len(b) > 4 {
		size = 16
	}
	a, _ := netip.AddrFromSlice(append(b[:len(b):len(b)], make([]byte, max(0, size-len(b)))...))
	return netip.PrefixFrom(a, 8*len(b))
}

// RuleUse implements Queries.
func (r *Reader) RuleUse(ctx context.Context) ([]results.RuleUse, error) {
	return Query(ctx, r, "the use of rules", func(rs *sql.Rows) (u results.RuleUse, err error) {
		return u, rs.Scan(&u.Rule, (*Milliseconds)(&u.First), (*Milliseconds)(&u.Last), &u.Matches)
	}, "SELECT rule, first, last, matches FROM rule_use ORDER BY rule")
}

// RuleHits implements Queries.
func (r *Reader) RuleHits(ctx context.Context, since time.Time) ([]results.RuleHit, error) {
	return results.CountRuleHits(ctx, r, since)
}
