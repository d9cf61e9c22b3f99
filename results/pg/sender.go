package pg

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"dmarcgate/results"
	"dmarcgate/results/blob"
)

// maxMet is how many senders a Shipper keeps in memory of those that it has
// shipped today: twice that, some 10 MB, before it ships one again.
const maxMet = 30_000

type senderKey struct {
	org string
	net netip.Prefix
}

// met is which senders PostgreSQL has with the day of today, in two halves of
// which the older is forgotten.
type met struct {
	day            time.Time
	newer, earlier map[senderKey]bool // whether DMARC passed
}

// news returns the senders of rows that PostgreSQL may not have yet, each once,
// in one order for all hosts: then none of them waits for another in a circle.
func (m *met) news(rows []blob.Shipment) []results.Sender {
	found := make(map[senderKey]results.Sender)
	for i := range rows {
		s, ok := rows[i].Sender()
		key := senderKey{s.Org, s.Net}
		if !ok || !storable(s.Org) || m.known(key, day(s.Time), s.Passed) {
			continue
		}
		if first, again := found[key]; again {
			first.Passed = first.Passed || s.Passed
			s = first
		}
		found[key] = s
	}
	out := make([]results.Sender, 0, len(found))
	for _, s := range found {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b results.Sender) int { return cmp.Or(cmp.Compare(a.Org, b.Org), a.Net.Compare(b.Net)) })
	return out
}

func (m *met) known(key senderKey, today time.Time, passed bool) bool {
	if today.After(m.day) {
		return false
	}
	before, found := m.newer[key]
	if !found {
		before, found = m.earlier[key]
	}
	return found && (before || !passed)
}

// add notes senders that PostgreSQL has.
func (m *met) add(senders []results.Sender) {
	for _, s := range senders {
		if today := day(s.Time); today.After(m.day) || m.newer == nil {
			*m = met{day: today, newer: make(map[senderKey]bool)}
		}
		if len(m.newer) >= maxMet {
			m.newer, m.earlier = make(map[senderKey]bool), m.newer
		}
		key := senderKey{s.Org, s.Net}
		m.newer[key] = m.newer[key] || s.Passed
	}
}

// writeSenders notes the senders of a batch. What would change nothing is not
// written.
func writeSenders(ctx context.Context, tx pgx.Tx, b batch) error {
	n := len(b.senders)
	if n == 0 {
		return nil
	}
	orgs, nets, times, seqs, passed := make([]string, n), make([]netip.Prefix, n), make([]time.Time, n), make([]int64, n), make([]bool, n)
	for i, s := range b.senders {
		orgs[i], nets[i], times[i], seqs[i], passed[i] = s.Org, s.Net, s.Time, s.Sequence, s.Passed
	}
	_, err := tx.Exec(ctx, `INSERT INTO dmarcgate.sender AS s (org, net, first, last, store, seq, passed)
		SELECT org, net, time, time, $6::integer, seq, passed
			FROM unnest($1::text[], $2::cidr[], $3::timestamptz[], $4::bigint[], $5::boolean[]) AS n (org, net, time, seq, passed)
		ON CONFLICT (org, net) DO UPDATE SET last = greatest(s.last, excluded.last), passed = s.passed OR excluded.passed,
			first = least(s.first, excluded.first),
			store = CASE WHEN excluded.first < s.first THEN excluded.store ELSE s.store END,
			seq = CASE WHEN excluded.first < s.first THEN excluded.seq ELSE s.seq END
		WHERE date_trunc('day', excluded.last) > date_trunc('day', s.last)
			OR excluded.passed AND NOT s.passed OR excluded.first < s.first`, orgs, nets, times, seqs, passed, b.store)
	if err != nil {
		return fmt.Errorf("noting senders: %w", err)
	}
	return nil
}

// forgetSenders forgets those that have sent nothing since.
func forgetSenders(ctx context.Context, conn *pgx.Conn, oldest time.Time) error {
	if _, err := conn.Exec(ctx, "DELETE FROM dmarcgate.sender WHERE last < $1", oldest); err != nil {
		return fmt.Errorf("forgetting senders: %w", err)
	}
	return nil
}
