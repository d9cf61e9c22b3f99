package sqlite

import (
	"context"
	"testing"

	"dmarcgate/results"
)

func TestMarkUnansweredIgnoresLostRow(t *testing.T) {
	s := open(t, options(t))
	tamper(t, s, "CREATE TRIGGER fails BEFORE INSERT ON sender BEGIN SELECT RAISE(ABORT, 'no'); END")
	lost := s.Add(row("lost"))
	if lost.Outcome != results.Dropped {
		t.Fatalf("Add() = %v; want %v", lost.Outcome, results.Dropped)
	}
	tamper(t, s, "DROP TRIGGER fails")
	s.Add(row("next")) // with the number that the lost one would have had
	s.MarkUnanswered(lost)
	s.Add(row("last")) // committed after the mark
	for _, r := range contents(t, s.Reader) {
		if r.State != results.Answered {
			t.Errorf("row %d of %s is in state %d; want %d", r.Sequence, r.Facts.QueueID, r.State, results.Answered)
		}
	}
}

func TestMarkUnansweredIsShipped(t *testing.T) {
	s := open(t, options(t))
	restated := func() (n int) {
		if err := s.QueryRowContext(context.Background(), "SELECT count(*) FROM restate WHERE state = ?", results.Unanswered).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	s.MarkUnanswered(s.Add(row("a")))
	s.Add(row("b")) // committed after the mark
	if n := restated(); n != 0 {
		t.Errorf("%d states are kept though nothing ships rows; want 0", n)
	}
	tamper(t, s, "INSERT INTO meta VALUES ('shipped', '0')")
	s.MarkUnanswered(s.Add(row("c")))
	s.Add(row("d"))
	if n := restated(); n != 1 {
		t.Errorf("%d states are kept; want 1", n)
	}
}
