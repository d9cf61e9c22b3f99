package whatif

import (
	"encoding/json"
	"io"
	"strings"
	"time"

	"dmarcgate/survey"
)

// json prints all of the report.
func (r *report) json(w io.Writer) error {
	return json.NewEncoder(w).Encode(r.document())
}

// document is the report as JSON has it.
type document struct {
	Candidate string    `json:"candidate"`
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`
	*tally
	Unchanged   int64                     `json:"unchanged"`
	Differences []difference              `json:"differences"` // the first ones of not_reproduced
	Causes      tableJSON[causeJSON]      `json:"cannot_tell_by_cause"`
	Changes     []changeJSON              `json:"changes"`
	Rules       tableJSON[ruleEffect]     `json:"by_rule"`
	Authors     tableJSON[domainEffect]   `json:"by_author_domain"`
	Recipients  tableJSON[domainEffect]   `json:"by_recipient_domain"`
	Shadow      tableJSON[shadowRuleJSON] `json:"shadow_rules"`
	Readiness   *readinessJSON            `json:"readiness,omitempty"`
	FailIf      []conditionJSON           `json:"fail_if"`
}

// tableJSON is a table with what was not kept apart, see capped.
type tableJSON[L any] struct {
	Lines   []L   `json:"lines"`
	Others  int64 `json:"others"`   // messages of dropped lines
	MayMiss int64 `json:"may_miss"` // so many may be missing in a line
}

type causeJSON struct {
	Cause    string `json:"cause"`
	Messages int64  `json:"messages"`
}

type changeJSON struct {
	shift
	Messages int64    `json:"messages"`
	Samples  []string `json:"samples"`
}

type ruleEffect struct {
	by
	effect
}

type domainEffect struct {
	Domain string `json:"domain"`
	effect
}

type shadowRuleJSON struct {
	Rule    string `json:"rule"`
	Matched int64  `json:"matched"`
	effect
}

type conditionJSON struct {
	Condition string `json:"condition"`
	Holds     bool   `json:"holds"`
	Messages  int64  `json:"messages"`
}

type readinessJSON struct {
	ByRule     int64          `json:"by_rule"`
	Deferred   int64          `json:"deferred"`
	NoAuthor   int64          `json:"no_author"`
	ByARC      int64          `json:"by_arc_alone"`
	Evidence   []evidenceJSON `json:"evidence"`
	Forwarders []sourceJSON   `json:"forwarders"`
	Direct     []sourceJSON   `json:"direct_senders"`
	Neither    []sourceJSON   `json:"neither"`
	Others     int64          `json:"others"`
	MayMiss    int64          `json:"may_miss"`
}

type evidenceJSON struct {
	Evidence string `json:"evidence"`
	Says     string `json:"says"`
	halted
}

type sourceJSON struct {
	survey.Source
	halted
	Messages    int64     `json:"messages"`
	First       time.Time `json:"first"`
	Last        time.Time `json:"last"`
	Authors     fewJSON   `json:"authors"`
	Recipients  fewJSON   `json:"recipients"`
	Networks    fewJSON   `json:"networks"`
	Known       int64     `json:"known"`
	BodyChanged int64     `json:"body_changed"`
	Signed      fewJSON   `json:"signed_organizations"`
	ARC         int64     `json:"arc"`
	List        int64     `json:"list_headers"`

	Proposal *survey.Proposal `json:"proposal,omitempty"`
}

type fewJSON struct {
	Names []string `json:"names"`
	More  bool     `json:"more,omitempty"`
}

func (r *report) document() document {
	d := document{
		Candidate: r.tried.words, From: r.span.From.UTC(), To: r.span.To.UTC(), tally: r.tally, Unchanged: r.unchanged(),
		Differences: append([]difference{}, r.differences...), Changes: []changeJSON{}, FailIf: []conditionJSON{},
		Causes: toJSON(r.causes, strings.Compare, func(k string, n int64, _ struct{}) causeJSON { return causeJSON{k, n} }),
		Rules:  toJSON(r.rules, byRule, func(k by, _ int64, e effect) ruleEffect { return ruleEffect{k, e.full()} }),
		Shadow: toJSON(r.shadow, strings.Compare, func(k string, n int64, e effect) shadowRuleJSON {
			return shadowRuleJSON{k, n, e.full()}
		}),
		Authors: toJSON(r.authors, strings.Compare, domainJSON), Recipients: toJSON(r.recipients, strings.Compare, domainJSON),
	}
	d.Samples = append([]string{}, d.Samples...)
	for _, c := range r.sortedChanges() {
		e := r.changes[c].full()
		d.Changes = append(d.Changes, changeJSON{c, e.Changed, e.Samples})
	}
	for _, c := range r.conditions {
		d.FailIf = append(d.FailIf, conditionJSON{c.text, c.holds(r.tally), c.count(r.tally)})
	}
	if r.readiness != nil {
		d.Readiness = r.readiness.document()
	}
	return d
}

func domainJSON(k string, _ int64, e effect) domainEffect { return domainEffect{k, e.full()} }

// full is e with a list, also when it is empty.
func (e effect) full() effect {
	e.Samples = append([]string{}, e.Samples...)
	return e
}

func toJSON[K comparable, V, L any](c *capped[K, V], order func(a, b K) int, line func(K, int64, V) L) tableJSON[L] {
	out := tableJSON[L]{Lines: []L{}, Others: c.dropped, MayMiss: c.missed}
	for _, k := range c.sorted(func(a, b ranked[K, V]) int { return order(a.key, b.key) }) {
		out.Lines = append(out.Lines, line(k.key, k.entry.n, k.entry.value))
	}
	return out
}

func (r *readiness) document() *readinessJSON {
	d := &readinessJSON{
		ByRule: r.ruled, Deferred: r.deferred, NoAuthor: r.nameless, Evidence: []evidenceJSON{},
		Others: r.sources.dropped, MayMiss: r.sources.missed,
		Forwarders: r.sourcesJSON(r.forwards), Direct: r.sourcesJSON(r.direct), Neither: r.sourcesJSON(r.unclear),
		ByARC: r.byARC.Changed,
	}
	for _, why := range r.evidences() {
		d.Evidence = append(d.Evidence, evidenceJSON{orNotWeighed(why), says(why), *r.evidence[why]})
	}
	return d
}

func (r *readiness) sourcesJSON(is func(survey.Source, *traffic) bool) []sourceJSON {
	out := []sourceJSON{}
	list, _ := r.sorted(is)
	for _, k := range list {
		t, shown := &k.entry.value, r.tracesOf(k.key)
		out = append(out, sourceJSON{
			Source: k.key, halted: t.halted, Messages: k.entry.n, First: t.first.UTC(), Last: t.last.UTC(),
			Authors: listJSON(t.authors), Recipients: listJSON(t.recipients), Networks: listJSON(t.networks),
			Known: t.known, BodyChanged: shown.BodyChanged, Signed: listJSON(shown.Signed), ARC: t.arc, List: t.list, Proposal: r.proposals[k.key],
		})
	}
	return out
}

func listJSON(f survey.Few) fewJSON { return fewJSON{append([]string{}, f.List...), f.More} }
