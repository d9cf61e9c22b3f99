package pg

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"

	"dmarcgate/results"
	"dmarcgate/results/blob"
)

// Reader reads the rows of all hosts. Its methods may be called at once, and
// wait for each other: it has one connection, made anew after a failure.
type Reader struct {
	conf Config
	free chan struct{} // holds a token while nobody reads
	conn *pgx.Conn     // nil before the first read, and after a failure
}

// OpenReader connects to read. An error says what an operator can fix.
func OpenReader(ctx context.Context, conf Config) (*Reader, error) {
	r := &Reader{conf: conf, free: make(chan struct{}, 1)}
	r.free <- struct{}{}
	if err := r.with(ctx, func(context.Context, *pgx.Conn) error { return nil }); err != nil {
		return nil, fmt.Errorf("reading results from PostgreSQL: %w", err)
	}
	return r, nil
}

// Close closes the connection.
func (r *Reader) Close() error {
	<-r.free
	r.drop()
	r.free <- struct{}{}
	return nil
}

// with lends the connection.
func (r *Reader) with(ctx context.Context, f func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, r.conf.timeout())
	defer cancel()
	select {
	case <-r.free:
		defer func() { r.free <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if r.conn == nil || r.conn.IsClosed() {
		if err := r.connect(ctx); err != nil {
			return err
		}
	}
	return f(ctx, r.conn)
}

func (r *Reader) connect(ctx context.Context) (err error) {
	r.drop()
	if r.conn, err = r.conf.connect(ctx, "dmarcgate reader"); err != nil {
		return err
	}
	v, err := readVersion(ctx, r.conn)
	if err == nil {
		var older bool
		if older, err = v.usable(); err == nil && older {
			err = errors.New("the database has no results yet, or of an older program: start a daemon of this version, which prepares it")
		}
	}
	if err == nil {
		_, err = r.conn.Exec(ctx, "SET default_transaction_read_only = on")
	}
	if err != nil {
		r.drop()
	}
	return err
}

func (r *Reader) drop() {
	if r.conn != nil {
		hangUp(r.conn)
		r.conn = nil
	}
}

// rowSelection is what a row is made from, in the order of scanRow.
const rowSelection = "seq, time, state, qid, client, author, policy_domain, row"

func scanRow(row pgx.CollectableRow) (results.Row, error) {
	s, err := scanShipment(row)
	if err != nil {
		return results.Row{}, err
	}
	return s.Row()
}

func scanShipment(row pgx.CollectableRow, more ...any) (s blob.Shipment, err error) {
	var state int16
	var client *netip.Addr
	columns := []any{&s.Sequence, &s.Time, &state, &s.QueueID, &client, &s.Author, &s.PolicyDomain, &s.Encoded}
	if err := row.Scan(append(columns, more...)...); err != nil {
		return s, err
	}
	s.State, s.Time = results.State(state), s.Time.UTC()
	if client != nil {
		s.Client = *client
	}
	return s, nil
}

// Host is a store as PostgreSQL knows it.
type Host struct {
	StoreID   string
	Place     Place
	Shipped   int64         // sequence: all rows up to it are here
	Watermark time.Time     // all its rows before are here; zero when it has shipped nothing yet
	Skew      time.Duration // its clock minus the server's
	Seen      time.Time     // by the server's clock
	Stopped   bool          // its daemon has said goodbye
	Refused   int64         // rows that stayed in its local store
}

// Hosts returns the stores that are in use: the last one of each place.
func (r *Reader) Hosts(ctx context.Context) ([]Host, error) {
	return query(ctx, r, "hosts", scanHost, `SELECT replace(uuid::text, '-', ''), host, machine, path, shipped, coalesce(watermark, 'epoch'), skew_ms,
			seen, stopped IS NOT NULL, (SELECT count(*) FROM dmarcgate.refused WHERE store = id)
		FROM dmarcgate.store WHERE ended IS NULL ORDER BY host, path`)
}

func scanHost(row pgx.CollectableRow) (h Host, err error) {
	var skew int64
	err = row.Scan(&h.StoreID, &h.Place.Host, &h.Place.Machine, &h.Place.Path, &h.Shipped, &h.Watermark, &skew, &h.Seen, &h.Stopped, &h.Refused)
	h.Skew = time.Duration(skew) * time.Millisecond
	if h.Watermark.Unix() == 0 {
		h.Watermark = time.Time{}
	}
	return h, err
}
