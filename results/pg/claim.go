package pg

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"dmarcgate/results"
)

// patience is how long a store that moved waits for the place where it was
// shipped last, unless that has said that it is done: a copy must not go ahead
// of the original, which may only have lost its connection. It runs from the
// start of the server, when that was later.
const patience = 2 * time.Minute

// ErrRefused means that this file must not be shipped as the store that it says
// it is. An operator has to look.
var ErrRefused = errors.New("refused")

// errOver means that something of the claim has changed, and that it has to be
// made anew.
var errOver = errors.New("the claim has to be made anew")

// claim is an identity that this session may ship.
type claim struct {
	results.Identity
	end  int64 // its last row; never for the one that goes on
	id   int32 // of the store in PostgreSQL
	done int64 // all rows up to this one are there
}

// record is a store as PostgreSQL has it.
type record struct {
	id       int32
	place    Place
	shipped  int64
	openings []results.Opening
	stopped  bool          // its daemon has said goodbye, or there is another store
	quiet    time.Duration // since anybody could ship it last
}

// claims takes all identities of the file, the last one as current. Those
// before it are shipped up to their ends.
func (c *session) claims(ctx context.Context) error {
	ids, err := c.src.Identities(ctx)
	if err != nil {
		return fmt.Errorf("reading the ids of the store: %w", err)
	}
	openings, err := c.src.Openings(ctx)
	if err != nil {
		return fmt.Errorf("reading the openings of the store: %w", err)
	}
	c.claimed = c.claimed[:0]
	for i, id := range ids {
		end := int64(never)
		if i+1 < len(ids) {
			end = ids[i+1].FirstSeq - 1
		}
		cl := claim{Identity: id, end: end, done: id.FirstSeq - 1}
		if end >= id.FirstSeq {
			if err := c.claim(ctx, &cl, before(openings, end)); err != nil {
				return err
			}
		}
		c.claimed = append(c.claimed, cl)
	}
	return nil
}

// before returns the openings that a row up to end can be of.
func before(openings []results.Opening, end int64) []results.Opening {
	n := len(openings)
	for n > 0 && openings[n-1].FirstSeq > end {
		n--
	}
	return openings[:n]
}

// claim takes one identity: its lock, and then its record.
func (c *session) claim(ctx context.Context, cl *claim, openings []results.Opening) error {
	if cl.end != never {
		over, err := c.finished(ctx, cl)
		if over || err != nil {
			return err
		}
	}
	take := c.register
	if err := c.lock(ctx, cl.StoreID); err != nil {
		if !c.adopted || cl.end != never || !errors.Is(err, ErrRefused) {
			return err
		}
		take = c.part // the other daemon keeps the store
	}
	err := pgx.BeginFunc(ctx, c.conn, func(tx pgx.Tx) error { return take(ctx, tx, cl, openings) })
	if errors.Is(err, errRenew) {
		return c.renew(ctx, cl)
	}
	return err
}

// finished reports whether an identity that has ended is shipped to its end,
// whoever did it: up to there, a file and its copy have the same rows.
func (c *session) finished(ctx context.Context, cl *claim) (bool, error) {
	err := c.conn.QueryRow(ctx, "SELECT id, shipped FROM dmarcgate.store WHERE uuid = $1", cl.StoreID).Scan(&cl.id, &cl.done)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return cl.done >= cl.end, err
}

// lock takes the advisory lock of a store for this session.
func (c *session) lock(ctx context.Context, storeID string) error {
	key, err := lockKey(storeID)
	if err != nil {
		return err
	}
	var got bool
	if err := c.conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", key).Scan(&got); err != nil {
		return fmt.Errorf("locking the store: %w", err)
	}
	if got {
		return nil
	}
	return c.held(ctx, key, storeID)
}

// lockKey makes the store id, which is random, a number.
func lockKey(storeID string) (int64, error) {
	id, err := hex.DecodeString(storeID)
	if err != nil || len(id) != 16 {
		return 0, fmt.Errorf("%q is not the id of a store", storeID)
	}
	var key int64
	for _, b := range id[:8] {
		key = key<<8 | int64(b)
	}
	return key, nil
}

