package enforce

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"dmarcgate/auth"
	"dmarcgate/auth/dmarc"
	"dmarcgate/internal/dnstest"
	"dmarcgate/metrics"
	"dmarcgate/milter"
	"dmarcgate/policy"
	"dmarcgate/policy/sampling"
	"dmarcgate/results"
)

// memory is a store that remembers.
type memory struct {
	rows    []results.Row
	marked  int
	outcome results.Outcome
}

func (m *memory) Add(r results.Row) *results.Receipt {
	m.rows = append(m.rows, r)
	return &results.Receipt{Outcome: m.outcome}
}

func (m *memory) MarkUnanswered(*results.Receipt) { m.marked++ }

type rig struct {
	gate    *Gate
	set     Settings
	checker *auth.Checker
	store   *memory
	reg     *prometheus.Registry
	log     *strings.Builder
}

func newRig(t testing.TB, zone string) *rig {
	t.Helper()
	z := dnstest.NewZone(t, zone)
	r := &rig{store: &memory{outcome: results.Written}, reg: prometheus.NewRegistry(), log: &strings.Builder{}}
	r.set = Settings{
		AuthservID: "mx.receiver.example", AuthservIDs: []string{"mx.receiver.example"}, TagField: "X-Tag",
		Policy:  policy.Settings{Profile: policy.Strict, EnforceShare: 100, Quarantine: policy.Tag, TempOurs: policy.Tag, TempDomain: policy.Tempfail, MaxDefer: 4 * time.Hour},
		Sampler: sampling.NewSampler(make([]byte, sampling.MinSecret)),
		Reply:   Reply{Reject: "DMARC {domain}: {why} ({qid})", Tempfail: "DMARC later {domain}", Local: "local, no DMARC of {domain}: {why} ({qid})", NoAuthor: "no author {domain}: {why} ({qid})"},
	}
	r.checker = &auth.Checker{SPF: z, DKIM: z, Finder: &dmarc.Finder{Resolver: z}, Budget: time.Minute}
	r.gate = &Gate{
		Listener:  "mta",
		Store:     r.store,
		Deferrals: &Deferrals{},
		Metrics:   metrics.New(r.reg, []string{"mta"}),
		Log:       slog.New(slog.NewTextHandler(io.MultiWriter(r.log, t.Output()), nil)),
		Now:       time.Now,
	}
	r.use()
	return r
}

// use makes the settings of the rig active.
func (r *rig) use() { r.gate.Snapshot.Store(&Snapshot{Settings: r.set, Checker: r.checker}) }

func (r *rig) send(env milter.Envelope, fields ...string) milter.Answer {
	header := make([][]byte, len(fields))
	for i, f := range fields {
		header[i] = []byte(f + "\r\n")
	}
	if env.QueueID == "" {
		env.QueueID = "4XyZ1"
	}
	return r.gate.Start(context.Background(), &env, header).Finish()
}

const bankZone = `
bank.example.        TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.bank.example. TXT "v=DMARC1; p=reject"
lame.example.        A   192.0.2.9
!servfail _dmarc.lame.example
`

var (
	good = netip.MustParseAddr("192.0.2.1")
	evil = netip.MustParseAddr("203.0.113.1")
)

func TestAnswerInsertsFieldAfterDeletions(t *testing.T) {
	r := newRig(t, bankZone)
	a := r.send(milter.Envelope{Client: good, MailFrom: "a@bank.example"},
		"Authentication-Results: mx.receiver.example; dmarc=pass",
		"Authentication-Results: other.example; dmarc=pass",
		"Authentication-Results: mx.receiver.example; spf=pass",
		"X-Tag: yes",
		"From: a@bank.example")
	var got []string
	for _, e := range a.Edits {
		s := e.String()
		got = append(got, s[:min(len(s), 35)])
	}
	want := []string{
		"delete Authentication-Results 3", "delete Authentication-Results 1", "delete X-Tag 1", "insert Authentication-Results: mx.r",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("edits = %q; want %q", got, want)
	}
}

func TestReplyNamesDomainCauseAndQueueID(t *testing.T) {
	r := newRig(t, bankZone)
	a := r.send(milter.Envelope{Client: evil, MailFrom: "a@bank.example"}, "From: a@bank.example")
	want := "550 5.7.1 DMARC bank.example: no aligned SPF or DKIM pass: nothing authenticated (4XyZ1)"
	if got := a.Reply.String(); got != want {
		t.Errorf("reply = %q; want %q", got, want)
	}
}

