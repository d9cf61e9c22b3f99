package results

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Purge says which rows are meant: those for which all fields hold that are
// set. Without any it means none.
type Purge struct {
	// Domain means it and all below it, as an author or its organization or the
	// domain of the record, of MAIL FROM or HELO, as a signer or sealer, or of a
	// recipient. It is a lower-case A-label form.
	Domain string
	// Client means clients in the network. Shortened addresses are those of
	// their networks: a row is meant when its network may have held a client of
	// this one.
	Client netip.Prefix
	// Before means rows of messages before it.
	Before time.Time
}

// Empty reports whether no field is set.
func (p Purge) Empty() bool { return p.Domain == "" && !p.Client.IsValid() && p.Before.IsZero() }

// errEmptyPurge keeps a forgotten argument from meaning everything.
var errEmptyPurge = errors.New("a purge needs a domain, a client or a time")

// Matches reports whether a row is meant. Purge and export ask the same.
func Matches(r *Row, p Purge) bool {
	if p.Empty() {
		return false
	}
	return (p.Before.IsZero() || r.Facts.Time.Before(p.Before)) &&
		(!p.Client.IsValid() || clientIn(r.Facts.Client, p.Client)) &&
		(p.Domain == "" || names(r, p.Domain))
}

// clientIn reports whether an address is in a network, or may have been before
// it was shortened.
func clientIn(a netip.Addr, net netip.Prefix) bool {
	a, net = a.Unmap().WithZone(""), unmapped(net)
	if net.Contains(a) {
		return true
	}
	return a.IsValid() && a == shortAddr(a) && network(a).Overlaps(net)
}

// unmapped returns the IPv4 network that an IPv6 one stands for.
func unmapped(net netip.Prefix) netip.Prefix {
	if net.Addr().Is4In6() && net.Bits() >= 96 {
		return netip.PrefixFrom(net.Addr().Unmap(), net.Bits()-96).Masked()
	}
	return net.Masked()
}

// below reports whether a name is a domain or below it.
func below(name, domain string) bool {
	head, found := strings.CutSuffix(name, domain)
	return found && (head == "" || strings.HasSuffix(head, "."))
}

// names reports whether a row names a domain.
func names(r *Row, domain string) bool {
	f := &r.Facts
	all := []string{r.Decision.Author, f.MailFrom, f.Helo, f.ClientName, f.SPF.Domain, f.HELO.Domain}
	all = append(all, f.Recipients...)
	for i := range f.Authors {
		a := &f.Authors[i]
		all = append(all, a.Domain, a.Org, a.PolicyDomain)
	}
	for i := range f.DKIM {
		all = append(all, f.DKIM[i].Domain)
	}
	for i := range f.ARC.Sealers {
		all = append(all, f.ARC.Sealers[i].Domain)
		for _, rec := range f.ARC.Sealers[i].Recorded {
			all = append(all, rec.Domain)
		}
	}
	for _, name := range all {
		if below(name, domain) {
			return true
		}
	}
	return false
}

// Normal returns the purge with its domain in the form that rows have, and an
// error when it means nothing.
func (p Purge) Normal() (Purge, error) {
	p.Domain = strings.ToLower(strings.TrimSuffix(p.Domain, "."))
	if p.Empty() {
		return p, errEmptyPurge
	}
	return p, nil
}

// purgeSlice is how many rows are looked at for one transaction.
const purgeSlice = 500

// Purge deletes the rows that are meant, what is known of their senders, and
// the history of their organizations, and gives the space back. It works in
// slices beside the mail; what it has deleted stays deleted when it ends early.
// It returns how many rows it deleted. Rows that come meanwhile stay, and so
// may remains in unused parts of pages, until those are written again: SQLite's
// VACUUM, while no daemon runs, leaves none.
//
// Rows that were shipped are deleted here alone: PostgreSQL has a purge of its
// own (pg.Reader.Purge), to be run after this one on all hosts.
func (s *Store) Purge(ctx context.Context, p Purge) (int64, error) {
	p, err := p.Normal()
	if err != nil {
		return 0, err
	}
	w := &purger{Store: s, f: s.current.Load(), p: p}
	if w.end, err = w.lastRow(ctx); err != nil {
		return 0, fmt.Errorf("purging: looking for the last row: %w", err)
	}
	n, err := slicewise(ctx, func() (int64, error) { return w.slice(ctx) })
	s.deleted("purge", w.deleted)
	if err == nil {
		err = w.finish(ctx)
	}
	if err != nil {
		return w.deleted, fmt.Errorf("purging, after %d of %d rows that were looked at: %w", w.deleted, n, err)
	}
	if w.unreadable > 0 {
		return w.deleted, fmt.Errorf("%d rows cannot be read, so that nobody can say whether they are meant; they stay", w.unreadable)
	}
	return w.deleted, nil
}

// purger is one purge of a store.
type purger struct {
	*Store
	f                   *file
	p                   Purge
	last                int64 // the number of the last row that was looked at
	end                 int64 // the number of the last row that there was at the start
	deleted, unreadable int64
}

