package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/results"
)

// at is a row of an author domain and a client, so many minutes after today.
func at(minutes int, author, client string, change func(*results.Row)) results.Row {
	r := results.Row{
		Facts: policy.Facts{
			Time: today.Add(time.Duration(minutes) * time.Minute), QueueID: fmt.Sprint("q", minutes), FromField: policy.FromOneMailbox,
			Client:  netip.MustParseAddr(client),
			Authors: []policy.Author{{Domain: author, Org: author, PolicyDomain: author, Verdict: dmarc.Verdict{Status: dmarc.Fail, Policy: dmarc.Reject}}},
		},
		Decision: policy.Decision{Author: author, Requested: dmarc.Reject, Action: policy.Reject, Disposition: policy.Rejected},
	}
	if change != nil {
		change(&r)
	}
	return r
}

func passed(r *results.Row) {
	r.Facts.Authors[0].Verdict.Status = dmarc.Pass
	r.Decision.Action, r.Decision.Disposition, r.Decision.Requested = policy.Accept, policy.Delivered, dmarc.None
}

func tagged(why policy.Reason) func(*results.Row) {
	return func(r *results.Row) {
		r.Decision.Action, r.Decision.Disposition, r.Decision.Reason = policy.Tag, policy.Quarantined, why
	}
}

// history of two days, for all tests of queries.
func history2Days() []results.Row {
	return []results.Row{
		at(-1440, "old.example", "192.0.2.1", nil),
		at(-1439, "old.example", "192.0.2.1", func(r *results.Row) { r.Facts.Authors[0].Defects = []string{"bad_p"} }),
		at(0, "bank.example", "192.0.2.1", nil),
		at(1, "bank.example", "192.0.2.200", nil),
		at(2, "bank.example", "2001:db8::1", tagged(policy.LocalPolicy)),
		at(3, "bank.example", "2001:db8::1", func(r *results.Row) { r.State = results.Deferred }),
		at(4, "shop.example", "198.51.100.1", tagged(policy.LocalPolicy)),
		at(5, "shop.example", "198.51.100.1", tagged(policy.MailingList)),
		at(6, "list.example", "198.51.100.1", passed),
		at(7, "list.example", "198.51.100.2", func(r *results.Row) { passed(r); r.Facts.Authors[0].Defects = []string{"bad_sp", "dup_tag"} }),
		at(8, "", "203.0.113.1", func(r *results.Row) { r.Facts.Authors, r.Facts.FromField = nil, policy.FromMissing }),
		at(9, "", "203.0.113.1", func(r *results.Row) { r.Facts.Authors, r.Facts.FromField = nil, policy.FromSeveralFields }),
		at(10, "", "203.0.113.1", func(r *results.Row) {
			r.Facts.Authors, r.Facts.FromField, r.Facts.Skip = nil, policy.FromMissing, policy.Loopback
		}),
		at(11, "old.example", "192.0.2.99", nil),
		at(12, "old.example", "203.0.113.7", nil),
	}
}

func clock(minutes int) time.Time { return today.Add(time.Duration(minutes) * time.Minute) }

func stored(t *testing.T, rows ...results.Row) *Store {
	t.Helper()
	opt := options(t)
	fill(t, opt, rows...)
	return open(t, opt)
}

// expect compares what a query returned.
func expect[T any](t *testing.T, what string, got []T, err error, want []T) {
	t.Helper()
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s = %+v, %v; want %+v", what, got, err, want)
	}
}

func TestTopFailingCountsDomains(t *testing.T) {
	s, ctx := stored(t, history2Days()...), context.Background()
	got, err := s.TopFailing(ctx, today, 10)
	expect(t, "TopFailing(today)", got, err, []results.Failing{
		{Author: "bank.example", Messages: 3, Quarantined: 1, Rejected: 2, Clients: 3, Last: clock(2)},
		{Author: "old.example", Messages: 2, Rejected: 2, Clients: 2, Last: clock(12)},
		{Author: "shop.example", Messages: 2, Quarantined: 2, Clients: 1, Last: clock(5)},
	})
	got, err = s.TopFailing(ctx, time.Time{}, 1)
	expect(t, "TopFailing(ever, 1)", got, err, []results.Failing{{Author: "old.example", Messages: 4, Rejected: 4, Clients: 3, Last: clock(12)}})
	got, err = s.TopFailing(ctx, today, -1)
	expect(t, "TopFailing(today, -1)", got, err, nil)
}

