package pg

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"dmarcgate/results"
	"dmarcgate/results/blob"
)

// What a batch takes at most. Beyond a thousand rows, one more costs the same
// as it does in a batch of its own.
const (
	batchRows     = 1000
	batchBytes    = 4 << 20
	batchRestates = 1000
	// maxRow is far above what a row with all limits reached takes.
	maxRow = 1 << 20
)

// settle is how long before now all rows have been committed locally: it is
// above the longest time from a message's decision to its row's commit.
const settle = time.Minute

// Why a row is not taken, in words of the metric.
const (
	whyTooBig   = "too_big"
	whyBadValue = "bad_value"
	whyBadTime  = "bad_time"
	whyExpired  = "expired" // older than what is kept
	whyDatabase = "database"
)

// columns are those of the table message, in the order of values.
var columns = []string{"store", "seq", "time", "state", "qid", "client", "author", "policy_domain",
	"result", "requested", "disposition", "action", "override", "flags", "row"}

func values(store int32, r blob.Shipment) []any {
	return []any{store, r.Sequence, r.Time.UTC(), int16(r.State), r.QueueID, inet(r.Client), r.Author, r.PolicyDomain,
		int16(r.Result), int16(r.Requested), int16(r.Disposition), int16(r.Action), r.Reason, int32(r.Flags), r.Encoded}
}

// batch is what one transaction takes.
type batch struct {
	store    int32
	from, to int64 // the mark, before and after
	rows     []blob.Shipment
	refused  []refusal
	senders  []results.Sender
	restates []results.Restate
	before   time.Time // by the host's clock, as rows are: all before it is here then
}

// refusal is a row that is set aside.
type refusal struct {
	seq int64
	why string
	err string
}

// ship moves what comes next, and reports whether there was anything.
func (c *session) ship(ctx context.Context) (bool, error) {
	cl := c.current()
	if c.own.store != cl.StoreID {
		c.own = mark{cl.StoreID, cl.done, cl.done}
	}
	ready := c.Now().Add(-settle)
	rows, err := c.src.After(ctx, cl.done, batchRows, batchBytes)
	if errors.Is(err, results.ErrReplaced) {
		return false, fmt.Errorf("%w: %w", errOver, err)
	}
	if err != nil {
		return false, fmt.Errorf("reading rows to ship: %w", err)
	}
	whole := len(rows)
	rows = slices.DeleteFunc(rows, func(r blob.Shipment) bool { return r.Sequence > cl.end })
	b := batch{store: cl.id, from: cl.done, to: cl.done}
	if len(rows) > 0 {
		b.to = rows[len(rows)-1].Sequence
		ready = rows[len(rows)-1].Time.Add(-settle)
	}
	if whole > len(rows) {
		b.to = cl.end // nothing more comes before it
	}
	b.rows, b.refused = c.sort(rows)
	b.senders = c.met.news(b.rows)
	if b.restates, err = c.src.Restates(ctx, b.to, batchRestates); err != nil {
		return false, fmt.Errorf("reading states to ship: %w", err)
	}
	if b.to == b.from && len(b.restates) == 0 {
		return false, nil
	}
	b.before = ready
	return true, c.send(ctx, cl, b)
}

// current returns the claim whose rows come next.
func (c *session) current() *claim {
	for i := range c.claimed {
		if c.claimed[i].done < c.claimed[i].end {
			return &c.claimed[i]
		}
	}
	return &c.claimed[len(c.claimed)-1]
}

// sort tells the rows that PostgreSQL can have from those that it cannot.
func (c *session) sort(rows []blob.Shipment) (good []blob.Shipment, bad []refusal) {
	now := c.serverAt
	for _, r := range rows {
		r.Clean() // what the local store has not come to yet
		if why := fault(r, c.cut, now.Add(maxFuture)); why != "" {
			bad = append(bad, refusal{r.Sequence, why, ""})
		} else {
			if c.tooOld(r) {
				r.Shorten()
			}
			r.MarkRuled()
			good = append(good, r)
		}
	}
	return good, bad
}

