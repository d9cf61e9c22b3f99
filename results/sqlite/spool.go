package sqlite

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"dmarcgate/results"
	"dmarcgate/results/blob"
	"dmarcgate/results/dbfile"
	"dmarcgate/results/dbread"
)

// metaShipped is the key of the mark up to which all rows are elsewhere, too.
const metaShipped = "shipped"

// Spool is a store as what ships its rows sees it (results/pg). What it writes
// are marks: seldom, and on a connection of its own, beside the writer. It stays
// with one file until it is asked for Identities again.
type Spool struct {
	store *Store
	mu    sync.Mutex // guards what stands below
	file  *file
	mark  *sql.DB
}

// Spool returns the store as a spool. Close it before the store.
func (s *Store) Spool(ctx context.Context) (*Spool, error) {
	sp := &Spool{store: s}
	if err := sp.renew(ctx); err != nil {
		return nil, fmt.Errorf("opening the store as a spool: %w", err)
	}
	return sp, nil
}

// renew goes to the file that the store has now.
func (s *Spool) renew(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.store.current.Load()
	if f == s.file {
		return nil
	}
	// Checkpoints are the writer's. A mark that is lost is found again, but an
	// id under which rows are elsewhere must never be lost: see Renew.
	db, err := sql.Open("sqlite", dsn(s.store.opt)+"&_pragma=wal_autocheckpoint(0)")
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	if err := db.PingContext(ctx); err != nil {
		db.Close()
		return err
	}
	if s.mark != nil {
		s.mark.Close() // of a file that is no longer used
	}
	s.file, s.mark = f, db
	return nil
}

// bound is what the spool reads and marks.
type bound struct{ read, mark *sql.DB }

func (s *Spool) bound() (bound, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != s.store.current.Load() {
		return bound{}, results.ErrReplaced
	}
	return bound{s.file.reads, s.mark}, nil
}

// Close ends it.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mark.Close()
}

// Identities returns the ids of the file, oldest first.
func (s *Spool) Identities(ctx context.Context) ([]results.Identity, error) {
	if err := s.renew(ctx); err != nil {
		return nil, err
	}
	b, err := s.bound()
	if err != nil {
		return nil, err
	}
	return dbread.Query(ctx, b.read, "the ids of the store", func(rs *sql.Rows) (id results.Identity, err error) {
		return id, rs.Scan(&id.StoreID, &id.FirstSeq)
	}, "SELECT store_id, first_seq FROM identity ORDER BY first_seq")
}

// Renew gives the rows from first on, and all that come, a new id. It returns
// when that is on the disk: rows that are elsewhere under an id which the file
// has lost would be shipped again under another one.
func (s *Spool) Renew(ctx context.Context, first int64) error {
	b, err := s.bound()
	if err != nil {
		return err
	}
	conn, err := b.mark.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	var before int
	if err := conn.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&before); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, "PRAGMA synchronous = FULL"); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, "INSERT OR REPLACE INTO identity (first_seq, store_id) VALUES (?, ?)", first, dbfile.NewID())
	_, undo := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA synchronous = %d", before))
	return errors.Join(err, undo)
}

// Openings returns all openings of the file, oldest first.
func (s *Spool) Openings(ctx context.Context) ([]results.Opening, error) {
	b, err := s.bound()
	if err != nil {
		return nil, err
	}
	return dbread.Query(ctx, b.read, "the openings of the store", func(rs *sql.Rows) (o results.Opening, err error) {
		var token []byte
		err = rs.Scan(&token, &o.FirstSeq)
		o.Token = hex.EncodeToString(token)
		return o, err
	}, "SELECT token, first_seq FROM opening ORDER BY rowid")
}

// After returns the rows after seq in their order: at most limit, and no
// further one once their Encoded has maxBytes.
func (s *Spool) After(ctx context.Context, seq int64, limit, maxBytes int) ([]blob.Shipment, error) {
	b, err := s.bound()
	if err != nil {
		return nil, err
	}
	rs, err := b.read.QueryContext(ctx, shipmentSQL+"WHERE seq > ? ORDER BY seq LIMIT ?", seq, limit)
	if err != nil {
		return nil, fmt.Errorf("reading rows after %d: %w", seq, err)
	}
	defer rs.Close()
	var out []blob.Shipment
	for maxBytes > 0 && rs.Next() {
		r, err := scanShipment(rs)
		if err != nil {
			return nil, fmt.Errorf("reading rows after %d: %w", seq, err)
		}
		maxBytes -= len(r.Encoded)
		out = append(out, r)
	}
	return out, rs.Err()
}

const shipmentSQL = `SELECT seq, time, state, qid, client, author, policy_domain,
	result, requested, disposition, action, override, flags, row FROM message `

func scanShipment(rs *sql.Rows) (r blob.Shipment, err error) {
	var at int64
	var client []byte
	err = rs.Scan(&r.Sequence, &at, &r.State, &r.QueueID, &client, &r.Author, &r.PolicyDomain,
		&r.Result, &r.Requested, &r.Disposition, &r.Action, &r.Reason, &r.Flags, &r.Encoded)
	r.Time = time.UnixMilli(at).UTC()
	r.Client, _ = netip.AddrFromSlice(client)
	return r, err
}

// SetShipped notes that all rows up to seq, and no other, are elsewhere, too.
func (s *Spool) SetShipped(ctx context.Context, seq int64) error {
	b, err := s.bound()
	if err != nil {
		return err
	}
	_, err = b.mark.ExecContext(ctx, "INSERT OR REPLACE INTO meta VALUES (?, ?)", metaShipped, strconv.FormatInt(seq, 10))
	return err
}

// Restates returns states that changed after their row was stored, at most
// limit, of rows up to seq.
func (s *Spool) Restates(ctx context.Context, seq int64, limit int) ([]results.Restate, error) {
	b, err := s.bound()
	if err != nil {
		return nil, err
	}
	return dbread.Query(ctx, b.read, "changed states", func(rs *sql.Rows) (r results.Restate, err error) {
		return r, rs.Scan(&r.Sequence, &r.State)
	}, "SELECT seq, state FROM restate WHERE seq <= ? ORDER BY seq LIMIT ?", seq, limit)
}

// ClearRestates forgets those that Restates returned.
func (s *Spool) ClearRestates(ctx context.Context, done []results.Restate) error {
	b, err := s.bound()
	if err != nil {
		return err
	}
	tx, err := b.mark.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, r := range done {
		if _, err := tx.ExecContext(ctx, "DELETE FROM restate WHERE seq = ? AND state = ?", r.Sequence, r.State); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// Waiting returns what comes after the mark of SetShipped.
func (s *Spool) Waiting(ctx context.Context) (results.Waiting, error) {
	b, err := s.bound()
	if err != nil {
		return results.Waiting{}, err
	}
	return countWaiting(ctx, b.read)
}

// countWaiting asks a file for it.
func countWaiting(ctx context.Context, db oneRow) (results.Waiting, error) {
	var first, last, at sql.NullInt64
	err := db.QueryRowContext(ctx, `SELECT seq, (SELECT max(seq) FROM message), time FROM message
		WHERE seq > coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = ?), 0) ORDER BY seq LIMIT 1`, metaShipped).Scan(&first, &last, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return results.Waiting{}, nil
	}
	if err != nil {
		return results.Waiting{}, fmt.Errorf("asking what waits: %w", err)
	}
	return results.Waiting{Rows: last.Int64 - first.Int64 + 1, Oldest: time.UnixMilli(at.Int64).UTC()}, nil
}