func TestTopOverriddenCountsDomains(t *testing.T) {
	s := stored(t, history2Days()...)
	got, err := s.TopOverridden(context.Background(), today, 10)
	expect(t, "TopOverridden(today)", got, err, []results.Overridden{
		{Author: "bank.example", Reason: policy.LocalPolicy, Messages: 1, Quarantined: 1, Last: clock(2)},
		{Author: "shop.example", Reason: policy.LocalPolicy, Messages: 1, Quarantined: 1, Last: clock(4)},
		{Author: "shop.example", Reason: policy.MailingList, Messages: 1, Quarantined: 1, Last: clock(5)},
	})
}

func TestNewestFailingIsTheTimeOfTheNthMessage(t *testing.T) {
	s := stored(t, history2Days()...)
	all, err := s.TopFailing(context.Background(), today, 10)
	count, last := 0, time.Time{}
	for _, f := range all {
		count += int(f.Messages)
		last = latest(last, f.Last)
	}
	if err != nil || count < 3 {
		t.Fatalf("%d messages failed, %v; want at least 3", count, err)
	}
	for _, tt := range []struct {
		n    int
		most bool
	}{{1, true}, {count, true}, {count + 1, false}} {
		at, most, err := s.NewestFailing(context.Background(), today, tt.n)
		if err != nil || most != tt.most || tt.n == 1 && !at.Equal(last) || !most && !at.Equal(today) {
			t.Errorf("NewestFailing(today, %d) = %v, %v, %v", tt.n, at, most, err)
		}
		since, err := s.TopFailing(context.Background(), at, 10)
		got := 0
		for _, f := range since {
			got += int(f.Messages)
		}
		if err != nil || got != min(tt.n, count) {
			t.Errorf("%d messages failed since %v, %v; want %d", got, at, err, min(tt.n, count))
		}
	}
	for n, want := range map[int]time.Time{1: clock(5), 3: clock(2), 4: today} {
		if at, most, err := s.NewestOverridden(context.Background(), today, n); err != nil || most != (n < 4) || !at.Equal(want) {
			t.Errorf("NewestOverridden(today, %d) = %v, %v, %v; want %v", n, at, most, err, want)
		}
	}
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func TestTopMalformedCountsDomains(t *testing.T) {
	s := stored(t, history2Days()...)
	got, err := s.TopMalformed(context.Background(), today, 10)
	expect(t, "TopMalformed(today)", got, err, []results.Malformed{
		{Messages: 2, Last: clock(9), FromField: policy.FromSeveralFields},
		{Domain: "list.example", Messages: 1, Last: clock(7), Defects: []string{"bad_sp", "dup_tag"}, FromField: policy.FromOneMailbox},
	})
}

func TestNewSendersListsFirstSeen(t *testing.T) {
	s := stored(t, history2Days()...)
	net := netip.MustParsePrefix
	got, err := s.NewSenders(context.Background(), today, 10)
	expect(t, "NewSenders(today)", got, err, []results.NewSender{
		{Org: "old.example", Net: net("203.0.113.0/24"), First: clock(12), QueueID: "q12", Author: "old.example"},
		{Org: "list.example", Net: net("198.51.100.0/24"), First: clock(6), Passed: true, QueueID: "q6", Author: "list.example"},
		{Org: "shop.example", Net: net("198.51.100.0/24"), First: clock(4), QueueID: "q4", Author: "shop.example"},
		{Org: "bank.example", Net: net("2001:db8::/48"), First: clock(2), QueueID: "q2", Author: "bank.example"},
		{Org: "bank.example", Net: net("192.0.2.0/24"), First: clock(0), QueueID: "q0", Author: "bank.example"},
	})
	s.Add(at(13, "shop.example", "198.51.100.9", passed))
	s.Add(at(14, "old.example", "192.0.2.250", nil))
	tamper(t, s, "DELETE FROM message WHERE qid = 'q4'")
	got, err = s.NewSenders(context.Background(), clock(3), 2)
	expect(t, "NewSenders(newer, 2)", got, err, []results.NewSender{
		{Org: "old.example", Net: net("203.0.113.0/24"), First: clock(12), QueueID: "q12", Author: "old.example"},
		{Org: "list.example", Net: net("198.51.100.0/24"), First: clock(6), Passed: true, QueueID: "q6", Author: "list.example"},
	})
	got, err = s.NewSenders(context.Background(), clock(3), 10)
	if err != nil || len(got) != 3 || got[2] != (results.NewSender{Org: "shop.example", Net: net("198.51.100.0/24"), First: clock(4), Passed: true}) {
		t.Errorf("NewSenders() = %+v, %v; want the last one of shop.example, which has passed meanwhile and whose row is gone", got, err)
	}
}

func TestKnownSinceNeedsANetworkThatPassed(t *testing.T) {
	s := stored(t, history2Days()...)
	seen := func(org string, want time.Time) {
		t.Helper()
		if got, err := s.KnownSince(context.Background(), org); err != nil || !got.Equal(want) {
			t.Errorf("KnownSince(%q) = %v, %v; want %v", org, got, err, want)
		}
	}
	seen("shop.example", time.Time{})
	s.Add(at(13, "shop.example", "198.51.100.9", passed))
	seen("shop.example", clock(4)) // the first message from that network
	s.Add(at(14, "shop.example", "192.0.2.7", passed))
	seen("shop.example", clock(4))
	seen("old.example", time.Time{})
	seen("unknown.example", time.Time{})
}

func TestScanReadsASpanInOrder(t *testing.T) {
	var rows []results.Row
	const n = 2*1000 + 10 // Scan reads slices of 1000
	for i := range n {
		rows = append(rows, at(n-i/3, "a.example", "192.0.2.1", nil)) // three of each minute, the newest first
	}
	s := stored(t, rows...)
	var got []results.Row
	collect := func(r results.Row) error { got = append(got, r); return nil }
	if err := s.Scan(context.Background(), results.Span{}, collect); err != nil || len(got) != n {
		t.Fatalf("Scan(everything) gave %d rows, %v; want %d", len(got), err, n)
	}
	for i := range got[1:] {
		a, b := got[i], got[i+1]
		if c := a.Facts.Time.Compare(b.Facts.Time); c > 0 || c == 0 && a.Sequence >= b.Sequence {
			t.Fatalf("row %d of %v is before row %d of %v", a.Sequence, a.Facts.Time, b.Sequence, b.Facts.Time)
		}
	}
	got = nil
	if err := s.Scan(context.Background(), results.Span{From: clock(n - 1), To: clock(n)}, collect); err != nil || len(got) != 3 || !got[0].Facts.Time.Equal(clock(n-1)) {
		t.Errorf("Scan(one minute) gave %d rows, %v; want 3", len(got), err)
	}
	stop := errors.New("stop")
	if err := s.Scan(context.Background(), results.Span{}, func(results.Row) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Scan() = %v; want the error of the function", err)
	}
}

// BenchmarkTop is a day of b.N messages, a tenth of which fails, is overridden
// and comes with a malformed record: as bad as a day gets.
func BenchmarkTop(b *testing.B) {
	s, err := Open(context.Background(), Options{Path: filepath.Join(b.TempDir(), "r"), Durability: Async, Wait: time.Minute, Queue: 1000, Log: slog.Default()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for i := range b.N {
		r := mixRow(i % 100_000)
		r.Facts.QueueID = mixID(i)
		r.Facts.Time = today.Add(time.Duration(i) * 86400 * time.Microsecond)
		if i%10 == 0 {
			r.Facts.Authors[0].Verdict.Status, r.Facts.Authors[0].Defects = dmarc.Fail, []string{"bad_sp"}
			r.Facts.Client = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
			r.Decision.Reason, r.Decision.Disposition = policy.LocalPolicy, policy.Quarantined
		}
		s.Add(r)
	}
	<-s.Add(results.Row{}).Token.(*op).done
	ctx := context.Background()
	for name, f := range map[string]func() (int, error){
		"failing":     func() (int, error) { r, err := s.TopFailing(ctx, today, 20); return len(r), err },
		"overridden":  func() (int, error) { r, err := s.TopOverridden(ctx, today, 20); return len(r), err },
		"malformed":   func() (int, error) { r, err := s.TopMalformed(ctx, today, 20); return len(r), err },
		"new-senders": func() (int, error) { r, err := s.NewSenders(ctx, today, 20); return len(r), err },
	} {
		start := time.Now()
		if n, err := f(); err != nil || n == 0 {
			b.Fatalf("%s: %d, %v", name, n, err)
		}
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms-"+name)
	}
}

// BenchmarkScan reads b.N rows.
func BenchmarkScan(b *testing.B) {
	s, err := Open(context.Background(), Options{Path: filepath.Join(b.TempDir(), "r"), Durability: Async, Wait: time.Minute, Queue: 1000, Log: slog.Default()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for i := range b.N {
		r := mixRow(i % 100_000)
		r.Facts.QueueID, r.Facts.Time = mixID(i), today.Add(time.Duration(i)*777*time.Microsecond)
		s.Add(r)
	}
	<-s.Add(results.Row{}).Token.(*op).done
	b.ReportAllocs()
	b.ResetTimer()
	n := 0
	if err := s.Scan(context.Background(), results.Span{}, func(results.Row) error { n++; return nil }); err != nil || n != b.N+1 {
		b.Fatal(n, err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