// lastRow returns the number of the last row. Rows with a higher one come while
// the purge is at work: without that bound, a host with much mail could keep it
// at work for ever.
func (w *purger) lastRow(ctx context.Context) (seq int64, err error) {
	err = w.f.reads.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM message").Scan(&seq)
	return seq, err
}

// slice looks at some rows, deletes those that are meant, and returns at how
// many it has looked.
func (w *purger) slice(ctx context.Context) (looked int64, err error) {
	before := int64(1) << 62
	if !w.p.Before.IsZero() {
		before = w.p.Before.UnixMilli() + 1 // within the millisecond, Matches tells
	}
	rs, err := w.f.reads.QueryContext(ctx, "SELECT "+rowSelection+" FROM message WHERE seq > ? AND seq <= ? AND time < ? ORDER BY seq LIMIT ?", w.last, w.end, before, purgeSlice)
	if err != nil {
		return 0, err
	}
	defer rs.Close()
	var meant []int64
	first := w.last + 1
	for rs.Next() {
		looked++
		var c columns
		if err := c.scan(rs); err != nil {
			return 0, err
		}
		w.last = c.sequence
		if r, err := c.toRow(); err != nil {
			w.unreadable++
		} else if Matches(&r, w.p) {
			meant = append(meant, c.sequence)
		}
	}
	if err := errors.Join(rs.Err(), rs.Close()); err != nil || len(meant) == 0 {
		return looked, err
	}
	return looked, w.in(ctx, w.f, func(tx *sql.Tx) error {
		n, err := deleteRows(tx, meant)
		if err == nil && n*packPart >= looked {
			err = pack(tx, first, w.last)
		}
		if err == nil {
			w.deleted += n
		}
		return err
	})
}

func deleteRows(tx *sql.Tx, rows []int64) (int64, error) {
	list := inList(rows)
	if _, err := tx.ExecContext(context.Background(), "DELETE FROM restate WHERE seq IN "+list); err != nil {
		return 0, err
	}
	return changed(tx.ExecContext(context.Background(), "DELETE FROM message WHERE seq IN "+list))
}

// inList returns the numbers of rows as SQL has them after IN.
func inList(rows []int64) string {
	return "(" + strings.Trim(strings.Join(strings.Fields(fmt.Sprint(rows)), ","), "[]") + ")"
}

// packPart is the part of the rows, a sixteenth, from which on the others are
// put together again.
const packPart = 16

// pack writes the rows of a span anew, so that pages become free: SQLite leaves
// those that are half empty as they are.
func pack(tx *sql.Tx, first, last int64) error {
	_, err := tx.ExecContext(context.Background(), `CREATE TEMP TABLE pack AS SELECT * FROM message WHERE seq BETWEEN ?1 AND ?2;
		DELETE FROM message WHERE seq BETWEEN ?1 AND ?2;
		INSERT INTO message SELECT * FROM pack ORDER BY seq;
		INSERT INTO ruled SELECT time, seq FROM pack WHERE flags & 16;
		DROP TABLE pack`, first, last)
	return err
}

// finish deletes what belongs to the rows, and gives their space back.
func (w *purger) finish(ctx context.Context) error {
	senders, err := w.senders(ctx)
	if err != nil {
		return err
	}
	err = w.in(ctx, w.f, func(tx *sql.Tx) error {
		for _, who := range senders {
			if _, err := tx.ExecContext(context.Background(), "DELETE FROM sender WHERE org = ? AND net = ?", who.org, who.netBytes()); err != nil {
				return err
			}
		}
		w.met = met{} // of the writer, which this runs in
		_, err := tx.ExecContext(context.Background(), pruneSQL)
		return err
	})
	if err != nil {
		return err
	}
	if w.p.Domain != "" {
		w.history.forget(func(org string) bool { return below(org, w.p.Domain) })
	}
	return w.vacuum(ctx, w.f, 0)
}

// senders returns the senders that are meant.
func (w *purger) senders(ctx context.Context) ([]sender, error) {
	all, err := query(ctx, w.f.reads, "senders", func(rs *sql.Rows) (Sender, error) {
		var who Sender
		var net []byte
		err := rs.Scan(&who.Org, &net, (*milliseconds)(&who.Time))
		who.Net = netOf(net)
		return who, err
	}, "SELECT org, net, last FROM sender")
	var out []sender
	for _, who := range all {
		if who.Matches(w.p) {
			out = append(out, sender{who.Org, who.Net})
		}
	}
	return out, err
}

// Matches reports whether what is known of a sender is meant, Time being that
// of its last message. That a network holds the client is enough: it is met
// again, as a new one, with its next message.
func (s *Sender) Matches(p Purge) bool {
	return !p.Empty() && (p.Before.IsZero() || s.Time.Before(p.Before)) &&
		(!p.Client.IsValid() || s.Net.Overlaps(unmapped(p.Client))) &&
		(p.Domain == "" || below(s.Org, p.Domain))
}

// forget forgets organizations.
func (h *history) forget(meant func(org string) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, o := range h.orgs {
		if meant(name) {
			h.queueOf(o).remove(o)
			delete(h.orgs, name)
		}
	}
}
