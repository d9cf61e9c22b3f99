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
	link *Link
}

// OpenReader connects to read. An error says what an operator can fix.
func OpenReader(ctx context.Context, conf Config) (*Reader, error) {
	r := &Reader{conf: conf, link: NewLink(conf, "dmarcgate reader", prepareReader)}
	if err := r.with(ctx, func(context.Context, *pgx.Conn) error { return nil }); err != nil {
		return nil, fmt.Errorf("reading results from PostgreSQL: %w", err)
	}
	return r, nil
}

// Close closes the connection.
func (r *Reader) Close() error {
	r.link.Close()
	return nil
}

// with lends the connection.
func (r *Reader) with(ctx context.Context, f func(context.Context, *pgx.Conn) error) error {
	return r.link.With(ctx, f)
}

// prepareReader makes a connection one that only reads.
func prepareReader(ctx context.Context, conn *pgx.Conn) error {
	v, err := readVersion(ctx, conn)
	if err != nil {
		return err
	}
	older, err := v.usable()
	if err != nil {
		return err
	}
	if older {
		return errors.New("the database has no results yet, or of an older program: start a daemon of this version, which prepares it")
	}
	_, err = conn.Exec(ctx, "SET default_transaction_read_only = on")
	return err
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
	Ended     bool          // another store took its place
	Refused   int64         // rows that stayed in its local store
}

const hostsSQL = `SELECT replace(uuid::text, '-', ''), host, machine, path, shipped, coalesce(watermark, 'epoch'), skew_ms,
			seen, stopped IS NOT NULL, ended IS NOT NULL, (SELECT count(*) FROM dmarcgate.refused WHERE store = id)
		FROM dmarcgate.store`

// Hosts returns the stores that are in use: the last one of each place.
func (r *Reader) Hosts(ctx context.Context) ([]Host, error) {
	return query(ctx, r, "hosts", scanHost, hostsSQL+" WHERE ended IS NULL ORDER BY host, path")
}

// Stores returns all stores, also those that have ended.
func (r *Reader) Stores(ctx context.Context) ([]Host, error) {
	return query(ctx, r, "stores", scanHost, hostsSQL+" ORDER BY host, path, id")
}

// LateRows counts the answered, evaluated rows of a time span [from, to) that came after
// the number that upto has for their store. A store that upto does not name has come later as a whole.
func (r *Reader) LateRows(ctx context.Context, from, to time.Time, upto map[string]int64) (n int64, err error) {
	ids, last := make([]string, 0, len(upto)), make([]int64, 0, len(upto))
	for id, seq := range upto {
		ids, last = append(ids, id), append(last, seq)
	}
	err = r.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT count(*) FROM dmarcgate.message m JOIN dmarcgate.store s ON s.id = m.store
			LEFT JOIN unnest($3::text[], $4::bigint[]) AS u (uuid, last) ON u.uuid = replace(s.uuid::text, '-', '')
			WHERE m.time >= $1 AND m.time < $2 AND m.seq > coalesce(u.last, 0) AND m.state = 0 AND m.flags & 8 = 0`, from, to, ids, last).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("counting late rows in PostgreSQL: %w", err)
	}
	return n, nil
}

func scanHost(row pgx.CollectableRow) (h Host, err error) {
	var skew int64
	err = row.Scan(&h.StoreID, &h.Place.Host, &h.Place.Machine, &h.Place.Path, &h.Shipped, &h.Watermark, &skew, &h.Seen, &h.Stopped, &h.Ended, &h.Refused)
	h.Skew = time.Duration(skew) * time.Millisecond
	if h.Watermark.Unix() == 0 {
		h.Watermark = time.Time{}
	}
	return h, err
}
