package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"dmarcgate/results"
)

const (
	// maxRuleUses is how many rules of a store are known, as in the local one.
	maxRuleUses = 20_000
	// forgetSlice is how many marks one statement deletes.
	forgetSlice = 10_000
)

// writeRules notes which rows of a batch name rules, and the use of these. A
// database that was set back, and gets rows again that it still knew, counts
// them twice.
func writeRules(ctx context.Context, tx pgx.Tx, b batch) error {
	var marked keys
	uses := make(results.RuleUses)
	for i := range b.rows {
		if !b.rows[i].MarkRuled() {
			continue
		}
		marked.add(kept{b.rows[i], b.store})
		if row, err := b.rows[i].Row(); err == nil {
			uses.Add(&row)
		}
	}
	if len(marked.seqs) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `INSERT INTO dmarcgate.ruled (store, seq, time)
		SELECT * FROM unnest($1::integer[], $2::bigint[], $3::timestamptz[]) ON CONFLICT DO NOTHING`, marked.stores, marked.seqs, marked.times)
	if err == nil {
		err = writeUses(ctx, tx, b.store, uses)
	}
	if err != nil {
		return fmt.Errorf("noting rules: %w", err)
	}
	return nil
}

func writeUses(ctx context.Context, tx pgx.Tx, store int32, uses results.RuleUses) error {
	var rules []string
	var firsts, lasts []time.Time
	var matches []int64
	for _, u := range uses {
		if storable(u.Rule) {
			rules, firsts, lasts, matches = append(rules, u.Rule), append(firsts, u.First), append(lasts, u.Last), append(matches, u.Matches)
		}
	}
	_, err := tx.Exec(ctx, `INSERT INTO dmarcgate.rule_use AS u (store, rule, first, last, matches)
		SELECT $1::integer, * FROM unnest($2::text[], $3::timestamptz[], $4::timestamptz[], $5::bigint[])
		ON CONFLICT (store, rule) DO UPDATE SET first = least(u.first, excluded.first), last = greatest(u.last, excluded.last),
			matches = u.matches + excluded.matches`, store, rules, firsts, lasts, matches)
	return err
}

// forgetRules deletes the marks of rows that are no longer kept, and of each
// store the rules that have not matched for longest.
func forgetRules(ctx context.Context, conn *pgx.Conn, oldest time.Time) error {
	for n := int64(forgetSlice); n == forgetSlice; {
		tag, err := conn.Exec(ctx, `DELETE FROM dmarcgate.ruled WHERE (time, store, seq) IN
			(SELECT time, store, seq FROM dmarcgate.ruled WHERE time < $1 ORDER BY time LIMIT $2)`, oldest, forgetSlice)
		if err != nil {
			return err
		}
		n = tag.RowsAffected()
	}
	_, err := conn.Exec(ctx, `DELETE FROM dmarcgate.rule_use AS u USING
		(SELECT store, rule, row_number() OVER (PARTITION BY store ORDER BY last DESC) AS place FROM dmarcgate.rule_use) AS p
		WHERE p.place > $1 AND u.store = p.store AND u.rule = p.rule`, maxRuleUses)
	return err
}

// RuleUse implements results.Queries. Rows that programs of before have shipped
// do not count.
func (r *Reader) RuleUse(ctx context.Context) ([]results.RuleUse, error) {
	return query(ctx, r, "the use of rules", func(row pgx.CollectableRow) (u results.RuleUse, err error) {
		err = row.Scan(&u.Rule, &u.First, &u.Last, &u.Matches)
		u.First, u.Last = u.First.UTC(), u.Last.UTC()
		return u, err
	}, `SELECT rule, min(first), max(last), sum(matches)::bigint FROM dmarcgate.rule_use GROUP BY rule ORDER BY rule COLLATE "C"`)
}

// RuleHits implements results.Queries.
func (r *Reader) RuleHits(ctx context.Context, since time.Time) ([]results.RuleHit, error) {
	return results.CountRuleHits(ctx, r, since)
}
