package queue

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestStruckSuppressesLongerEachTime(t *testing.T) {
	by := Strike{Kind: SuppressAddr, What: "a@one.example", Reason: "550", Source: FromBounce}
	var s Suppression
	for n, want := range []time.Duration{7 * Day, 30 * Day, 90 * Day, 0, 0} {
		now := end.AddDate(n, 0, 0)
		s = s.Struck(by, now)
		until := now.Add(want)
		if want == 0 {
			until = time.Time{}
		}
		if want := (Suppression{SuppressAddr, by.What, "550", FromBounce, now, until, n + 1}); s != want {
			t.Fatalf("Struck = %+v; want %+v", s, want)
		}
	}
}

func TestStruckNeverShortens(t *testing.T) {
	by := Strike{Kind: SuppressAddr, What: "a@one.example", Source: FromBounce}
	for _, until := range []time.Time{{}, end.Add(365 * Day)} {
		s := Suppression{Kind: SuppressAddr, What: by.What, Source: FromPerson, Since: day, Until: until}
		if got := s.Struck(by, end); !got.Until.Equal(until) || got.Strikes != 1 {
			t.Errorf("Struck until %v = %+v; want the same time", until, got)
		}
	}
	over := Suppression{Kind: SuppressAddr, What: by.What, Since: day, Until: end}
	if got := over.Struck(by, end); !got.Until.Equal(end.Add(7 * Day)) {
		t.Errorf("Struck of one that is over = %+v; want 7 days", got)
	}
}

func TestSuppressionIsActiveUntilItsTime(t *testing.T) {
	for _, test := range []struct {
		s    Suppression
		want bool
	}{
		{Suppression{}, false},
		{Suppression{Kind: SuppressHost}, true},
		{Suppression{Kind: SuppressHost, Until: end}, false},
		{Suppression{Kind: SuppressHost, Until: end.Add(1)}, true},
	} {
		if got := test.s.Active(end); got != test.want {
			t.Errorf("Active(%+v) = %v; want %v", test.s, got, test.want)
		}
	}
}

func TestMarkIsReadAsItIsWritten(t *testing.T) {
	for _, m := range []Mark{{"x", "", 0, time.Time{}}, {"ABC", "Q", 7, day}} {
		if got, err := parseMark(m.String()); err != nil || got != m {
			t.Errorf("parseMark(%q) = %+v, %v; want %+v", m, got, err, m)
		}
	}
	for _, text := range []string{"x", "x y 2026-11-20", "x 1", "x 1 yesterday Q", "x 1 2026-11-20", "\x00"} {
		if _, err := parseMark(text); err == nil {
			t.Errorf("parseMark(%q) succeeded", text)
		}
	}
}

func TestCompareTellsWhatHappenedToAQueue(t *testing.T) {
	mark := Mark{"me", "Q", 7, day}
	for _, test := range []struct {
		name    string
		inQueue Mark
		want    Condition
	}{
		{"the queue as it was left", Mark{"me", "Q", 7, day}, AsLeft},
		{"a crash before the mark was written", Mark{"me", "Q", 8, day}, AsLeft},
		{"an earlier state of the queue", Mark{"me", "Q", 6, day}, WasOlder},
		{"a state of the queue before the first attempt", Mark{"me", "Q", 0, time.Time{}}, WasOlder},
		{"another queue", Mark{"me", "R", 0, time.Time{}}, Another},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := mark.Compare(test.inQueue); got != test.want {
				t.Errorf("Compare = %v; want %v", got, test.want)
			}
		})
	}
	if got := (Mark{Sender: "me"}).Compare(Mark{"me", "Q", 0, time.Time{}}); got != AsLeft {
		t.Errorf("Compare of a first mark = %v; want %v", got, AsLeft)
	}
}

func TestStatesEndOnce(t *testing.T) {
	for _, s := range []State{Planned, Ready} {
		if s.Ended() {
			t.Errorf("%s has ended", s)
		}
	}
	for _, s := range []State{Done, Withheld, Withdrawn, Split, Failed, Held} {
		if !s.Ended() {
			t.Errorf("%s has not ended", s)
		}
	}
}

// broken are marks that cannot be written.
type broken struct{ text string }

var errDisk = errors.New("the disk is full")

func (b *broken) ReportMark(context.Context) (string, error) { return b.text, nil }
func (b *broken) SetReportMark(context.Context, string) error {
	return errDisk
}

// attempts is a store that begins and settles.
type attempts struct {
	Store
	settled []Outcome
}

func (a *attempts) Reconcile(context.Context, Mark) (Restored, error) { return Restored{}, nil }
func (a *attempts) Begin(_ context.Context, _ string, b Begin) (Attempt, error) {
	return Attempt{Delivery: b.Delivery, N: 1, At: end, Mark: Mark{b.Sender, "Q", 8, day}}, nil
}
func (a *attempts) Settle(_ context.Context, _ string, _ Attempt, o Outcome) error {
	a.settled = append(a.settled, o)
	return nil
}

func TestFenceTakesBackAnAttemptWhoseMarkIsNotWritten(t *testing.T) {
	s := &attempts{}
	if _, _, err := NewFence(t.Context(), s, &broken{}); !errors.Is(err, errDisk) {
		t.Errorf("NewFence = %v; want that the mark cannot be written", err)
	}
	if _, _, err := NewFence(t.Context(), s, &broken{"nonsense"}); err == nil {
		t.Error("NewFence took a mark that it cannot read for none")
	}
	f, _, err := NewFence(t.Context(), s, &broken{Mark{"me", "Q", 7, day}.String()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Begin(t.Context(), "a", Begin{Delivery: 1}); !errors.Is(err, errDisk) {
		t.Errorf("Begin = %v; want that the mark cannot be written", err)
	}
	if want := (Outcome{State: Due, Why: "not_begun", NextTry: end}); len(s.settled) != 1 || s.settled[0] != want {
		t.Errorf("settled = %+v; want %+v", s.settled, want)
	}
}
