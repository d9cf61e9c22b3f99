package sending

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/metrics"
	dmarcpolicy "dmarcgate/policy"
	"dmarcgate/report"
	"dmarcgate/report/consent"
	"dmarcgate/report/deliver"
	"dmarcgate/report/due"
	"dmarcgate/report/gate"
	"dmarcgate/report/mail"
	"dmarcgate/report/queue"
	"dmarcgate/report/queue/file"
	"dmarcgate/results"
)

// start is when the sites of tests are switched on.
var start = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

// sent is a mail that the sink has.
type sent struct {
	at             time.Time
	from, to, text string
}

// site is everything around a Sending: rows, DNS, clock, and an SMTP sink.
type site struct {
	t        *testing.T
	now      time.Time
	path     string // of the queue
	rows     []results.Row
	known    map[string]time.Time
	held     time.Time
	dns      map[string]due.Wanted
	mark     string
	set      Settings
	verified bool
	checks   int // of the identity
	opened   int // senders
	closed   int // senders
	mails    []sent
	reply    func(to string) deliver.Outcome // nil takes all
	dies     func(step string) bool          // the host dies at a step; nil never
	counts   counts
}

// counts are the metrics of a site.
type counts struct {
	rows, planned map[string]int64
	deliveries    map[string]int
	open, paused  bool
	work          string
	queue         metrics.ReportQueue
}

func (c *counts) ReportPlanned(why string, n int64)    { c.planned[why] += n }
func (c *counts) ReportRows(outcome string, n int64)   { c.rows[outcome] += n }
func (c *counts) ReportMade(int64)                     {}
func (c *counts) ReportRendered(time.Duration)         {}
func (c *counts) ReportDelivery(outcome, class string) { c.deliveries[outcome+" "+class]++ }
func (c *counts) ReportGate(open, paused bool)         { c.open, c.paused = open, paused }
func (c *counts) ReportWork(state string)              { c.work = state }
func (c *counts) ReportQueue(q metrics.ReportQueue)    { c.queue = q }

// newSite returns a site whose [reports] are complete, with sending switched on.
func newSite(t *testing.T) *site {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	s := &site{
		t: t, now: start, path: filepath.Join(t.TempDir(), "reports.db"), verified: true, dns: map[string]due.Wanted{}, known: map[string]time.Time{},
		counts: counts{rows: map[string]int64{}, planned: map[string]int64{}, deliveries: map[string]int{}},
	}
	s.set = Settings{
		Gate: gate.Gate{
			Send: true, Own: []string{"receiver.example"}, MinAge: 7 * queue.Day, DryRun: 7 * queue.Day,
			Identity: gate.Identity{
				Organization: "Receiver", Email: "dmarc@reports.receiver.example", Submitter: "receiver.example", BounceDomain: "reports.receiver.example",
				Selector: "r1", Key: "v=DKIM1", Smarthost: "127.0.0.1:25",
			},
			Caps: gate.Caps{NewHosts: 50, PerHost: 100, PerDay: 5000, PerMinute: 60},
		},
		Generator: "dmarcgate test", Schema: func(string) string { return "rfc9990" }, CatchUp: 7 * queue.Day,
		Keys: []*mail.Key{{Domain: "reports.receiver.example", Selector: "r1", Signer: key}},
		Open: func() (Sender, error) { s.opened++; return s, nil },
		Verify: func(context.Context, gate.Identity, []byte) string {
			if s.checks++; s.verified {
				return ""
			}
			return "selector: no key is published"
		},
	}
	return s
}

// wants publishes a record that asks for reports at an address of the domain itself.
func (s *site) wants(domain, address string) {
	s.dns[domain] = due.Wanted{Org: domain, To: gate.Destinations([]consent.Destination{{
		Tag: "rua", URI: "mailto:" + address, Host: hostOf(address), Consent: consent.Internal,
	}})}
}

// receives stores a message with an aligned pass.
func (s *site) receives(at time.Time, domain string) {
	s.add(at, domain, dmarc.Verdict{Status: dmarc.Pass, Policy: dmarc.Reject, Pct: 100, AlignedSPF: true})
	if _, known := s.known[domain]; !known {
		s.known[domain] = at
	}
}

// forges stores a message that fails. Forged mail makes no organization known.
func (s *site) forges(at time.Time, domain string) {
	s.add(at, domain, dmarc.Verdict{Status: dmarc.Fail, Policy: dmarc.Reject, Pct: 100})
}

func (s *site) add(at time.Time, domain string, v dmarc.Verdict) {
	r := results.Row{Sequence: int64(len(s.rows) + 1), Facts: dmarcpolicy.Facts{
		Time: at, Client: netip.MustParseAddr("192.0.2.10"), MailFrom: domain, FromField: dmarcpolicy.FromOneMailbox, Version: dmarcpolicy.FactsVersion,
		SPF: dmarcpolicy.SPF{Result: "pass", Domain: domain},
		Authors: []dmarcpolicy.Author{{
			Domain: domain, Org: domain, PolicyDomain: domain, Source: "author", Record: "v=DMARC1; p=reject",
			Verdict: v,
		}},
	}}
	r.Decision = dmarcpolicy.Settings{Profile: dmarcpolicy.Strict, EnforceShare: 100}.Decide(r.Facts)
	s.rows = append(s.rows, r)
}