// fault says why a row cannot be taken, "" when it can.
func fault(r blob.Shipment, oldest, latest time.Time) string {
	switch {
	case len(r.Encoded) > maxRow:
		return whyTooBig
	case !storable(r.QueueID, r.Author, r.PolicyDomain, r.Reason):
		return whyBadValue
	case r.Time.After(latest):
		return whyBadTime
	case r.Time.Before(oldest):
		return whyExpired
	}
	return ""
}

// storable reports whether PostgreSQL takes these as text: it takes all UTF-8
// but the character zero. An index takes no more than 2,704 bytes.
func storable(texts ...string) bool {
	const maxIndexed = 2048
	return !slices.ContainsFunc(texts, func(s string) bool {
		return !utf8.ValidString(s) || strings.Contains(s, "\x00") || len(s) > maxIndexed
	})
}

// send ships a batch. When one of its rows makes it fail, halves are tried,
// until that row alone is set aside.
func (c *session) send(ctx context.Context, cl *claim, b batch) error {
	err := c.commit(ctx, cl, b)
	if err == nil || !c.faulty(err) {
		return err
	}
	switch n := len(b.rows); n {
	case 0:
		return err
	case 1:
		b.refused = append(b.refused, refusal{b.rows[0].Sequence, whyDatabase, err.Error()})
		b.rows, b.senders = nil, nil
		return c.commit(ctx, cl, b)
	default:
		first, second := b.halves(n / 2)
		if err := c.send(ctx, cl, first); err != nil {
			return err
		}
		return c.send(ctx, cl, second)
	}
}

// halves splits a batch before its row n. States belong to the second half:
// they may be of its rows. Senders are left out, as they may be what is wrong:
// they are met again with their next message.
func (b batch) halves(n int) (first, second batch) {
	first, second = b, b
	first.to, second.from = b.rows[n].Sequence-1, b.rows[n].Sequence-1
	first.rows, second.rows = b.rows[:n], b.rows[n:]
	first.restates, first.refused, second.refused = nil, nil, nil
	first.senders, second.senders = nil, nil
	for _, r := range b.refused {
		if r.seq <= first.to {
			first.refused = append(first.refused, r)
		} else {
			second.refused = append(second.refused, r)
		}
	}
	first.before = b.rows[0].Time.Add(-settle)
	return first, second
}

// faulty reports whether what was sent is to blame: PostgreSQL's classes of
// errors for data, integrity and limits, or a value that could not be encoded.
// Everything else may go well another time.
func (c *session) faulty(err error) bool {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		switch pgErr.Code[:2] {
		case "22", "23", "54":
			return true
		}
		return false
	}
	return errors.Is(err, errEncode)
}

// errEncode means that a row could not be sent at all.
var errEncode = errors.New("the rows could not be sent")

// commit makes one transaction of a batch, and the mark with it. A lost answer
// to its COMMIT leaves open whether it was done; the next claim finds out.
func (c *session) commit(ctx context.Context, cl *claim, b batch) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout())
	defer cancel()
	if err := c.addDays(ctx, b.rows); err != nil {
		return err
	}
	err := pgx.BeginFunc(ctx, c.conn, func(tx pgx.Tx) error { return c.write(ctx, tx, b) })
	if missingPartition(err) { // dropped by another host since we have seen it
		c.known = nil
		if err = c.addDays(ctx, b.rows); err == nil {
			err = pgx.BeginFunc(ctx, c.conn, func(tx pgx.Tx) error { return c.write(ctx, tx, b) })
		}
	}
	if err != nil {
		return err
	}
	cl.done = b.to
	return c.committed(ctx, b)
}

// missingPartition: "no partition of relation found for row" is a check
// violation without the name of a constraint.
func missingPartition(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "23514" && pgErr.ConstraintName == ""
}

