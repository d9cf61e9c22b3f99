// Package resultstest checks that every store of results gives the same answers:
// one set of rows and queries, for SQLite and for PostgreSQL.
package resultstest

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/results"
)

// Begin is the time of the first of the rows; there is one each second.
var Begin = time.Date(2026, 11, 21, 23, 59, 30, 0, time.UTC)

// Rows returns rows of all kinds, of two days, in the order in which they are
// to be added.
func Rows() []results.Row {
	var out []results.Row
	add := func(client string, change func(*results.Row)) {
		n := len(out)
		r := results.Row{Facts: policy.Facts{
			Time: Begin.Add(time.Duration(n)*time.Second + 123456*time.Nanosecond), Listener: "mta", QueueID: fmt.Sprint("q", n),
			Client: netip.MustParseAddr(client), FromField: policy.FromOneMailbox, Version: policy.FactsVersion,
			Authors: []policy.Author{{Domain: "good.example", Org: "good.example", PolicyDomain: "good.example", Source: "author",
				Verdict: dmarc.Verdict{Status: dmarc.Pass, Policy: dmarc.Reject, Pct: 100, AlignedDKIM: true}}},
		}}
		r.Decision.Author, r.Decision.Effective = "good.example", []policy.Policy{{}}
		change(&r)
		out = append(out, r)
	}
	for i := range 30 {
		add("192.0.2.1", func(*results.Row) {})
		add(fmt.Sprint("198.51.100.", i%5), func(r *results.Row) { fail(r, "bank.example", "bank.example") })
		if i%2 == 0 {
			add("2001:db8::1", func(r *results.Row) { fail(r, "mail.shop.example", "shop.example") })
			add("192.0.2.9", overridden)
		}
		if i%3 == 0 {
			add("203.0.113.1", malformed)
			add("203.0.113.2", func(r *results.Row) {
				r.Facts.FromField, r.Facts.Authors, r.Decision = policy.FromMissing, nil, policy.Decision{}
			})
		}
	}
	add("192.0.2.77", func(r *results.Row) { fail(r, "later.example", "later.example"); r.State = results.Deferred })
	add("192.0.2.9", func(r *results.Row) {
		overridden(r)
		r.Decision.Also, r.Decision.Unreported = []string{"partner", "quiet"}, "quiet"
		r.State = results.Deferred
	})
	add("192.0.2.1", func(r *results.Row) {
		r.Decision.Shadow = []policy.ShadowDecision{{Rule: "trial", Action: policy.Reject, Disposition: policy.Rejected}, {Rule: "partner"}}
	})
	add("192.0.2.1", func(r *results.Row) { r.Decision.Rule, r.State = "foreign", results.Imported })
	add("fe80::1%eth0", func(r *results.Row) {
		r.Facts.Skip, r.Facts.Authors, r.Facts.QueueID = policy.Loopback, nil, "q0" // used again
	})
	return out
}

func fail(r *results.Row, author, org string) {
	a := &r.Facts.Authors[0]
	a.Domain, a.Org, a.PolicyDomain = author, org, org
	a.Verdict = dmarc.Verdict{Status: dmarc.Fail, Policy: dmarc.Reject, Pct: 100, Why: "nothing aligned"}
	r.Decision = policy.Decision{Action: policy.Reject, Disposition: policy.Rejected, Requested: dmarc.Reject, Author: author,
		Effective: []policy.Policy{{Applied: dmarc.Reject}}}
}

func overridden(r *results.Row) {
	fail(r, "list.example", "list.example")
	r.Decision.Action, r.Decision.Disposition, r.Decision.Reason, r.Decision.Rule = policy.Tag, policy.Quarantined, policy.MailingList, "lists"
}

func malformed(r *results.Row) {
	a := &r.Facts.Authors[0]
	a.Domain, a.Org, a.PolicyDomain, a.Defects = "sub.bad.example", "bad.example", "bad.example", []string{"dup_tag"}
}