// held finds out who has the lock. When it is a session of this very process,
// which the server does not know to be dead, that is ended.
func (c *session) held(ctx context.Context, key int64, storeID string) error {
	var pid int32
	var name, from string
	// The system shows such a key in two halves (pg_locks, objsubid 1).
	err := c.conn.QueryRow(ctx, `SELECT l.pid, coalesce(a.application_name, ''), coalesce(host(a.client_addr), 'a local socket')
		FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
		WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.pid <> pg_backend_pid()
			AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
			AND l.classid = (($1::bigint >> 32) & 4294967295)::oid AND l.objid = ($1::bigint & 4294967295)::oid`, key).Scan(&pid, &name, &from)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("locking the store: %w", errOver)
	case err != nil:
		return fmt.Errorf("asking who ships the store: %w", err)
	case name == c.name:
		if _, err := c.conn.Exec(ctx, "SELECT pg_terminate_backend($1)", pid); err != nil {
			return fmt.Errorf("ending our own lost session: %w", err)
		}
		return fmt.Errorf("our own lost session had the lock: %w", errOver)
	}
	return fmt.Errorf("%w: the store %s is being shipped by another daemon (%s, from %s). If this file is a copy of that daemon's, give it an id of its own: dmarcgate results adopt",
		ErrRefused, storeID, name, from)
}

var errRenew = errors.New("the file has to get a new id")

// register compares the file with the record, and brings that up to date.
func (c *session) register(ctx context.Context, tx pgx.Tx, cl *claim, openings []results.Opening) error {
	r, err := readRecord(ctx, tx, cl.StoreID)
	if errors.Is(err, pgx.ErrNoRows) {
		return c.create(ctx, tx, cl, openings)
	}
	if err != nil {
		return fmt.Errorf("reading the store's record: %w", err)
	}
	cl.id, cl.done = r.id, r.shipped
	if cl.end != never {
		return nil // what differs begins after its end
	}
	if first, forked := fork(openings, r.openings, r.shipped, c.ownOf(cl)); forked {
		return c.refuse(cl, r, max(first, cl.FirstSeq))
	}
	if r.place != c.Place && !r.stopped && r.quiet < patience && !c.adopted {
		return fmt.Errorf("%w: the store %s was recently shipped from %s, and this is %s; waiting until that host has been silent for %v",
			ErrRefused, cl.StoreID, r.place, c.Place, patience)
	}
	if _, err := tx.Exec(ctx, `UPDATE dmarcgate.store SET host = $2, machine = $3, path = $4, seen = clock_timestamp(), stopped = NULL, ended = NULL
		WHERE id = $1`, r.id, c.Place.Host, c.Place.Machine, c.Place.Path); err != nil {
		return fmt.Errorf("noting the store's place: %w", err)
	}
	return addOpenings(ctx, tx, r.id, openings)
}

// ownOf returns what this process has done to a store.
func (c *session) ownOf(cl *claim) mark {
	if c.own.store != cl.StoreID {
		return mark{}
	}
	return c.own
}

// refuse answers a file that is not what the store has become. At the place
// where the store was, an old state of it was put back, and the lock tells that
// nobody else is there: it gets a new id. Anywhere else it is a copy, and only
// an operator can say which of the two is to go on.
func (c *session) refuse(cl *claim, r record, first int64) error {
	if r.place == c.Place || c.adopted {
		c.Log.Warn("store file is an older copy of a shipped store; new rows get a new store id",
			"store", cl.StoreID, "first", first, "adopted", c.adopted)
		cl.end = first - 1
		return errRenew
	}
	return fmt.Errorf("%w: this file (%s) is a copy of the store %s, which was shipped from %s with rows that this file does not have. To give this file an id of its own: dmarcgate results adopt",
		ErrRefused, c.Place, cl.StoreID, r.place)
}

