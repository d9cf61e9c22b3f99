package sqlite

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/results/dbread"
)

// naming returns a row so many minutes after today that names rules.
func naming(minutes int, rule string, shadow ...string) results.Row {
	r := at(minutes, "bank.example", "192.0.2.1", nil)
	r.Facts.Version = policy.FactsVersion
	r.Decision.Rule = rule
	for _, id := range shadow {
		r.Decision.Shadow = append(r.Decision.Shadow, policy.ShadowDecision{Rule: id, Action: policy.Tag})
	}
	return r
}

// scanned returns the rows of a span.
func scanned(t *testing.T, q results.Queries, span results.Span) (out []results.Row) {
	t.Helper()
	if err := q.Scan(t.Context(), span, func(r results.Row) error { out = append(out, r); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

// ids are the numbers of rows.
func ids(rows []results.Row) (out []int64) {
	for i := range rows {
		out = append(out, rows[i].Sequence)
	}
	return out
}

// uses are what a store knows of rules, as text.
func uses(t *testing.T, q results.Queries) (out []string) {
	t.Helper()
	all, err := q.RuleUse(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range all {
		out = append(out, fmt.Sprintf("%s %d-%d x%d", u.Rule, int(u.First.Sub(today).Minutes()), int(u.Last.Sub(today).Minutes()), u.Matches))
	}
	return out
}

// The file was written before rows that name a rule were marked. Of those that
// do, one was deferred and one was imported.
func TestConvertIndexesRulesOfSchema2(t *testing.T) {
	opt := options(t)
	want := oldStore(t, opt, 2)
	want[5].Facts.Missing = policy.MissingClient | policy.MissingClientName // it may have been shortened
	s := open(t, opt)
	sameSchema(t, s)
	if got := contents(t, s.Reader); !reflect.DeepEqual(got, want) {
		t.Errorf("rows after the migration = %+v; want %+v", got, want)
	}
	s.Add(naming(100, "partner"))
	ruled := []int64{3, 4, 5, 7, 8, 9}
	if got := ids(scanned(t, s, results.Span{Ruled: true})); !slices.Equal(got, ruled) {
		t.Errorf("rows that name a rule, before they were looked through = %v; want %v", got, ruled)
	}
	if got, want := uses(t, s), []string{"partner 100-100 x1"}; !slices.Equal(got, want) {
		t.Errorf("uses = %v; want %v", got, want)
	}
	for range 2 {
		tend(t, s)
		if got := ids(scanned(t, s, results.Span{Ruled: true})); !slices.Equal(got, ruled) {
			t.Errorf("rows that name a rule, afterwards = %v; want %v", got, ruled)
		}
		if got, want := uses(t, s), []string{"lists 2-2 x1", "night 2-2 x1", "partner 2-100 x4", "trial 3-3 x1"}; !slices.Equal(got, want) {
			t.Errorf("uses = %v; want %v", got, want)
		}
	}
	if mark, err := dbread.Unsifted(t.Context(), s); err != nil || mark != 0 {
		t.Errorf("dbread.Unsifted() = %d, %v; want that nothing is left", mark, err)
	}
	if got := count(t, s, "SELECT count(*) FROM message WHERE flags & 16"); got != int64(len(ruled)) {
		t.Errorf("rows with the mark = %d; want %d", got, len(ruled))
	}
}

func TestConvertIndexesRulesOnceAfterInterruption(t *testing.T) {
	opt := options(t)
	var rows []results.Row
	for i := range 3*siftSlice + 7 {
		if i%100 == 0 {
			rows = append(rows, naming(i, "r"))
		} else {
			rows = append(rows, at(i, "bank.example", "192.0.2.1", nil))
		}
	}
	fill(t, opt, rows...)
	s := open(t, opt)
	// As if a program without marks had written them.
	tamper(t, s, fmt.Sprintf("DELETE FROM ruled; DELETE FROM rule_use; UPDATE message SET flags = 0; INSERT INTO meta VALUES ('%s', %d)", dbread.MetaUnsifted, len(rows)))
	want := ids(scanned(t, s, results.Span{Ruled: true}))
	if len(want) != 16 {
		t.Fatalf("rows that name a rule = %v; want 16", want)
	}
	for n := range 4 {
		mark, err := dbread.Unsifted(t.Context(), s)
		if err == nil {
			err = s.siftSlice(t.Context(), s.current.Load(), mark)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := ids(scanned(t, s, results.Span{Ruled: true})); !slices.Equal(got, want) {
			t.Errorf("rows after %d slices = %v; want %v", n+1, got, want)
		}
		if n == 1 {
			s.Close()
			s = open(t, opt)
		}
	}
	tend(t, s)
	if got, want := uses(t, s), []string{"r 0-1500 x16"}; !slices.Equal(got, want) {
		t.Errorf("uses = %v; want %v", got, want)
	}
}

func TestRuleUseOutlivesRows(t *testing.T) {
	opt := options(t)
	patient(&opt)
	opt.Now = func() time.Time { return today.AddDate(0, 0, 10) }
	s := stored(t, naming(0, "a", "b"), naming(1, "", "b"))
	s.Close()
	opt.Path = s.opt.Path
	opt.Retention.Days = 1
	s = open(t, opt)
	before := uses(t, s)
	tend(t, s)
	if got := count(t, s, "SELECT (SELECT count(*) FROM message) + (SELECT count(*) FROM ruled)"); got != 0 {
		t.Errorf("rows that are left = %d; want none", got)
	}
	if got, want := uses(t, s), []string{"a 0-0 x1", "b 0-1 x2"}; !slices.Equal(got, want) || !slices.Equal(before, want) {
		t.Errorf("uses = %v, then %v; want %v", before, got, want)
	}
}

func TestPurgeKeepsMarksOfOtherRows(t *testing.T) {
	s := stored(t, naming(0, "a"), victimRow(1), naming(2, "a"))
	if n, err := s.Purge(t.Context(), results.Purge{Domain: "victim.example"}); err != nil || n != 1 {
		t.Fatalf("Purge() = %d, %v; want 1", n, err)
	}
	if got := ids(scanned(t, s, results.Span{Ruled: true})); !slices.Equal(got, []int64{1, 3}) {
		t.Errorf("rows that name a rule = %v; want 1 and 3", got)
	}
	if n, err := s.Purge(t.Context(), results.Purge{Domain: "bank.example"}); err != nil || n != 2 {
		t.Errorf("Purge() = %d, %v; want 2", n, err)
	}
	if got := count(t, s, "SELECT count(*) FROM ruled"); got != 0 {
		t.Errorf("marks = %d; want none", got)
	}
	if got, want := uses(t, s), []string{"a 0-2 x2"}; !slices.Equal(got, want) {
		t.Errorf("uses = %v; want %v", got, want)
	}
}

func TestRuleUseIgnoresLostRows(t *testing.T) {
	s := open(t, options(t))
	tamper(t, s, "CREATE TRIGGER fails BEFORE INSERT ON ruled BEGIN SELECT RAISE(ABORT, 'no'); END")
	if got := s.Add(naming(0, "a")).Outcome; got != results.Dropped {
		t.Fatalf("Add() = %v; want %v", got, results.Dropped)
	}
	tamper(t, s, "DROP TRIGGER fails")
	s.Add(naming(1, "a"))
	if got, want := uses(t, s), []string{"a 1-1 x1"}; !slices.Equal(got, want) {
		t.Errorf("uses = %v; want %v", got, want)
	}
}

func TestRuleUseKnowsLastMatches(t *testing.T) {
	s := open(t, options(t))
	tamper(t, s, `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20003)
		INSERT INTO rule_use SELECT 'r' || i, 0, i, 1 FROM n`)
	tend(t, s)
	if n, first := count(t, s, "SELECT count(*) FROM rule_use"), count(t, s, "SELECT min(last) FROM rule_use"); n != 20000 || first != 4 {
		t.Errorf("rules = %d, the oldest %d; want 20000 from 4 on", n, first)
	}
}

func TestRuleHitsReadsOnlyMarkedRows(t *testing.T) {
	rows := make([]results.Row, 2*1000+10)
	for i := range rows {
		rows[i] = naming(i, "a")
	}
	s := stored(t, append(rows, at(5, "bank.example", "192.0.2.1", nil))...)
	if got := scanned(t, s, results.Span{Ruled: true}); len(got) != len(rows) {
		t.Errorf("rows = %d; want %d", len(got), len(rows))
	}
	tamper(t, s, "DELETE FROM message WHERE seq > 3; UPDATE message SET row = '' WHERE seq = 2; DELETE FROM ruled WHERE seq = 2")
	if got := ids(scanned(t, s, results.Span{Ruled: true, From: clock(0), To: clock(3)})); !slices.Equal(got, []int64{1, 3}) {
		t.Errorf("rows = %v; want those that are marked alone", got)
	}
}

func TestScanEndsWithContext(t *testing.T) {
	s := stored(t, naming(0, "a"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, span := range []results.Span{{}, {Ruled: true}} {
		if err := s.Scan(ctx, span, func(results.Row) error { return nil }); !errors.Is(err, ctx.Err()) {
			t.Errorf("Scan(%v) = %v; want %v", span, err, ctx.Err())
		}
	}
}