// Queries checks what a store answers. open makes one with these rows, in this
// order.
func Queries(t *testing.T, open func(t *testing.T, rows []results.Row) results.Queries) {
	rows := Rows()
	q := open(t, rows)
	for i := range rows {
		rows[i].Sequence = int64(i) + 1
	}
	t.Run("rows come back as they were", func(t *testing.T) { readBack(t, q, rows) })
	t.Run("a scan reads its span in order", func(t *testing.T) { scan(t, q, rows) })
	t.Run("a scan reads the rows that name rules", func(t *testing.T) { scanRuled(t, q, rows) })
	t.Run("rules", func(t *testing.T) { rules(t, q, rows) })
	t.Run("top counts", func(t *testing.T) { top(t, q) })
	t.Run("new senders", func(t *testing.T) { newSenders(t, q) })
	t.Run("known since", func(t *testing.T) { knownSince(t, q) })
}

func readBack(t *testing.T, q results.Queries, rows []results.Row) {
	ctx := t.Context()
	recent, err := q.Recent(ctx, 2)
	last := len(rows) - 1
	check(t, "Recent(2)", recent, err, []results.Row{rows[last], rows[last-1]})
	none, err := q.Recent(ctx, 0)
	check(t, "Recent(0)", len(none), err, 0)
	same, err := q.ByQueueID(ctx, "q0")
	check(t, "ByQueueID(q0)", same, err, []results.Row{rows[0], rows[last]})
	unknown, err := q.ByQueueID(ctx, "nobody's")
	check(t, "ByQueueID of an unknown id", len(unknown), err, 0)
}

// read returns the rows of a span.
func read(t *testing.T, q results.Queries, span results.Span) (out []results.Row, err error) {
	err = q.Scan(t.Context(), span, func(r results.Row) error {
		out = append(out, r)
		return nil
	})
	return out, err
}

