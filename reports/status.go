package reports

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"dmarcgate/config"
	"dmarcgate/report/queue"
	"dmarcgate/site"
	"dmarcgate/term"
)

// status is what Status shows.
type status struct {
	Send     bool      `json:"send"`              // [reports] send
	Missing  []string  `json:"missing,omitempty"` // keys of [reports] without which nothing is sent
	Enabled  time.Time `json:"enabled,omitzero"`  // when sending was first switched on
	DryRun   time.Time `json:"dry_run_until,omitzero"`
	Paused   string    `json:"paused,omitempty"`   // why
	Identity *checked  `json:"identity,omitempty"` // absent: never checked

	Queue       bool             `json:"queue"` // whether there is one; without one the rest is empty
	Reports     map[string]int64 `json:"reports"`
	Deliveries  map[string]int64 `json:"deliveries"`
	OldestDue   time.Time        `json:"oldest_due,omitzero"`
	Suspected   int64            `json:"suspected_copies"`
	Days        []day            `json:"days"` // the last ones that the queue knows, newest first
	Suppression []suppression    `json:"suppressions"`

	now time.Time
}

// checked is the last identity check of a daemon.
type checked struct {
	At      time.Time `json:"at"`
	Problem string    `json:"problem,omitempty"` // absent: receivers can accept report mail
}

// day is how far the reports of a UTC day are.
type day struct {
	Day       string           `json:"day"`
	State     string           `json:"state"`
	Why       string           `json:"why,omitempty"`
	WaitedFor []string         `json:"waited_for,omitempty"` // hosts whose rows were missing
	Late      int64            `json:"late_rows"`
	Lost      int64            `json:"lost_rows"`
	LeftOut   map[string]int64 `json:"left_out,omitempty"` // messages in no report, by why
}

// suppression says to whom nothing is sent.
type suppression struct {
	What    string    `json:"what"` // kind:subject
	Reason  string    `json:"reason,omitempty"`
	Source  string    `json:"source"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until,omitzero"` // absent: until it is lifted
	Strikes int       `json:"strikes,omitempty"`
}

const (
	statusDays = 8  // up to the last day that is closed: as many as can be caught up, and one
	statusMost = 20 // suppressions that text shows; JSON has all
)

// Status shows whether reports are sent, how far they are, and what keeps them back.
func Status(ctx context.Context, out io.Writer, cfg *config.Config, asJSON bool) error {
	s := &status{Send: cfg.Reports.Send, Days: []day{}, Suppression: []suppression{}, Reports: map[string]int64{}, Deliveries: map[string]int64{}}
	// Whether the key can be used is a question for check-config: it belongs to the daemon.
	id := site.ReportsOf(cfg, cfg.Reports.KeyFile).Gate.Identity
	for _, key := range id.Missing() {
		s.Missing = append(s.Missing, "reports."+key)
	}
	q, err := openToRead(ctx, cfg)
	switch {
	case err == nil:
		err = errors.Join(s.read(ctx, q, cfg), q.Close())
	case errors.Is(err, errNoQueue):
		err = nil
	}
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(out).Encode(s)
	}
	return s.tree().Print(out)
}

// read reads the queue.
func (s *status) read(ctx context.Context, q queue.Store, cfg *config.Config) (err error) {
	s.Queue = true
	if s.now, err = q.Now(ctx); err != nil {
		return err
	}
	notes, err := queue.ReadNotes(ctx, q)
	if err != nil {
		return err
	}
	s.note(notes, cfg.Reports.DryRun.Std())
	counts, err := q.Counts(ctx)
	if err != nil {
		return err
	}
	words(s.Reports, counts.Reports)
	words(s.Deliveries, counts.Deliveries)
	s.OldestDue, s.Suspected = counts.OldestDue, counts.Again
	if err := s.readDays(ctx, q, counts.LastClosed); err != nil {
		return err
	}
	return s.readSuppressions(ctx, q)
}

// note takes over what is noted.
func (s *status) note(n queue.Notes, dryRun time.Duration) {
	s.Paused, s.Enabled = term.Printable(n.Paused), n.Enabled
	if until := n.Enabled.Add(dryRun); !n.Enabled.IsZero() && until.After(s.now) {
		s.DryRun = until
	}
	if !n.Checked.IsZero() {
		s.Identity = &checked{At: n.Checked, Problem: term.Printable(n.Problem)}
	}
}

// words copies counts under printable words.
func words[K ~string](to map[string]int64, from map[K]int64) {
	for word, n := range from {
		to[term.Printable(string(word))] += n
	}
}

