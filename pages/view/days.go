package view

import (
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/results"
)

// Days is how many days the charts show.
const Days = 30

// FirstDay is the first day of the charts, seen from a day on.
func FirstDay(now time.Time) time.Time {
	return now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1-Days)
}

// results and dispositions of the charts, from the bottom. Colours of neighbours
// differ in lightness too.
var (
	resultKinds = []kind{{"pass", "pass"}, {"fail", "fail"}, {"none", "no record"}, {"error", "error"}, {"skip", "not evaluated"}}
	doneKinds   = []kind{{"pass", "delivered"}, {"tag", "quarantined"}, {"fail", "refused"}, {"error", "deferred"}}
	refuseKinds = []kind{{"fail", "would be refused"}, {"tag", "would be quarantined"}}
)

func resultOf(s results.DaySum) int {
	switch {
	case s.Skipped:
		return 4
	case s.Result == dmarc.Pass:
		return 0
	case s.Result == dmarc.Fail:
		return 1
	case s.Result == dmarc.StatusNone:
		return 2
	}
	return 3
}

func doneOf(s results.DaySum) int {
	switch {
	case s.State == results.Deferred:
		return 3
	case s.Disposition == policy.Rejected:
		return 2
	case s.Disposition == policy.Quarantined:
		return 1
	}
	return 0
}

// relaxed reports what the published policy would do more than was done: -1 for
// nothing.
func relaxed(s results.DaySum) int {
	if s.State != results.Answered || int(s.Requested) <= int(s.Disposition) {
		return -1
	}
	if s.Requested == dmarc.Reject {
		return 0
	}
	return 1
}

// tally counts sums by day of the charts and by what of says, which is -1 for
// sums that do not belong.
func tally(sums []results.DaySum, now time.Time, kinds int, of func(results.DaySum) int) (days []time.Time, counts [][]int64) {
	first := FirstDay(now)
	for i := range Days {
		days = append(days, first.AddDate(0, 0, i))
		counts = append(counts, make([]int64, kinds))
	}
	for _, s := range sums {
		at := int(s.Day.Sub(first) / (24 * time.Hour))
		if k := of(s); at >= 0 && at < Days && k >= 0 && s.State != results.Unanswered {
			counts[at][k] += s.Messages
		}
	}
	return days, counts
}

// Charts are the pictures of all mail by day.
func Charts(sums []results.DaySum, complete bool, now time.Time) []Chart {
	draw := func(id, title, says string, kinds []kind, of func(results.DaySum) int) Chart {
		days, counts := tally(sums, now, len(kinds), of)
		c := stack(id, title, days, kinds, counts)
		c.Says = says
		if !complete {
			c.Note = "Messages of an older program are still being counted."
		}
		return c
	}
	return []Chart{
		draw("by-result", "Mail by DMARC result", "Messages of each of the last 30 days by DMARC result.", resultKinds, resultOf),
		draw("by-disposition", "Mail by what was done", "Messages of each of the last 30 days by what was done with them.", doneKinds, doneOf),
		draw("by-enforcement", "What enforcement would refuse", "Failing messages of each of the last 30 days with which less was done than the author domain asks for.", refuseKinds, relaxed),
	}
}

// Matrix is how often each requested policy was answered by each disposition.
type Matrix struct {
	Done []string
	Rows []MatrixRow
}

// MatrixRow is a requested policy.
type MatrixRow struct {
	Requested string
	Cells     []string
}

// MatrixOf counts failing messages by what was requested and what was done.
func MatrixOf(sums []results.DaySum) Matrix {
	asked := []dmarc.Policy{dmarc.None, dmarc.Quarantine, dmarc.Reject}
	n := make(map[dmarc.Policy][]int64)
	for _, s := range sums {
		if s.Skipped || s.Result != dmarc.Fail || s.State == results.Unanswered {
			continue
		}
		if n[s.Requested] == nil {
			n[s.Requested] = make([]int64, len(doneKinds))
		}
		n[s.Requested][doneOf(s)] += s.Messages
	}
	m := Matrix{}
	for _, k := range doneKinds {
		m.Done = append(m.Done, k.name)
	}
	for _, a := range asked {
		row := MatrixRow{Requested: a.String()}
		for i := range doneKinds {
			v := int64(0)
			if n[a] != nil {
				v = n[a][i]
			}
			row.Cells = append(row.Cells, Number(v))
		}
		m.Rows = append(m.Rows, row)
	}
	return m
}