// write is the transaction. The mark comes first: another one that is still
// under way for this store ends before it is changed.
func (c *session) write(ctx context.Context, tx pgx.Tx, b batch) error {
	tag, err := tx.Exec(ctx, `UPDATE dmarcgate.store SET shipped = $3, watermark = $4, skew_ms = $5, seen = clock_timestamp(),
			ruled_from = coalesce(ruled_from, $2 + 1), clean_to = $3
		WHERE id = $1 AND shipped = $2`, b.store, b.from, b.to, b.before, c.skew().Milliseconds())
	if err != nil {
		return fmt.Errorf("moving the mark: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("the mark is not where it was: %w", errOver)
	}
	if len(b.rows) > 0 {
		next := func(i int) ([]any, error) { return values(b.store, b.rows[i]), nil }
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"dmarcgate", "message"}, columns, pgx.CopyFromSlice(len(b.rows), next)); err != nil {
			return c.copyError(ctx, err)
		}
	}
	if err := writeSenders(ctx, tx, b); err != nil {
		return err
	}
	if err := writeRules(ctx, tx, b); err != nil {
		return err
	}
	if err := c.writeRest(ctx, tx, b); err != nil {
		return err
	}
	c.own.tried = b.to // the COMMIT comes next
	return nil
}

// copyError tells rows that cannot be encoded from a connection that failed.
func (c *session) copyError(ctx context.Context, err error) error {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) && ctx.Err() == nil && !c.conn.IsClosed() {
		return fmt.Errorf("%w: %w", errEncode, err)
	}
	return fmt.Errorf("copying rows: %w", err)
}

func (c *session) writeRest(ctx context.Context, tx pgx.Tx, b batch) error {
	var more pgx.Batch
	for _, r := range b.refused {
		if r.why != whyExpired {
			more.Queue("INSERT INTO dmarcgate.refused (store, seq, why) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", b.store, r.seq, r.why)
		}
	}
	for _, r := range b.restates {
		more.Queue("UPDATE dmarcgate.message SET state = $3 WHERE store = $1 AND seq = $2", c.storeOf(r.Sequence), r.Sequence, int16(r.State))
	}
	if more.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, &more).Close(); err != nil {
		return fmt.Errorf("writing states: %w", err)
	}
	return nil
}

// storeOf returns the store that a row belongs to.
func (c *session) storeOf(seq int64) int32 {
	for _, cl := range c.claimed {
		if seq <= cl.end {
			return cl.id
		}
	}
	return 0
}

// committed tells the local store, the counters and the log.
func (c *session) committed(ctx context.Context, b batch) error {
	c.own.done = b.to
	c.note(b)
	c.met.add(b.senders)
	for _, r := range b.refused {
		c.Metrics.ShipRefused(r.why)
		if r.why != whyExpired {
			c.Log.Error("row refused by PostgreSQL; kept in the local store only", "seq", r.seq, "why", r.why, "err", r.err)
		}
	}
	c.setShipped(ctx, b.to)
	if len(b.restates) == 0 {
		return nil
	}
	if err := c.src.ClearRestates(ctx, b.restates); err != nil {
		return fmt.Errorf("marking states as shipped: %w", err)
	}
	return nil
}

// setShipped moves the local mark. PostgreSQL has the one that counts, so rows
// go on being shipped when the local disk is full.
func (c *session) setShipped(ctx context.Context, seq int64) {
	if err := c.src.SetShipped(ctx, seq); err != nil {
		c.Log.Warn("cannot mark rows as shipped in the local store", "seq", seq, "err", err)
	}
}

// addDays makes the partitions that rows need.
func (c *session) addDays(ctx context.Context, rows []blob.Shipment) error {
	for _, r := range rows {
		if err := c.addDay(ctx, day(r.Time)); err != nil {
			return err
		}
	}
	return nil
}

func (c *session) addDay(ctx context.Context, d time.Time) error {
	if c.known[d] {
		return nil
	}
	if err := addDay(ctx, c.conn, d); err != nil {
		return err
	}
	if c.known == nil {
		c.known = make(map[time.Time]bool)
	}
	c.known[d] = true
	return nil
}