// readDays reads the days around the last one that is closed, which is long ago when
// days are not closed.
func (s *status) readDays(ctx context.Context, q queue.Store, last time.Time) error {
	if last.IsZero() {
		last = s.now
	}
	runs, err := q.Runs(ctx, last.AddDate(0, 0, 1-statusDays), s.now)
	for _, r := range slices.Backward(runs) {
		d := day{Day: r.Day.Format(time.DateOnly), State: term.Printable(string(r.State)), Why: term.Printable(r.Why), Late: r.Late, Lost: r.Lost, LeftOut: map[string]int64{}}
		for _, host := range r.WaitedFor {
			d.WaitedFor = append(d.WaitedFor, term.Printable(host))
		}
		words(d.LeftOut, r.LeftOut)
		s.Days = append(s.Days, d)
	}
	return err
}

func (s *status) readSuppressions(ctx context.Context, q queue.Store) error {
	list, err := q.Suppressing(ctx)
	for _, x := range list {
		if x.Active(s.now) {
			s.Suppression = append(s.Suppression, suppression{
				What: term.Printable(x.Kind + ":" + x.What), Reason: term.Printable(x.Reason), Source: term.Printable(x.Source),
				Since: x.Since, Until: x.Until, Strikes: x.Strikes,
			})
		}
	}
	return err
}

func (s *status) tree() *term.Node {
	root := &term.Node{Text: "reports: " + s.sending()}
	if len(s.Missing) > 0 {
		root.Add("not set: %s", strings.Join(s.Missing, ", "))
	}
	if !s.Queue {
		root.Add("%v", errNoQueue)
		return root
	}
	if !s.Enabled.IsZero() {
		root.Add("sending was first switched on %s", term.Stamp(s.Enabled))
	}
	if c := s.Identity; c != nil {
		n := root.Add("identity check: %s %s", c.outcome(), term.Stamp(c.At))
		if c.Problem != "" {
			n.Add("%s", c.Problem)
		}
	}
	root.Add("reports: %s", tally(s.Reports))
	mails := root.Add("mails: %s", tally(s.Deliveries))
	if !s.OldestDue.IsZero() && s.OldestDue.Before(s.now) {
		mails.Add("the oldest is overdue for %s", term.Age(s.now, s.OldestDue))
	}
	if s.Suspected > 0 {
		mails.Add("%s may have left twice, because a host died while it sent", term.Count(int(s.Suspected), "mail"))
	}
	for _, d := range s.Days {
		d.hang(root)
	}
	if len(s.Suppression) > 0 {
		s.hangSuppressions(root)
	}
	return root
}

func (c *checked) outcome() string {
	if c.Problem == "" {
		return "passed"
	}
	return "FAILED"
}

// sending says whether mails may leave, by the first thing that keeps them.
func (s *status) sending() string {
	switch {
	case !s.Send:
		return "nothing is sent: [reports] send is false"
	case len(s.Missing) > 0:
		return "nothing is sent: keys of [reports] are missing"
	case s.Paused != "":
		return "SENDING IS PAUSED by " + s.Paused
	case !s.DryRun.IsZero():
		return "dry run until " + term.Stamp(s.DryRun) + ": nothing is sent"
	case !s.Queue:
		return "switched on, and not begun"
	case s.Identity == nil:
		return "switched on; the identity was not checked yet"
	case s.Identity.Problem != "":
		return "switched on, but the last identity check FAILED"
	}
	return "sending is switched on"
}

// hang adds a day to a tree.
func (d day) hang(root *term.Node) {
	n := root.Add("%s: %s", d.Day, withWhy(d.State, d.Why))
	if len(d.WaitedFor) > 0 {
		n.Add("closed without the rows of %s", strings.Join(d.WaitedFor, ", "))
	}
	if d.Late > 0 {
		n.Add("%s came late and are in no report", term.Count(int(d.Late), "row"))
	}
	if d.Lost > 0 {
		n.Add("%s LOST: deleted by store.max_size before the day was closed", term.Count(int(d.Lost), "row"))
	}
	if len(d.LeftOut) > 0 {
		n.Add("messages in no report: %s", tally(d.LeftOut))
	}
}

func (s *status) hangSuppressions(root *term.Node) {
	n := root.Add("suppressed: %d", len(s.Suppression))
	for _, x := range s.Suppression[:min(len(s.Suppression), statusMost)] {
		until := "until it is lifted"
		if !x.Until.IsZero() {
			until = "until " + term.Stamp(x.Until)
		}
		n.Add("%s, %s, by %s: %s", x.What, until, x.Source, term.OrNone(x.Reason))
	}
	if more := len(s.Suppression) - statusMost; more > 0 {
		n.Add("and %d more: --json shows all", more)
	}
}

// tally is "1 due, 2 sent".
func tally(counts map[string]int64) string {
	var parts []string
	for _, word := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[word], word))
	}
	return term.OrNone(strings.Join(parts, ", "))
}
