package whatif

import (
	"cmp"
	"context"
	"strings"
	"time"

	"dmarcgate/policy"
	"dmarcgate/policy/replay"
	"dmarcgate/results"
	"dmarcgate/survey"
)

// answered is what a message is answered with.
type handling struct {
	Action      policy.Action      `json:"action"`
	Disposition policy.Disposition `json:"disposition"`
}

func answerOf(d *policy.Decision) handling { return handling{d.Action, d.Disposition} }

// usual are the dispositions that go without saying.
var usual = map[policy.Action]policy.Disposition{
	policy.Tag: policy.Quarantined, policy.Hold: policy.Quarantined, policy.Reject: policy.Rejected,
}

// String returns the action, and the disposition where it is not the usual one.
func (o handling) String() string {
	if o.Disposition == usual[o.Action] {
		return o.Action.String()
	}
	return o.Action.String() + " (" + o.Disposition.String() + ")"
}

// compare orders answers from mild to severe.
func (o handling) compare(p handling) int {
	return cmp.Or(cmp.Compare(o.Action, p.Action), cmp.Compare(o.Disposition, p.Disposition))
}

// shift is from one answer to another.
type shift struct {
	From handling `json:"from"`
	To   handling `json:"to"`
}

// maxSamples is how many queue ids stand for a line.
const maxSamples = 3

// effect counts changes.
type effect struct {
	Changed     int64    `json:"changed"`
	Relaxed     int64    `json:"relaxed"`     // to something milder
	Tightened   int64    `json:"tightened"`   // to something severer
	Rejected    int64    `json:"rejected"`    // newly refused
	Quarantined int64    `json:"quarantined"` // newly tagged or held
	Deferred    int64    `json:"deferred"`    // newly answered with tempfail
	Samples     []string `json:"samples"`     // queue ids
}

func (e *effect) add(c shift, qid string) {
	e.Changed++
	if c.To.compare(c.From) < 0 {
		e.Relaxed++
	} else {
		e.Tightened++
	}
	quarantined := func(o handling) bool { return o.Action == policy.Tag || o.Action == policy.Hold }
	switch {
	case c.To.Action == policy.Reject && c.From.Action != policy.Reject:
		e.Rejected++
	case c.To.Action == policy.Tempfail && c.From.Action != policy.Tempfail:
		e.Deferred++
	case quarantined(c.To) && !quarantined(c.From):
		e.Quarantined++
	}
	if len(e.Samples) < maxSamples && qid != "" {
		e.Samples = append(e.Samples, strings.Clone(qid))
	}
}

// by is the rule that changes belong to: the one that decides now, or else the
// one that did before. Both empty is none.
type by struct {
	Rule   string `json:"rule"`
	Before bool   `json:"before,omitempty"`
}

// difference is a stored decision that the settings which made it do not make
// again.
type difference struct {
	QueueID  string          `json:"qid"`
	Time     time.Time       `json:"time"`
	Listener string          `json:"listener"`
	Stored   policy.Decision `json:"stored"`
	Again    policy.Decision `json:"again"`
}

// maxDifferences is how many of them are shown.
const maxDifferences = 5

// tally is what a candidate makes of stored messages.
type tally struct {
	Imported     int64 `json:"imported"` // of another program; they count nowhere else
	Messages     int64 `json:"messages"`
	NotEvaluated int64 `json:"not_evaluated"` // nor would they be: unchanged
	Relabelled   int64 `json:"relabelled"`    // answered the same, with another rule or reason
	CannotTell   int64 `json:"cannot_tell"`
	Reproduced   int64 `json:"reproduced"`     // decided by the candidate's own settings, and again so
	Unchecked    int64 `json:"unchecked"`      // the same, but facts for a check lack
	Assumed      int64 `json:"assumed"`        // decided as if the settings that shape facts had been the candidate's: the row does not name them
	Different    int64 `json:"not_reproduced"` // the same, but decided otherwise: a fault of this program
	effect

	differences []difference
	causes      *capped[string, struct{}]
	changes     map[shift]*effect // of actions and dispositions: a few dozen
	rules       *capped[by, effect]
	authors     *capped[string, effect]
	recipients  *capped[string, effect]
	shadow      *capped[string, effect]
	readiness   *readiness // nil when the candidate does not ask for it
}

func newTally(c *Candidate, lines int) *tally {
	t := &tally{
		causes: newCapped[string, struct{}](lines), changes: make(map[shift]*effect), rules: newCapped[by, effect](lines),
		authors: newCapped[string, effect](lines), recipients: newCapped[string, effect](lines), shadow: newCapped[string, effect](lines),
	}
	if c.readiness {
		t.readiness = newReadiness(lines / 2)
	}
	return t
}

// unchanged is how many messages are answered as they were.
func (t *tally) unchanged() int64 { return t.Messages - t.Changed - t.CannotTell }

// whatIf decides the messages of a span again. Its memory does not grow with
// them.
func whatIf(ctx context.Context, store survey.Scanner, c *Candidate, span results.Span) (*tally, error) {
	t := newTally(c, maxLines)
	err := store.Scan(ctx, span, func(row results.Row) error {
		t.take(&row, c)
		return ctx.Err()
	})
	return t, err
}