func (s *site) Scan(ctx context.Context, span results.Span, f func(results.Row) error) error {
	for _, r := range s.rows {
		if t := r.Facts.Time; t.Before(span.From) || !t.Before(span.To) || span.Upto != nil && r.Sequence > span.Upto["store"] {
			continue
		}
		if err := f(r); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (s *site) KnownSince(_ context.Context, org string) (time.Time, error) { return s.known[org], nil }

func (s *site) Sources(context.Context) ([]queue.Source, error) {
	return []queue.Source{{ID: "store", Host: "mx1", Watermark: s.now, Last: int64(len(s.rows)), Seen: s.now}}, nil
}

func (s *site) Late(_ context.Context, day report.Period, upto map[string]int64) (n int64, err error) {
	for _, r := range s.rows {
		if day.Contains(r.Facts.Time) && r.Sequence > upto["store"] {
			n++
		}
	}
	return n, nil
}

func (s *site) Lost(context.Context, time.Time) (int64, error)     { return 0, nil }
func (s *site) Hold(_ context.Context, first time.Time) error      { s.held = first; return nil }
func (s *site) Wanted(_ context.Context, domain string) due.Wanted { return s.dns[domain] }
func (s *site) ReportMark(context.Context) (string, error)         { return s.mark, nil }
func (s *site) SetReportMark(_ context.Context, text string) error { s.mark = text; return nil }
func (s *site) Close() error                                       { s.closed++; return nil }

// Send is the sink.
func (s *site) Send(_ context.Context, from, to string, text []byte) deliver.Outcome {
	if s.dying("mail") {
		return deliver.Outcome{Phase: deliver.Mail, Text: "the host is dead"}
	}
	if s.reply != nil {
		if o := s.reply(to); o.Class != deliver.Sent {
			return o
		}
	}
	s.mails = append(s.mails, sent{s.now, from, to, string(text)})
	return deliver.Outcome{Class: deliver.Sent, Phase: deliver.End, Code: 250, Text: "2.0.0 Ok: queued as 4ABCDE", Host: "127.0.0.1:25"}
}

func (s *site) dying(step string) bool { return s.dies != nil && s.dies(step) }

// open opens the queue, as one that a dying host loses.
func (s *site) open(ctx context.Context) (queue.Store, error) {
	q, err := file.Open(ctx, file.Options{Path: s.path, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return s.now }})
	if err != nil {
		return nil, err
	}
	return &mortal{q, s}, nil
}

// host returns a process of the site.
func (s *site) host(name string) *Sending {
	h := New(Parts{
		Settings: func() (Settings, error) { return s.set, nil }, Queue: s.open, Marks: s, Rows: s, Records: s, Dir: s.t.TempDir(), Owner: name,
		Log: slog.New(slog.NewTextHandler(s.t.Output(), nil)), Metrics: &s.counts, Draw: func() float64 { return 0.5 },
	})
	h.wait = s.wait
	s.t.Cleanup(h.Close)
	return h
}

// wait lets the clock go on.
func (s *site) wait(_ context.Context, d time.Duration) error {
	if s.dying("wait") {
		return errDead
	}
	s.now = s.now.Add(d)
	return nil
}

// until lets a host take a turn every step until a time.
func (s *site) until(h *Sending, end time.Time, step time.Duration) {
	s.t.Helper()
	for ; s.now.Before(end); s.now = s.now.Add(step) {
		if err := h.Turn(s.t.Context()); err != nil {
			s.t.Fatalf("turn at %v: %v", s.now, err)
		}
	}
}

// look reads in the queue.
func look[T any](s *site, read func(queue.Store) (T, error)) T {
	s.t.Helper()
	q, err := file.Open(s.t.Context(), file.Options{Path: s.path, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return s.now }})
	if err != nil {
		s.t.Fatal(err)
	}
	defer q.Close()
	out, err := read(q)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// reports returns the reports in the queue.
func (s *site) reports(f queue.Filter) []queue.Report {
	s.t.Helper()
	return look(s, func(q queue.Store) ([]queue.Report, error) { return q.Find(s.t.Context(), f) })
}

// notes returns the notes in the queue.
func (s *site) notes() queue.Notes {
	s.t.Helper()
	return look(s, func(q queue.Store) (queue.Notes, error) { return queue.ReadNotes(s.t.Context(), q) })
}

// whys returns the states and whys of reports about a domain, by day of the month.
func (s *site) whys(domain string) []string {
	var out []string
	for _, r := range s.reports(queue.Filter{PolicyDomain: domain}) {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%d %s %s", r.Begin.Day(), r.State, r.Why)))
	}
	slices.Reverse(out)
	return out
}

// mortal is a queue whose host may die before or after a step is committed.
type mortal struct {
	queue.Store
	s *site
}

var errDead = errors.New("the host is dead")

func (m *mortal) around(step string, f func() error) error {
	if m.s.dying("before " + step) {
		return errDead
	}
	if err := f(); err != nil {
		return err
	}
	if m.s.dying("after " + step) {
		return errDead
	}
	return nil
}

func (m *mortal) CloseDay(ctx context.Context, run queue.Run) (out queue.Run, err error) {
	err = m.around("close", func() (err error) { out, err = m.Store.CloseDay(ctx, run); return err })
	return out, err
}

func (m *mortal) Plan(ctx context.Context, owner string, day time.Time, p queue.Plan) (out queue.PlanResult, err error) {
	err = m.around("plan", func() (err error) { out, err = m.Store.Plan(ctx, owner, day, p); return err })
	return out, err
}

func (m *mortal) StoreBody(ctx context.Context, owner, id string, b queue.Body) error {
	return m.around("store", func() error { return m.Store.StoreBody(ctx, owner, id, b) })
}

func (m *mortal) Begin(ctx context.Context, owner string, b queue.Begin) (out queue.Attempt, err error) {
	err = m.around("begin", func() (err error) { out, err = m.Store.Begin(ctx, owner, b); return err })
	return out, err
}

func (m *mortal) Settle(ctx context.Context, owner string, a queue.Attempt, o queue.Outcome) error {
	return m.around("settle", func() error { return m.Store.Settle(ctx, owner, a, o) })
}
