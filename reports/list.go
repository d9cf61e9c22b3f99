package reports

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"dmarcgate/config"
	"dmarcgate/report/queue"
	"dmarcgate/term"
)

// ListOptions say which reports List shows: those for which all fields hold that are set.
type ListOptions struct {
	Day    Day
	Domain Domain // policy domain
	State  string // of the report, or of one of its deliveries
	Why    string // the same
	Limit  int
	JSON   bool
}

// List shows reports of the queue, newest first.
func List(ctx context.Context, out io.Writer, cfg *config.Config, o ListOptions) error {
	q, err := openToRead(ctx, cfg)
	if err != nil {
		return err
	}
	defer q.Close()
	found, err := find(ctx, q, o)
	if err != nil {
		return err
	}
	shown := found[:min(len(found), o.Limit)]
	list := make([]summary, len(shown))
	for i, r := range shown {
		list[i] = newSummary(r)
	}
	if o.JSON {
		return json.NewEncoder(out).Encode(list)
	}
	if err := term.Table(out, "DAY\tDOMAIN\tSTATE\tWHY\tMESSAGES\tTO\tID", list, summary.cells); err != nil {
		return err
	}
	if len(found) > len(shown) {
		_, err = fmt.Fprintf(out, "there are more: raise --limit, or choose by --day, --domain, --state or --why\n")
	}
	return err
}

// find returns the reports that are meant, some more than the limit if there are. State and
// reason may be those of the report or those of a delivery.
func find(ctx context.Context, q queue.Store, o ListOptions) ([]queue.Report, error) {
	f := queue.Filter{PolicyDomain: string(o.Domain), State: queue.State(o.State), Why: o.Why, Limit: o.Limit + 1}
	if !o.Day.IsZero() {
		f.First, f.Last = o.Day.Time, o.Day.Add(queue.Day-time.Millisecond)
	}
	found, err := q.Find(ctx, f)
	if err != nil || o.State == "" && o.Why == "" {
		return found, err
	}
	f.State, f.Why, f.MailState, f.MailWhy = "", "", queue.DeliveryState(o.State), o.Why
	more, err := q.Find(ctx, f)
	found = append(found, more...)
	slices.SortFunc(found, func(a, b queue.Report) int {
		return cmp.Or(b.Begin.Compare(a.Begin), strings.Compare(a.PolicyDomain, b.PolicyDomain), strings.Compare(a.ID, b.ID))
	})
	return slices.CompactFunc(found, func(a, b queue.Report) bool { return a.ID == b.ID }), err
}

// summary is a report of the queue as text and JSON show it. Its texts are printable.
type summary struct {
	ID           string     `json:"id"`
	PolicyDomain string     `json:"policy_domain"`
	Begin        time.Time  `json:"begin"`
	End          time.Time  `json:"end"` // not included
	Form         string     `json:"form"`
	State        string     `json:"state"`
	Why          string     `json:"why,omitempty"`
	Messages     int64      `json:"messages"`
	Records      int64      `json:"records"`
	Bytes        int64      `json:"bytes"` // of the document that is stored, compressed
	SHA256       string     `json:"sha256,omitempty"`
	Created      time.Time  `json:"created"`
	Deliveries   []delivery `json:"deliveries"`
}

// delivery is one mail with a report.
type delivery struct {
	To        string    `json:"to"`
	URI       string    `json:"uri"` // as published
	Via       string    `json:"via,omitempty"`
	State     string    `json:"state"`
	Why       string    `json:"why,omitempty"`
	Attempts  int       `json:"attempts"`
	FirstTry  time.Time `json:"first_try,omitzero"`
	NextTry   time.Time `json:"next_try,omitzero"` // of what has not ended
	Code      int       `json:"code,omitempty"`
	Enhanced  string    `json:"enhanced,omitempty"`
	Reply     string    `json:"reply,omitempty"`
	QueueID   string    `json:"queue_id,omitempty"` // of the next server
	Suspected int       `json:"suspected_copies,omitempty"`
	Tried     []attempt `json:"tried,omitempty"`
}

// attempt is one try to deliver.
type attempt struct {
	N       int       `json:"n"`
	At      time.Time `json:"at"`
	Owner   string    `json:"owner"`
	Server  string    `json:"server,omitempty"`
	Outcome string    `json:"outcome"` // "" while it goes on
}

func newSummary(r queue.Report) summary {
	s := summary{
		ID: term.Printable(r.ID), PolicyDomain: term.Printable(r.PolicyDomain), Begin: r.Begin, End: r.End, Form: term.Printable(r.Form),
		State: term.Printable(string(r.State)), Why: term.Printable(r.Why), Messages: r.Messages, Records: r.Records, Bytes: r.Size,
		SHA256: term.Printable(r.SHA256), Created: r.Created, Deliveries: make([]delivery, len(r.Deliveries)),
	}
	for i, d := range r.Deliveries {
		s.Deliveries[i] = delivery{
			To: term.Printable(d.Key), URI: term.Printable(d.URI), Via: term.Printable(d.Via), State: term.Printable(string(d.State)), Why: term.Printable(d.Why),
			Attempts: d.Attempts, FirstTry: d.FirstTry, Code: d.Code, Enhanced: term.Printable(d.Enhanced), Reply: term.Printable(d.Text),
			QueueID: term.Printable(d.ReplyID), Suspected: d.Suspected,
		}
		if !d.State.Ended() {
			s.Deliveries[i].NextTry = d.NextTry
		}
	}
	return s
}

func (s summary) cells() []any {
	return []any{period(s.Begin, s.End), s.PolicyDomain, s.State, orDash(s.Why), s.Messages, s.to(), s.ID}
}

// to says how far the deliveries are, as "1 due, 2 sent".
func (s summary) to() string {
	states := map[string]int{}
	for _, d := range s.Deliveries {
		word := d.State
		if d.Why != "" && word != queueStates[d.Why] {
			word += " (" + d.Why + ")"
		}
		states[word]++
	}
	var parts []string
	for _, word := range slices.Sorted(maps.Keys(states)) {
		parts = append(parts, fmt.Sprintf("%d %s", states[word], word))
	}
	return orDash(strings.Join(parts, ", "))
}

// queueStates are causes that say the same as the state.
var queueStates = map[string]string{"suppressed": string(queue.Suppressed), "unauthorized": string(queue.Unauthorized)}
