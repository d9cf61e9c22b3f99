package view

import (
	"encoding/json"
	"errors"
	"time"
)

// WhatIf is the page of the last run of what-if.
type WhatIf struct {
	None       bool // there was no run
	Problem    string
	Made, Ago  string
	Candidate  string
	From, To   string
	Facts      []Fact
	Changes    []Change
	Rules      []Effect
	Authors    []Effect
	Forwarders []Effect
	Direct     []Effect
}

// Fact is a number with its name.
type Fact struct{ Name, Number string }

// Change is from one answer to another.
type Change struct {
	From, To string
	Messages Bar
}

// Effect is what would change for one author domain, rule or source.
type Effect struct {
	Name, Rejected, Quarantined, Relaxed string
	Changed                              Bar
}

// maxEffects is how many lines of a table of the report a page shows.
const maxEffects = 25

// document is the part of the report of what-if that the page shows, see
// dmarcgate what-if --json.
type document struct {
	Candidate   string        `json:"candidate"`
	From        time.Time     `json:"from"`
	To          time.Time     `json:"to"`
	Messages    int64         `json:"messages"`
	Unchanged   int64         `json:"unchanged"`
	CannotTell  int64         `json:"cannot_tell"`
	Changed     int64         `json:"changed"`
	Relaxed     int64         `json:"relaxed"`
	Tightened   int64         `json:"tightened"`
	Rejected    int64         `json:"rejected"`
	Quarantined int64         `json:"quarantined"`
	Deferred    int64         `json:"deferred"`
	Changes     []changeLine  `json:"changes"`
	Rules       effectTable   `json:"by_rule"`
	Authors     effectTable   `json:"by_author_domain"`
	Readiness   *readyDetails `json:"readiness"`
}

type changeLine struct {
	From, To struct {
		Action      string `json:"action"`
		Disposition string `json:"disposition"`
	}
	Messages int64 `json:"messages"`
}

type effectTable struct {
	Lines []effectLine `json:"lines"`
}

type effectLine struct {
	Rule        string `json:"rule"`
	Domain      string `json:"domain"`
	Kind        string `json:"kind"` // of a source
	Name        string `json:"name"`
	Messages    int64  `json:"messages"`
	Changed     int64  `json:"changed"`
	Rejected    int64  `json:"rejected"`
	Quarantined int64  `json:"quarantined"`
	Relaxed     int64  `json:"relaxed"`
}

type readyDetails struct {
	Forwarders []effectLine `json:"forwarders"`
	Direct     []effectLine `json:"direct_senders"`
}

// errReport means that the kept report is not one of this program.
var errReport = errors.New("the kept report cannot be read: run dmarcgate what-if again")

// WhatIfOf makes the page of a report, as --json prints it.
func WhatIfOf(report json.RawMessage, made, now time.Time) (WhatIf, error) {
	var d document
	if err := json.Unmarshal(report, &d); err != nil {
		return WhatIf{}, errReport
	}
	v := WhatIf{Made: Moment(made), Ago: Ago(now, made), Candidate: Shown(d.Candidate), From: Moment(d.From), To: Moment(d.To)}
	v.Facts = []Fact{
		{"messages", Number(d.Messages)}, {"unchanged", Number(d.Unchanged)}, {"newly refused", Number(d.Rejected)}, {"newly quarantined", Number(d.Quarantined)},
		{"newly deferred", Number(d.Deferred)}, {"relaxed", Number(d.Relaxed)}, {"cannot tell", Number(d.CannotTell)},
	}
	most := int64(0)
	for _, c := range d.Changes {
		most = max(most, c.Messages)
	}
	for _, c := range d.Changes[:min(len(d.Changes), maxEffects)] {
		v.Changes = append(v.Changes, Change{Shown(c.From.Action), Shown(c.To.Action), barOf(c.Messages, most)})
	}
	v.Rules, v.Authors = effects(d.Rules.Lines), effects(d.Authors.Lines)
	if d.Readiness != nil {
		v.Forwarders, v.Direct = effects(d.Readiness.Forwarders), effects(d.Readiness.Direct)
	}
	return v, nil
}

// effects are the first lines of a table, which has the largest first.
func effects(lines []effectLine) (out []Effect) {
	most := int64(0)
	size := func(l effectLine) int64 {
		if l.Kind != "" {
			return l.Rejected + l.Quarantined
		}
		return l.Changed
	}
	for _, l := range lines {
		most = max(most, size(l))
	}
	for _, l := range lines[:min(len(lines), maxEffects)] {
		name := Shown(l.Rule + l.Domain)
		if l.Kind != "" {
			name = Shown(l.Kind + " " + l.Name)
		}
		if name == "" {
			name = "none"
		}
		out = append(out, Effect{name, Number(l.Rejected), Number(l.Quarantined), Number(l.Relaxed), barOf(size(l), most)})
	}
	return out
}