func TestSentMarksUnansweredRow(t *testing.T) {
	r := newRig(t, bankZone)
	a := r.send(milter.Envelope{Client: good, MailFrom: "a@bank.example"}, "From: a@bank.example")
	a.Sent(nil)
	if r.store.marked != 0 {
		t.Error("an answer that was written is marked as unanswered")
	}
	a.Sent(errors.New("broken pipe"))
	if r.store.marked != 1 || !strings.Contains(r.log.String(), "broken pipe") {
		t.Errorf("marked %d times; want 1, and a log line:\n%s", r.store.marked, r.log)
	}
}

func TestLogLineReportsMissingRow(t *testing.T) {
	for outcome, want := range map[results.Outcome]string{
		results.Written: "action=accept\n", results.Late: "record=late\n", results.Dropped: "record=dropped\n",
	} {
		r := newRig(t, bankZone)
		r.store.outcome = outcome
		r.send(milter.Envelope{Client: good, MailFrom: "a@bank.example"}, "From: a@bank.example")
		if !strings.HasSuffix(r.log.String(), want) {
			t.Errorf("log line with outcome %v = %s; want %q at its end", outcome, r.log, want)
		}
	}
}

func TestLogLineEscapesMessageText(t *testing.T) {
	r := newRig(t, bankZone)
	r.send(milter.Envelope{Client: evil, Helo: "x\nqid=forged action=accept", MailFrom: "a@bank.example", QueueID: "4X\r\nfoo"}, "From: a@bank.example")
	if got := strings.Count(r.log.String(), "\n"); got != 1 {
		t.Errorf("log has %d lines; want 1:\n%s", got, r.log)
	}
}

func TestLogLineHasNoLocalParts(t *testing.T) {
	r := newRig(t, bankZone)
	r.send(milter.Envelope{Client: evil, MailFrom: "secretsender@bank.example", Rcpts: []string{"secretuser@Receiver.example", "b@receiver.example"}},
		"From: Secret Name <secretauthor@bank.example>", "Subject: secret", "Message-ID: <secret@bank.example>")
	row := fmt.Sprintf("%+v", r.store.rows[0])
	if strings.Contains(row, "ecret") || strings.Contains(r.log.String(), "ecret") {
		t.Errorf("row = %s\nlog = %s\nwant no local part, name or subject", row, r.log)
	}
	if got := r.store.rows[0].Facts.Recipients; len(got) != 1 || got[0] != "receiver.example" {
		t.Errorf("recipient domains = %q; want receiver.example once", got)
	}
}

func TestDeferralsOfDomainEndAfterHours(t *testing.T) {
	r := newRig(t, bankZone)
	var elapsed time.Duration
	r.gate.Deferrals.Elapsed = func() time.Duration { return elapsed }
	send := func() policy.Action { return r.sendLame().Decision.Action }
	for _, step := range []struct {
		after time.Duration
		want  policy.Action
	}{
		{0, policy.Tempfail}, {2 * time.Hour, policy.Tempfail}, {90 * time.Minute, policy.Tempfail},
		{30 * time.Minute, policy.Tag}, {time.Minute, policy.Tag},
		{5 * time.Hour, policy.Tempfail}, // quiet for so long: a new outage
	} {
		elapsed += step.after
		if got := send(); got != step.want {
			t.Errorf("%v later: %v; want %v", step.after, got, step.want)
		}
	}
	if r.store.rows[0].State != results.Deferred || r.store.rows[3].State != results.Answered {
		t.Error("rows of a tempfail must be marked as deferred, others not")
	}
}

// sendLame sends a message of a domain whose DNS is broken, and returns its row.
func (r *rig) sendLame() results.Row {
	r.send(milter.Envelope{Client: evil, MailFrom: "a@bank.example"}, "From: a@lame.example")
	return r.store.rows[len(r.store.rows)-1]
}

// However the clock is set, a sender is deferred for as long as max_defer says,
// and no longer.
func TestDeferralsUseMonotonicTime(t *testing.T) {
	const month = 31 * 24 * time.Hour
	begin := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name  string
		clock func(step int) time.Duration // ahead
	}{
		{"right", func(int) time.Duration { return 0 }},
		{"a day back", func(step int) time.Duration { return -24 * time.Hour * time.Duration(min(step, 1)) }},
		{"a day back for a moment", func(step int) time.Duration { return -24 * time.Hour * time.Duration(step%2) }},
		{"a month back", func(step int) time.Duration { return -month * time.Duration(min(step, 1)) }},
		{"a month ahead", func(step int) time.Duration { return month * time.Duration(min(step, 1)) }},
		{"a month ahead for a moment", func(step int) time.Duration { return month * time.Duration(step%2) }},
		{"three hours more at each look", func(step int) time.Duration { return 3 * time.Hour * time.Duration(step) }},
		{"to 1970", func(step int) time.Duration { return -begin.Sub(time.Unix(0, 0)) * time.Duration(min(step, 1)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, bankZone)
			var elapsed time.Duration
			step := 0
			r.gate.Now = func() time.Time { return begin.Add(elapsed + tt.clock(step)) }
			r.gate.Deferrals.Elapsed = func() time.Duration { return elapsed }
			for ; elapsed < 6*time.Hour; step, elapsed = step+1, elapsed+30*time.Minute {
				want := policy.Tempfail
				if elapsed >= 4*time.Hour {
					want = policy.Tag
				}
				if got := r.sendLame(); got.Decision.Action != want || got.Facts.Deferred != elapsed {
					t.Errorf("after %v: %v, deferred for %v; want %v for %v", elapsed, got.Decision.Action, got.Facts.Deferred, want, elapsed)
				}
			}
		})
	}
}