// take counts one row.
func (t *tally) take(row *results.Row, c *Candidate) {
	if row.State == results.Imported {
		t.Imported++
		return
	}
	t.Messages++
	if row.Facts.Skip != policy.Evaluated {
		t.NotEvaluated++
	}
	s := c.listeners[row.Facts.Listener]
	if s == nil {
		if row.Facts.Skip == policy.Evaluated {
			t.cannotTell(noListener(row.Facts.Listener))
		}
		return
	}
	r := s.rule(row)
	if t.readiness != nil && row.Facts.Skip == policy.Evaluated {
		t.readiness.see(&row.Facts, s)
		if r.doubt == "" {
			t.readiness.lean(row, &r.Decision, s)
		}
	}
	if r.assumed && r.doubt == "" && row.Facts.Skip == policy.Evaluated {
		t.Assumed++
	}
	switch {
	case r.same && (r.doubt != "" || len(row.Facts.Trimmed) > 0): // whatever it was made from, these settings made it
		t.Unchecked++
		r.Decision = row.Decision
	case r.doubt != "":
		t.cannotTell(r.doubt)
		return
	case r.same:
		t.check(row, r.Decision)
	case row.Facts.Skip != policy.Evaluated: // and would not be
		return
	default:
		t.compare(row, &r.Decision, s)
	}
	t.watch(row, &r.Decision)
}

func (t *tally) cannotTell(cause string) {
	t.CannotTell++
	t.causes.count(cause, strings.Clone)
}

// check holds a decision against the one that the same settings made.
func (t *tally) check(row *results.Row, d policy.Decision) {
	if replay.Equal(&row.Decision, &d) {
		t.Reproduced++
		return
	}
	t.Different++
	if len(t.differences) < maxDifferences {
		t.differences = append(t.differences, difference{row.Facts.QueueID, row.Facts.Time, row.Facts.Listener, row.Decision, d})
	}
}

// compare counts what a message is answered with now and was before.
func (t *tally) compare(row *results.Row, d *policy.Decision, s *evaluator) {
	c := shift{answerOf(&row.Decision), answerOf(d)}
	if c.From == c.To {
		if row.Decision.Rule != d.Rule || row.Decision.Reason != d.Reason || row.Decision.Unreported != d.Unreported {
			t.Relabelled++
		}
		return
	}
	qid := row.Facts.QueueID
	t.move(c, qid)
	t.rules.count(ruleOf(&row.Decision, d), func(b by) by { return by{strings.Clone(b.Rule), b.Before} }).add(c, qid)
	t.authors.count(authorOf(&row.Facts, &row.Decision, d), strings.Clone).add(c, qid)
	for _, domain := range row.Facts.Recipients {
		t.recipients.count(domain, strings.Clone).add(c, qid)
	}
	if t.readiness != nil && c.To.compare(c.From) > 0 {
		t.readiness.add(&row.Facts, d, s)
	}
}

// move counts a change for the whole.
func (t *tally) move(c shift, qid string) {
	t.effect.add(c, qid)
	e := t.changes[c]
	if e == nil {
		e = new(effect)
		t.changes[c] = e
	}
	e.add(c, qid)
}

// watch counts what rules in shadow mode would do on top of d.
func (t *tally) watch(row *results.Row, d *policy.Decision) {
	for _, s := range d.Shadow {
		w := t.shadow.count(s.Rule, strings.Clone)
		if c := (shift{answerOf(d), handling{s.Action, s.Disposition}}); c.From != c.To {
			w.add(c, row.Facts.QueueID)
		}
	}
}

func ruleOf(before, now *policy.Decision) by {
	if now.Rule != "" || before.Rule == "" {
		return by{Rule: now.Rule}
	}
	return by{Rule: before.Rule, Before: true}
}

// authorOf is the author domain that decides, or else the one that did, or the
// first; "" when From gives none.
func authorOf(f *policy.Facts, before, now *policy.Decision) string {
	author := cmp.Or(now.Author, before.Author)
	if author == "" && len(f.Authors) > 0 {
		author = f.Authors[0].Domain
	}
	return author
}

// missingNames are the facts that can lack, in words.
var missingNames = []struct {
	bit  policy.MissingFacts
	name string
}{
	{policy.MissingClient, "client address"}, {policy.MissingClientName, "client name"}, {policy.MissingRecipients, "recipients"},
	{policy.MissingHeader, "list fields, Auto-Submitted and TLS"}, {policy.MissingSeed, "draws"}, {policy.MissingHistory, "history"},
	{policy.MissingSignatures, "some signatures"}, {policy.MissingARC, "some ARC sealers"},
}

// missingFacts names facts.
func missingFacts(l policy.MissingFacts) string {
	var names []string
	for _, n := range missingNames {
		if l&n.bit != 0 {
			names = append(names, n.name)
		}
	}
	if names == nil {
		return "some fact is not in the store"
	}
	return "not in the store: " + strings.Join(names, ", ")
}
