package sqlite

import (
	"context"
	"reflect"
	"testing"

	"dmarcgate/results"
)

func spool(t *testing.T, s *Store) *Spool {
	t.Helper()
	sp, err := s.Spool(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sp.Close() })
	return sp
}

func TestSpoolReturnsRows(t *testing.T) {
	s := open(t, options(t))
	sp := spool(t, s)
	for _, qid := range []string{"a", "b", "c"} {
		s.Add(row(qid))
	}
	got, err := sp.After(t.Context(), 1, 10, 1<<20)
	if err != nil || len(got) != 2 {
		t.Fatalf("After(1) = %d rows, %v; want 2", len(got), err)
	}
	want := row("b")
	want.Sequence = 2
	if r, err := got[0].Row(); err != nil || !reflect.DeepEqual(r, want) {
		t.Errorf("Row() = %+v, %v; want %+v", r, err, want)
	}
	if got, err := sp.After(t.Context(), 0, 2, 1<<20); err != nil || len(got) != 2 {
		t.Errorf("After(limit 2) = %d rows, %v; want 2", len(got), err)
	}
	if got, err := sp.After(t.Context(), 0, 10, 1); err != nil || len(got) != 1 {
		t.Errorf("After(1 byte) = %d rows, %v; want 1", len(got), err)
	}
}

func TestWaitingCountsRowsAfterMark(t *testing.T) {
	s := open(t, options(t))
	sp := spool(t, s)
	if w, err := sp.Waiting(t.Context()); err != nil || w != (results.Waiting{}) {
		t.Errorf("Waiting() of an empty store = %+v, %v; want nothing", w, err)
	}
	for range 5 {
		s.Add(row("q"))
	}
	for mark, want := range map[int64]int64{0: 5, 3: 2, 5: 0} {
		if err := sp.SetShipped(t.Context(), mark); err != nil {
			t.Fatal(err)
		}
		w, err := sp.Waiting(t.Context())
		if err != nil || w.Rows != want || w.Oldest.IsZero() != (want == 0) {
			t.Errorf("Waiting() after %d = %+v, %v; want %d rows", mark, w, err, want)
		}
	}
}

func TestWaitingCountsChangedStates(t *testing.T) {
	s := open(t, options(t))
	sp := spool(t, s)
	if err := sp.SetShipped(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	r := s.Add(row("q"))
	s.MarkUnanswered(r)
	s.Add(row("after")) // so that the mark is committed
	got, err := sp.Restates(t.Context(), 1, 10)
	if want := []results.Restate{{Sequence: 1, State: results.Unanswered}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("Restates(1) = %v, %v; want %v", got, err, want)
	}
	if none, err := sp.Restates(t.Context(), 0, 10); err != nil || len(none) != 0 {
		t.Errorf("Restates(0) = %v, %v; want none", none, err)
	}
	if err := sp.ClearRestates(t.Context(), got); err != nil {
		t.Fatal(err)
	}
	if got, err := sp.Restates(t.Context(), 1, 10); err != nil || len(got) != 0 {
		t.Errorf("Restates(1) afterwards = %v, %v; want none", got, err)
	}
}

func TestIdentitiesAndOpeningsPersist(t *testing.T) {
	opt := options(t)
	s := open(t, opt)
	s.Add(row("q"))
	s.Close()
	s = open(t, opt)
	sp := spool(t, s)
	openings, err := sp.Openings(t.Context())
	if err != nil || len(openings) != 2 || openings[0].FirstSeq != 1 || openings[1].FirstSeq != 2 || len(openings[0].Token) != 32 {
		t.Errorf("Openings() = %v, %v; want one from 1 and one from 2 on", openings, err)
	}
	if err := sp.Renew(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	ids, err := sp.Identities(t.Context())
	if err != nil || len(ids) != 2 || ids[0] != (results.Identity{StoreID: s.ID(), FirstSeq: 1}) || ids[1].FirstSeq != 2 || ids[1].StoreID == s.ID() {
		t.Errorf("Identities() = %v, %v; want %s from 1 and another from 2 on", ids, err, s.ID())
	}
}