func scan(t *testing.T, q results.Queries, rows []results.Row) {
	read := func(span results.Span) ([]results.Row, error) { return read(t, q, span) }
	all, err := read(results.Span{})
	check(t, "Scan of everything", all, err, rows)
	some, err := read(results.Span{From: Begin.Add(10 * time.Second), To: Begin.Add(20 * time.Second)})
	check(t, "Scan of ten seconds", some, err, rows[10:20])
	empty, err := read(results.Span{From: Begin.AddDate(1, 0, 0)})
	check(t, "Scan of another year", len(empty), err, 0)

	enough, n := errors.New("enough"), 0
	err = q.Scan(t.Context(), results.Span{}, func(results.Row) error {
		if n++; n == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || n != 3 {
		t.Errorf("Scan() = %v after %d rows; want the function's error after 3", err, n)
	}
}

func scanRuled(t *testing.T, q results.Queries, rows []results.Row) {
	var want []results.Row
	for _, r := range rows {
		if d := r.Decision; d.Rule != "" || d.Shadow != nil {
			want = append(want, r)
		}
	}
	all, err := read(t, q, results.Span{Ruled: true})
	check(t, "Scan of all that name rules", all, err, want)
	some, err := read(t, q, results.Span{Ruled: true, From: want[3].Facts.Time, To: want[5].Facts.Time})
	check(t, "Scan of some that name rules", some, err, want[3:5])
}

// rules checks what is known of rules: "lists" decided 15 times, and once about
// a message that was deferred.
func rules(t *testing.T, q results.Queries, rows []results.Row) {
	at := func(back int) time.Time { return rows[len(rows)-back].Facts.Time.Truncate(time.Millisecond) }
	var first time.Time
	for _, r := range rows {
		if r.Decision.Rule == "lists" {
			first = r.Facts.Time.Truncate(time.Millisecond)
			break
		}
	}
	uses, err := q.RuleUse(t.Context())
	check(t, "RuleUse()", uses, err, []results.RuleUse{
		{Rule: "lists", First: first, Last: at(4), Matches: 16},
		{Rule: "partner", First: at(4), Last: at(3), Matches: 2},
		{Rule: "quiet", First: at(4), Last: at(4), Matches: 1},
		{Rule: "trial", First: at(3), Last: at(3), Matches: 1},
	})
	hits, err := q.RuleHits(t.Context(), Begin.Add(time.Second))
	forget(hits, func(h *results.RuleHit) *time.Time { return &h.Last })
	check(t, "RuleHits()", hits, err, []results.RuleHit{
		{Rule: "lists", Listener: "mta", Mode: policy.Enforce, Action: policy.Tag, Messages: 16},
		{Rule: "partner", Listener: "mta", Mode: policy.Shadow, Action: policy.Accept, Messages: 1},
		{Rule: "partner", Listener: "mta", Mode: policy.Enforce, Action: policy.Tag, Messages: 1},
		{Rule: "quiet", Listener: "mta", Mode: policy.Enforce, Action: policy.Tag, Messages: 1},
		{Rule: "trial", Listener: "mta", Mode: policy.Shadow, Action: policy.Reject, Messages: 1, Changed: 1},
	})
	none, err := q.RuleHits(t.Context(), Begin.AddDate(1, 0, 0))
	check(t, "RuleHits(since next year)", len(none), err, 0)
}

func top(t *testing.T, q results.Queries) {
	ctx := t.Context()
	failing, err := q.TopFailing(ctx, time.Time{}, 10)
	forget(failing, func(f *results.Failing) *time.Time { return &f.Last })
	check(t, "TopFailing()", failing, err, []results.Failing{
		{Author: "bank.example", Messages: 30, Rejected: 30, Clients: 5},
		{Author: "list.example", Messages: 15, Quarantined: 15, Clients: 1},
		{Author: "mail.shop.example", Messages: 15, Rejected: 15, Clients: 1},
	})
	failing, err = q.TopFailing(ctx, Begin.Add(30*time.Second), 1)
	check(t, "TopFailing(since the next day, 1)", len(failing), err, 1)
	if failing[0].Messages >= 30 || failing[0].Last.Location() != time.UTC {
		t.Errorf("TopFailing(since the next day) = %+v; want less than all, in UTC", failing)
	}
	over, err := q.TopOverridden(ctx, time.Time{}, 10)
	forget(over, func(o *results.Overridden) *time.Time { return &o.Last })
	check(t, "TopOverridden()", over, err, []results.Overridden{{Author: "list.example", Reason: policy.MailingList, Messages: 15, Quarantined: 15}})
	bad, err := q.TopMalformed(ctx, time.Time{}, 10)
	forget(bad, func(m *results.Malformed) *time.Time { return &m.Last })
	check(t, "TopMalformed()", bad, err, []results.Malformed{
		{Domain: "", Messages: 10, FromField: policy.FromMissing},
		{Domain: "bad.example", Messages: 10, Defects: []string{"dup_tag"}, FromField: policy.FromOneMailbox},
	})
	later, err := q.TopMalformed(ctx, Begin.AddDate(1, 0, 0), 10)
	check(t, "TopMalformed(since next year)", len(later), err, 0)
}

// forget checks the time of each and takes it away.
func forget[T any](list []T, last func(*T) *time.Time) {
	for i := range list {
		if at := last(&list[i]); at.After(Begin) {
			*at = time.Time{}
		}
	}
}

func newSenders(t *testing.T, q results.Queries) {
	all, err := q.NewSenders(t.Context(), time.Time{}, 100)
	if err != nil || len(all) != 6 {
		t.Fatalf("NewSenders() = %+v, %v; want 6", all, err)
	}
	check(t, "the oldest of NewSenders()", all[5], nil, results.NewSender{Org: "good.example", Net: netip.MustParsePrefix("192.0.2.0/24"),
		First: Begin, Passed: true, QueueID: "q0", Author: "good.example"})
	check(t, "one more of NewSenders()", all[3], nil, results.NewSender{Org: "shop.example", Net: netip.MustParsePrefix("2001:db8::/48"),
		First: Begin.Add(2 * time.Second), QueueID: "q2", Author: "mail.shop.example"})
	one, err := q.NewSenders(t.Context(), Begin.Add(2*time.Second), 1)
	check(t, "NewSenders(1)", one, err, all[:1])
}

func knownSince(t *testing.T, q results.Queries) {
	for org, want := range map[string]time.Time{
		"good.example": Begin, // passed
		"shop.example": {},    // never passed
		"none.example": {}, "": {}, "a\x00b": {},
	} {
		got, err := q.KnownSince(t.Context(), org)
		check(t, fmt.Sprintf("KnownSince(%q)", org), got, err, want)
	}
}

func check[T any](t *testing.T, what string, got T, err error, want T) {
	t.Helper()
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s = %+v, %v; want %+v", what, got, err, want)
	}
}

// Fill adds rows to a local store.
func Fill(t *testing.T, s interface {
	Add(results.Row) *results.Receipt
}, rows []results.Row) {
	t.Helper()
	for _, r := range rows {
		if out := s.Add(r).Outcome; out != results.Written {
			t.Fatalf("Add(%s) = %v; want %v", r.Facts.QueueID, out, results.Written)
		}
	}
}