// part leaves the store to the daemon that ships it now, from the first row on
// that this file may not share with it.
func (c *session) part(ctx context.Context, tx pgx.Tx, cl *claim, openings []results.Opening) error {
	r, err := readRecord(ctx, tx, cl.StoreID)
	if err != nil {
		return fmt.Errorf("reading the store's record: %w", err)
	}
	first, forked := fork(openings, r.openings, r.shipped, c.ownOf(cl))
	if !forked {
		first = ownBegin(openings, r.openings)
	}
	if first == never {
		return fmt.Errorf("%w: all openings of this file are known of the store %s, which another daemon ships: restart this one, and adopt again", ErrRefused, cl.StoreID)
	}
	return c.refuse(cl, r, max(first, cl.FirstSeq))
}

// renew gives the file a new id after the end that refuse has found.
func (c *session) renew(ctx context.Context, cl *claim) error {
	if err := c.src.Renew(ctx, cl.end+1); err != nil {
		return fmt.Errorf("giving the store a new id: %w", err)
	}
	c.own = mark{}
	c.Metrics.StoreRenewed()
	return errOver
}

// create makes the record of a new store. A store that was at its place before
// is gone: nobody need wait for it.
func (c *session) create(ctx context.Context, tx pgx.Tx, cl *claim, openings []results.Opening) error {
	err := tx.QueryRow(ctx, `INSERT INTO dmarcgate.store (uuid, host, machine, path, shipped) VALUES ($1, $2, $3, $4, $5) RETURNING id`,
		cl.StoreID, c.Place.Host, c.Place.Machine, c.Place.Path, cl.done).Scan(&cl.id)
	if err != nil {
		return fmt.Errorf("adding the store: %w", err)
	}
	if _, err := tx.Exec(ctx, `UPDATE dmarcgate.store SET ended = clock_timestamp()
		WHERE host = $1 AND machine = $2 AND path = $3 AND id <> $4 AND ended IS NULL`,
		c.Place.Host, c.Place.Machine, c.Place.Path, cl.id); err != nil {
		return fmt.Errorf("ending the store that was here: %w", err)
	}
	return addOpenings(ctx, tx, cl.id, openings)
}

func addOpenings(ctx context.Context, tx pgx.Tx, id int32, openings []results.Opening) error {
	tokens, firsts := make([]string, len(openings)), make([]int64, len(openings))
	for i, o := range openings {
		tokens[i], firsts[i] = o.Token, o.FirstSeq
	}
	_, err := tx.Exec(ctx, `INSERT INTO dmarcgate.store_opening
		SELECT $1, token::uuid, first FROM unnest($2::text[], $3::bigint[]) AS o (token, first) ON CONFLICT DO NOTHING`, id, tokens, firsts)
	if err != nil {
		return fmt.Errorf("noting the openings: %w", err)
	}
	return nil
}

// readRecord reads and locks the record of a store.
func readRecord(ctx context.Context, tx pgx.Tx, storeID string) (r record, err error) {
	var quiet float64
	err = tx.QueryRow(ctx, `SELECT id, host, machine, path, shipped, stopped IS NOT NULL OR ended IS NOT NULL,
			extract(epoch FROM clock_timestamp() - greatest(seen, pg_postmaster_start_time()))::float8
		FROM dmarcgate.store WHERE uuid = $1 FOR UPDATE`, storeID).
		Scan(&r.id, &r.place.Host, &r.place.Machine, &r.place.Path, &r.shipped, &r.stopped, &quiet)
	if err != nil {
		return record{}, err
	}
	r.quiet = time.Duration(quiet * float64(time.Second))
	rows, err := tx.Query(ctx, "SELECT replace(token::text, '-', ''), first_seq FROM dmarcgate.store_opening WHERE store = $1", r.id)
	if err != nil {
		return record{}, err
	}
	r.openings, err = pgx.CollectRows(rows, pgx.RowToStructByPos[results.Opening])
	return r, err
}

// String names the place for people.
func (p Place) String() string { return strings.TrimSpace(p.Host + " " + p.Machine + " " + p.Path) }
