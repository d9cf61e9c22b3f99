package view

import (
	"fmt"
	"slices"

	"dmarcgate/admin"
	"dmarcgate/term"
)

// DNSCount is a counter of DNS since the start: of lookups, by how the cache
// served them, or of queries, by the answer of the servers.
type DNSCount struct {
	Query   bool // of queries; else of lookups
	Purpose string
	Outcome string
	N       int64
}

// DNS is the page of DNS.
type DNS struct {
	Entries, Size, Cached string
	Servers               []Server
	Lookups, Queries      Counts
}

// Server is a name server.
type Server struct {
	Address, State, Class, Since, RTT, Queries, InFlight, Failure string
}

// Counts is a table of counters: a line for each purpose, a column for each
// outcome that was counted.
type Counts struct {
	Title    string
	Outcomes []string
	Lines    []CountLine
	Bars     []OutcomeBar
}

// CountLine is a purpose.
type CountLine struct {
	Purpose string
	Cells   []string
}

// OutcomeBar is an outcome over all purposes.
type OutcomeBar struct {
	Outcome, Share, Class string
	Bar                   Bar
}

// troubles are outcomes that cost mail.
var troubles = []string{"servfail", "refused", "timeout", "network", "malformed", "bogus", "failed", "stale"}

// DNSOf makes the page.
func DNSOf(s admin.DNSStatus, counts []DNSCount) DNS {
	v := DNS{
		Entries: Number(int64(s.Entries)), Size: term.Mebibytes(int64(s.Bytes)), Cached: percent(int64(s.Cached), int64(s.Lookups)),
		Lookups: countsOf("Lookups by how the cache served them", counts, false), Queries: countsOf("Queries by answer", counts, true),
	}
	for _, n := range s.Servers[:min(len(s.Servers), maxLines)] {
		v.Servers = append(v.Servers, serverOf(n))
	}
	return v
}

func serverOf(n admin.ServerStatus) Server {
	v := Server{
		Address: Shown(n.Address), State: "up", Class: "ok", Queries: Number(int64(n.Queries)), RTT: "–",
		InFlight: fmt.Sprintf("%d of %d", n.InFlight, n.Window), Failure: orDash(n.Err),
	}
	if n.RTT > 0 {
		v.RTT = fmt.Sprintf("%.1f ms", n.RTT*1000)
	}
	switch {
	case n.Down:
		v.State, v.Class, v.Since = "down", "bad", Moment(n.Since)
	case !n.Refusing.IsZero():
		v.State, v.Class, v.Since = "refusing", "warn", Moment(n.Refusing)
	}
	return v
}

func countsOf(title string, all []DNSCount, query bool) Counts {
	v := Counts{Title: title}
	var purposes []string
	cells := make(map[[2]string]int64)
	sums := make(map[string]int64)
	var sum, most int64
	for _, c := range all {
		if c.Query != query || c.N == 0 {
			continue
		}
		if !slices.Contains(purposes, c.Purpose) {
			purposes = append(purposes, c.Purpose)
		}
		if !slices.Contains(v.Outcomes, c.Outcome) {
			v.Outcomes = append(v.Outcomes, c.Outcome)
		}
		cells[[2]string{c.Purpose, c.Outcome}] += c.N
		sums[c.Outcome] += c.N
		sum, most = sum+c.N, max(most, sums[c.Outcome])
	}
	slices.Sort(purposes)
	slices.SortFunc(v.Outcomes, func(a, b string) int { return int(sums[b] - sums[a]) })
	for _, p := range purposes {
		line := CountLine{Purpose: Shown(p)}
		for _, o := range v.Outcomes {
			line.Cells = append(line.Cells, Number(cells[[2]string{p, o}]))
		}
		v.Lines = append(v.Lines, line)
	}
	for _, o := range v.Outcomes {
		class := "pass"
		if slices.Contains(troubles, o) {
			class = "fail"
		}
		v.Bars = append(v.Bars, OutcomeBar{Shown(o), percent(sums[o], sum), class, barOf(sums[o], most)})
	}
	return v
}
