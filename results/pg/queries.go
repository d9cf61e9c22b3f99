package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"dmarcgate/results"
)

var _ results.Queries = (*Reader)(nil)

// maxSameID is how many rows of one queue id are read.
const maxSameID = 100

// The queries read one index of each day and no table (schema.go), once the
// server has looked after it. Names are put in order as the local store does.
const (
	recentSQL  = "SELECT " + rowSelection + " FROM dmarcgate.message ORDER BY time DESC, store DESC, seq DESC LIMIT $1"
	byIDSQL    = "SELECT " + rowSelection + " FROM dmarcgate.message WHERE qid = $1 ORDER BY time, store, seq LIMIT $2"
	failingSQL = `SELECT author, count(*), count(*) FILTER (WHERE disposition = 1), count(*) FILTER (WHERE disposition = 2), count(DISTINCT client), max(time)
		FROM dmarcgate.message WHERE result = 2 AND state = 0 AND time >= $1 GROUP BY author ORDER BY 2 DESC, author COLLATE "C" LIMIT $2`
	overriddenSQL = `SELECT author, override, count(*), count(*) FILTER (WHERE disposition = 1), count(*) FILTER (WHERE disposition = 2), max(time)
		FROM dmarcgate.message WHERE override <> '' AND state = 0 AND time >= $1
		GROUP BY author, override ORDER BY 3 DESC, author COLLATE "C", override COLLATE "C" LIMIT $2`
	malformedSQL = `SELECT domain, n, last FROM (SELECT coalesce(nullif(policy_domain, ''), author) AS domain, count(*) AS n, max(time) AS last
			FROM dmarcgate.message WHERE flags & 2 <> 0 AND state = 0 AND time >= $1 GROUP BY 1) AS d
		ORDER BY n DESC, domain COLLATE "C" LIMIT $2`
	newestMalformedSQL = "SELECT " + rowSelection + ` FROM dmarcgate.message
		WHERE flags & 2 <> 0 AND state = 0 AND time = $1 AND coalesce(nullif(policy_domain, ''), author) = $2 ORDER BY store DESC, seq DESC LIMIT 1`
	newSendersSQL = `SELECT s.org, s.net, s.first, s.passed, coalesce(m.qid, ''), coalesce(m.author, '')
		FROM (SELECT * FROM dmarcgate.sender WHERE first >= $1 ORDER BY first DESC LIMIT $2) AS s
			LEFT JOIN dmarcgate.message m ON m.store = s.store AND m.seq = s.seq AND m.time = s.first
		ORDER BY s.first DESC`
	knownSinceSQL = "SELECT first FROM dmarcgate.sender WHERE org = $1 AND passed ORDER BY first LIMIT 1"
)

// Recent implements results.Queries.
func (r *Reader) Recent(ctx context.Context, limit int) ([]results.Row, error) {
	return query(ctx, r, "the newest rows", scanRow, recentSQL, max(0, limit))
}

// ByQueueID implements results.Queries. Several hosts may have the same id.
func (r *Reader) ByQueueID(ctx context.Context, qid string) ([]results.Row, error) {
	if !storable(qid) {
		return nil, nil
	}
	return query(ctx, r, "rows of a queue id", scanRow, byIDSQL, qid, maxSameID)
}

// TopFailing implements results.Queries.
func (r *Reader) TopFailing(ctx context.Context, since time.Time, limit int) ([]results.Failing, error) {
	return query(ctx, r, "failing messages", func(row pgx.CollectableRow) (f results.Failing, err error) {
		err = row.Scan(&f.Author, &f.Messages, &f.Quarantined, &f.Rejected, &f.Clients, &f.Last)
		f.Last = f.Last.UTC()
		return f, err
	}, failingSQL, whole(since), max(0, limit))
}

// TopOverridden implements results.Queries.
func (r *Reader) TopOverridden(ctx context.Context, since time.Time, limit int) ([]results.Overridden, error) {
	return query(ctx, r, "overridden decisions", func(row pgx.CollectableRow) (o results.Overridden, err error) {
		err = row.Scan(&o.Author, &o.Reason, &o.Messages, &o.Quarantined, &o.Rejected, &o.Last)
		o.Last = o.Last.UTC()
		return o, err
	}, overriddenSQL, whole(since), max(0, limit))
}

// TopMalformed implements results.Queries.
func (r *Reader) TopMalformed(ctx context.Context, since time.Time, limit int) ([]results.Malformed, error) {
	out, err := query(ctx, r, "malformed records", func(row pgx.CollectableRow) (m results.Malformed, err error) {
		err = row.Scan(&m.Domain, &m.Messages, &m.Last)
		m.Last = m.Last.UTC()
		return m, err
	}, malformedSQL, whole(since), max(0, limit))
	if err != nil {
		return nil, err
	}
	for i := range out {
		rows, err := query(ctx, r, "malformed records", scanRow, newestMalformedSQL, out[i].Last, out[i].Domain)
		if err != nil {
			return nil, err
		}
		for _, row := range rows { // none when it has been deleted meanwhile
			out[i].Defects, out[i].FromField = row.Author().Defects, row.Facts.FromField
		}
	}
	return out, nil
}

// NewSenders implements results.Queries.
func (r *Reader) NewSenders(ctx context.Context, since time.Time, limit int) ([]results.NewSender, error) {
	return query(ctx, r, "new senders", func(row pgx.CollectableRow) (n results.NewSender, err error) {
		err = row.Scan(&n.Org, &n.Net, &n.First, &n.Passed, &n.QueueID, &n.Author)
		n.First = n.First.UTC()
		return n, err
	}, newSendersSQL, whole(since), max(0, limit))
}

// KnownSince implements results.Queries.
func (r *Reader) KnownSince(ctx context.Context, org string) (time.Time, error) {
	if !storable(org) {
		return time.Time{}, nil
	}
	first, err := query(ctx, r, "the first message of an organization", pgx.RowTo[time.Time], knownSinceSQL, org)
	if err != nil || len(first) == 0 {
		return time.Time{}, err
	}
	return first[0].UTC(), nil
}

// whole returns a time as the column has it.
func whole(t time.Time) time.Time { return t.Truncate(time.Millisecond) }

// query returns what scan makes of the rows that a query finds.
func query[T any](ctx context.Context, r *Reader, what string, scan pgx.RowToFunc[T], text string, args ...any) (out []T, err error) {
	err = r.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, text, args...)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, scan)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading %s from PostgreSQL: %w", what, err)
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}