func TestDeferralsDoNotGrowWithoutBound(t *testing.T) {
	d := &Deferrals{}
	now := time.Now()
	for i := range maxDeferrals + 10 {
		f := policy.Facts{Time: now, Client: evil, Authors: []policy.Author{{
			Domain: fmt.Sprint(i, ".example"), Verdict: dmarc.Verdict{Status: dmarc.TempError, Cause: dmarc.CauseDomain}}}}
		d.note(f, policy.Decision{Action: policy.Tempfail}, time.Hour)
	}
	if len(d.since) > maxDeferrals {
		t.Errorf("pairs remembered = %d; want at most %d", len(d.since), maxDeferrals)
	}
}

func TestGateSkipsTruncatedHeader(t *testing.T) {
	r := newRig(t, bankZone)
	a := r.send(milter.Envelope{Client: good, MailFrom: "a@bank.example", HeaderTruncated: true}, "From: a@bank.example")
	if got := a.Reply.String(); !strings.HasPrefix(got, "550 5.7.1") || !strings.Contains(got, "header longer") {
		t.Errorf("reply = %q; want 550 for the header", got)
	}
}

func TestDefectsHaveSeriesForEachKind(t *testing.T) {
	r := newRig(t, bankZone)
	for _, kind := range dmarc.DefectKinds() {
		r.gate.Metrics.RecordMalformed("dmarc", kind.String())
	}
	n, err := testutil.GatherAndCount(r.reg, "dmarcgate_record_malformed_total")
	if err != nil || n != len(dmarc.DefectKinds()) {
		t.Errorf("series of record_malformed_total = %d, %v; want %d, none of them \"other\"", n, err, len(dmarc.DefectKinds()))
	}
}

func TestMetricsOfMessage(t *testing.T) {
	r := newRig(t, bankZone)
	r.send(milter.Envelope{Client: evil, MailFrom: "a@bank.example"}, "From: a@bank.example")
	r.send(milter.Envelope{Client: good, MailFrom: "a@bank.example"}, "From: a@bank.example")
	r.send(milter.Envelope{Client: good, Authenticated: "user"}, "From: a@bank.example")
	r.send(milter.Envelope{Client: evil, MailFrom: "a@bank.example"}, "Subject: x")
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			if v := m.GetCounter().GetValue(); v > 0 {
				got[strings.TrimPrefix(f.GetName(), "dmarcgate_")+" "+strings.Join(labels, " ")] = v
			}
		}
	}
	for _, want := range []string{
		"milter_messages_total reject mta", "milter_messages_total accept mta", "evaluations_total mta reject fail", "evaluations_total mta reject pass",
		"pass_total spf", "skipped_total mta authenticated", "dispositions_total reject mta  reject", "dispositions_total none mta  none",
		"dispositions_total reject mta local_policy none", "policy_source_total author", "from_malformed_total missing",
		"spf_results_total mailfrom fail", "spf_results_total mailfrom pass",
	} {
		if got[want] == 0 {
			t.Errorf("%q = 0; want more; counted are %v", want, got)
		}
	}
}

func TestDeferralsIgnoreDNSPressure(t *testing.T) {
	for _, tt := range []struct {
		cause dmarc.Cause
		want  int
	}{{dmarc.CauseDomain, 1}, {dmarc.CauseOurs, 0}, {dmarc.CausePressure, 0}} {
		elapsed := time.Hour
		d := &Deferrals{Elapsed: func() time.Duration { return elapsed }}
		f := policy.Facts{Time: time.Now(), Client: evil, Authors: []policy.Author{{
			Domain: "bank.example", Verdict: dmarc.Verdict{Status: dmarc.TempError, Cause: tt.cause}}}}
		d.note(f, policy.Decision{Action: policy.Tempfail}, time.Hour)
		elapsed += time.Minute
		if age := d.age(f, time.Hour); len(d.since) != tt.want || age != time.Duration(tt.want)*time.Minute {
			t.Errorf("cause %v: %d pairs remembered, deferred for %v; want %d", tt.cause, len(d.since), age, tt.want)
		}
	}
}
