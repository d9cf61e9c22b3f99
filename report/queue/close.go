package queue

import (
	"fmt"
	"time"
)

const (
	// CloseAfter is how long after its end a day is closed at the earliest: messages
	// that began before midnight are answered by then.
	CloseAfter = 10 * time.Minute
	// Grace is how long after its end a day waits for a host whose rows are missing.
	Grace = 6 * time.Hour
	// MaxSkew is how far the clock of a host may differ from that of the database.
	// A row beyond it may belong to another day.
	MaxSkew = 5 * time.Minute
)

// Source is a store of results whose rows are in the reports.
type Source struct {
	ID        string    // of the store
	Host      string    // name for people
	Watermark time.Time // all rows of messages before are there
	Last      int64     // number of the last row that is there
	Skew      time.Duration
	Seen      time.Time // when the host was heard of last, by the clock of the database
	Gone      bool      // replaced by another store, or its daemon has said goodbye
}

// Closing is whether a day may be closed.
type Closing struct {
	May bool
	// Silent names the hosts whose rows are missing when the day is closed without
	// them; they are Run.WaitedFor.
	Silent []string
	Why    string    // the day may not be closed because of this
	Again  time.Time // when to ask again at the latest; zero: the clock of a host has to be set first
}

// MayClose decides whether the day that ends at end may be closed. drained says
// that all rows of this host that came before the end are committed. With a
// database of several hosts, sources are all stores that the database knows.
//
// A host whose rows are missing is waited for until the grace is over. A host whose
// clock is wrong keeps the day open until the clock is right, or until nothing was
// heard of the host for as long as the grace.
func MayClose(end, now time.Time, drained bool, sources []Source) Closing {
	switch earliest := end.Add(CloseAfter); {
	case now.Before(earliest):
		return Closing{Why: "the day ended less than 10 minutes ago", Again: earliest}
	case !drained:
		return Closing{Why: "rows of this host wait to be written", Again: now.Add(time.Minute)}
	}
	c := Closing{May: true}
	for _, s := range sources {
		if s.Gone {
			continue
		}
		behind, late := s.Watermark.Before(end), !now.Before(end.Add(Grace))
		skewed, lost := s.Skew.Abs() > MaxSkew, late && now.Sub(s.Seen) >= Grace
		switch {
		case skewed && !lost:
			return Closing{Why: fmt.Sprintf("clock of %s differs by %v", s.Host, s.Skew.Round(time.Second))}
		case behind && !late:
			c = Closing{Why: "rows of " + s.Host + " are missing", Again: end.Add(Grace)}
		case (behind || skewed) && c.May:
			c.Silent = append(c.Silent, s.Host)
		}
	}
	return c
}

// Upto returns the numbers of the last rows that count, as Run has them. A store
// that has no row yet gets zero, so that all its rows are late.
func Upto(sources []Source) map[string]int64 {
	upto := make(map[string]int64, len(sources))
	for _, s := range sources {
		upto[s.ID] = s.Last
	}
	return upto
}
