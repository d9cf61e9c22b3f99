package lint

import (
	"slices"
	"time"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// asked is what a message shall be like: as a match has it, but at an instant that the
// clocks show in place of its hours and weekdays. Several rules, each with a zone of its
// own, have such instants in common that no hours and weekdays of one zone tell.
type asked struct {
	policy.Match
	clocks []clock
	sketch sketch // of the match; nil where others are not compared with it
	beside string // one more author domain, which the match is not about
}

// clock is the keys time and weekday of a match: an instant at which they hold, or one
// at which they do not.
type clock struct {
	of    *policy.Match
	holds bool
}

func askedBy(m *policy.Match) *asked {
	return &asked{Match: *m, clocks: clocksOf(m), sketch: sketchOf(m)}
}

func clocksOf(m *policy.Match) []clock {
	if m.Hours == nil && m.Weekdays == nil {
		return nil
	}
	return []clock{{m, true}}
}

// shown reports whether all clocks show an instant.
func (m *asked) shown(at time.Time) bool {
	return !slices.ContainsFunc(m.clocks, func(c clock) bool { return c.of.Clock(at) != c.holds })
}

// turns returns the instants of a day at which c can begin to hold, or to hold no more.
func (c clock) turns(day time.Time) (list []time.Time) {
	if c.of.TZ != nil {
		day = c.of.TZ.In(day)
	}
	year, month, date := day.Date()
	for _, h := range append([]pattern.Hours{{}}, c.of.Hours...) {
		for _, minute := range []int{h.Begin, h.End} {
			list = append(list, time.Date(year, month, date, 0, minute, 0, 0, day.Location()))
		}
	}
	return list
}

// timeWays: the adversary waits for the hour that suits him. Once a year, clocks
// leave one out.
func timeWays(m *asked, at time.Time) []way {
	const days = 15
	found := []time.Time{at}
	for day := range days {
		for _, c := range m.clocks {
			found = append(found, c.turns(at.AddDate(0, 0, day))...)
		}
	}
	found = slices.DeleteFunc(found, func(t time.Time) bool { return t.Before(at) || !m.shown(t) })
	if len(found) == 0 {
		return nil
	}
	first := slices.MinFunc(found, time.Time.Compare)
	return []way{{set: func(g *policy.Given) { g.Time = first }}}
}
