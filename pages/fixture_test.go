package pages

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dmarcgate/admin"
	"dmarcgate/auth/dmarc"
	"dmarcgate/internal/childtest"
	"dmarcgate/pages/view"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/results/sqlite"
	"dmarcgate/site"
)

// noon is when the tests look at the pages.
var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// hostile is a name with markup, quotes, a control of the direction of writing, a
// character without width, a control of terminals and a byte that is no UTF-8.
const hostile = "<script>alert(1)</script>\"'><b>x</b>&amp;\u202egnp.example\u200b\x1b[31m\xff.javascript:"

// sender is a kind of mail of the fixture.
type sender struct {
	author, client, helo string
	result               dmarc.Status
	asks                 dmarc.Policy
	weight               int
}

// senders are what a site of some size sees: much that passes, forwarded mail, a
// sender that is not ready, and forgeries.
var senders = []sender{
	{"newsletter.example", "192.0.2.10", "out.newsletter.example", dmarc.Pass, dmarc.None, 30},
	{"university.example", "198.51.100.7", "mx.university.example", dmarc.Pass, dmarc.None, 22},
	{"shop.example", "203.0.113.20", "mail.shop.example", dmarc.Pass, dmarc.None, 18},
	{"small.example", "192.0.2.99", "small.example", dmarc.StatusNone, dmarc.None, 14},
	{"bank.example", "203.0.113.66", "dynamic.example", dmarc.Fail, dmarc.Reject, 6},
	{"parcel.example", "198.51.100.130", "cheap-host.example", dmarc.Fail, dmarc.Quarantine, 5},
	{"alumni.example", "192.0.2.40", "forward.example", dmarc.Fail, dmarc.Reject, 4},
	{"city.example", "198.51.100.44", "lists.example", dmarc.Fail, dmarc.Reject, 3},
	{"slow.example", "203.0.113.90", "slow.example", dmarc.TempError, dmarc.None, 1},
}

// mail is a message of a sender, as the settings decide about it.
func (s sender) mail(set policy.Settings, at time.Time, n int) results.Row {
	r := results.Row{
		Facts: policy.Facts{
			Time: at, Listener: "mta", QueueID: fmt.Sprintf("4Q%06d", n), FromField: policy.FromOneMailbox, Client: netip.MustParseAddr(s.client), Helo: s.helo,
			MailFrom: s.helo, SPF: policy.SPF{Result: "pass", Domain: s.helo, Why: "matched"},
			Authors: []policy.Author{{Domain: s.author, Org: s.author, PolicyDomain: s.author, Source: "author", Record: "v=DMARC1; p=" + s.asks.String(), Verdict: dmarc.Verdict{Status: s.result, Policy: s.asks, Pct: 100, Why: "no aligned identifier passed"}}},
			DKIM:    []policy.DKIM{{Result: "fail", Domain: s.author, Selector: "s1", Why: "body hash did not match", Algorithm: "rsa-sha256", KeyBits: 2048, Canon: "relaxed/relaxed", B: "Zm9vYmFy"}},
			HELO:    policy.SPF{Result: "none", Domain: s.helo, Why: "no SPF record"}, Version: policy.FactsVersion, Seed: uint64(n) + 1, TLS: true,
		},
	}
	switch s.result {
	case dmarc.Pass:
		a := &r.Facts.Authors[0]
		a.Verdict.AlignedDKIM, a.Verdict.Why = true, "aligned DKIM passed"
		r.Facts.DKIM[0].Result, r.Facts.DKIM[0].Why = "pass", "verified"
	case dmarc.StatusNone:
		r.Facts.Authors[0].Verdict.Why = "no DMARC record applies"
	case dmarc.TempError:
		r.Facts.Authors[0].Verdict.Cause, r.Facts.Authors[0].Verdict.Why = dmarc.CauseDomain, "the DMARC record could not be looked up"
	}
	r.Decision = set.Decide(r.Facts)
	if r.Decision.Action == policy.Tempfail {
		r.State = results.Deferred
	}
	return r
}

// month adds mail of 30 days to a store, the same each time.
func month(store *sqlite.Store, set policy.Settings) {
	random := rand.New(rand.NewPCG(7, 11))
	n := 0
	for day := range view.Days {
		start := view.FirstDay(noon).AddDate(0, 0, day)
		busy := 10 + random.IntN(5)
		if wd := start.Weekday(); wd == time.Saturday || wd == time.Sunday {
			busy /= 2
		}
		for _, s := range senders {
			for range s.weight * busy / 14 {
				at := start.Add(time.Duration(random.IntN(24*60)) * time.Minute)
				if n++; at.After(noon) {
					continue
				}
				store.Add(s.mail(set, at, n))
			}
		}
	}
}

// hostileMail has the hostile name in each place that a sender chooses.
func hostileMail(set policy.Settings, n int) results.Row {
	r := sender{hostile, "2001:db8::bad", hostile, dmarc.Fail, dmarc.Reject, 0}.mail(set, noon.Add(-time.Minute), n)
	r.Facts.QueueID, r.Facts.ClientName = hostile, hostile
	r.Facts.DKIM[0].Selector, r.Facts.SPF.Term = hostile, hostile
	r.Facts.ListID, r.Facts.Recipients = hostile, []string{hostile}
	return r
}

const ruleFile = `
[[rule]]
id = "alumni-forwarder"
owner = "postmaster"
comment = "alumni addresses are forwarded"
created = 2026-09-01
expires = 2026-12-03
mode = "enforce"
action = "accept"
reason = "trusted_forwarder"
[rule.match]
client = ["192.0.2.40"]

[[rule]]
id = "city-list"
owner = "lists"
comment = "lists of the city, as long as the city runs them"
created = 2026-09-01
expires = "never"
mode = "enforce"
action = "accept"
reason = "mailing_list"
[rule.match]
client = ["198.51.100.44"]

[[rule]]
id = "parcel-strict"
owner = "security"
comment = "would refuse what is tagged"
created = 2026-10-01
mode = "shadow"
action = "reject"
[rule.match]
client = ["198.51.100.128/25"]
`

// fixture is a site with pages.
type fixture struct {
	Source
	dir   string
	store *sqlite.Store
	set   policy.Settings
}

// newFixture makes a site with a month of mail, and one hostile message.
func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{dir: t.TempDir()}
	put := func(name, text string) string {
		path := filepath.Join(f.dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if err := os.Mkdir(filepath.Join(f.dir, "rules"), 0o755); err != nil {
		t.Fatal(err)
	}
	put("rules/site.toml", ruleFile)
	in, err := site.Load(put("dmarcgate.toml", fmt.Sprintf("authserv_id = \"mx.receiver.example\"\nstate_dir = %q\nrules_dir = %q\n[[listener]]\nname = \"mta\"\naddress = \"unix:%s/m.sock\"\nprofile = \"strict\"\n",
		f.dir, filepath.Join(f.dir, "rules"), f.dir)), site.AllParts)
	if err != nil {
		t.Fatal(err)
	}
	f.store, err = sqlite.Open(context.Background(), sqlite.Options{
		Path: filepath.Join(f.dir, "r.db"), Durability: sqlite.Async, Wait: time.Second, Queue: 10000, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return noon }, MaintenanceEvery: 20 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.store.Close() })
	f.set = in.Policy(in.Config.Listeners[0])
	month(f.store, f.set)
	f.store.Add(hostileMail(f.set, 1<<20))
	f.Source = Source{
		Status: func(context.Context) admin.Status { return sampleStatus() }, Site: func() site.Site { return in }, Store: f.store,
		Counts: sampleCounts, Now: func() time.Time { return noon }, Reports: newReporting(t, f.dir),
	}
	f.settle(t)
	return f
}

// settle waits until all rows are written.
func (f *fixture) settle(t *testing.T) {
	t.Helper()
	last := senders[4].mail(f.set, noon, 1<<21)
	last.Facts.QueueID = "4QlastKXz"
	f.store.Add(last)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := childtest.Poll(ctx, func() bool {
		rows, err := f.store.ByQueueID(ctx, last.Facts.QueueID)
		return err == nil && len(rows) > 0
	})
	if err != nil {
		t.Fatalf("the rows were not written: %v", err)
	}
}

func sampleStatus() admin.Status {
	return admin.Status{
		Version: "1.0.0", Started: noon.Add(-50 * time.Hour), Reloaded: noon.Add(-3 * time.Hour), Rules: 3, RulesHash: "5f0c2a9d11e4", RuleWarnings: 1,
		Listeners: []admin.ListenerStatus{{Name: "mta", Address: "unix:/run/dmarcgate/milter.sock", Profile: "strict", EnforceShare: 100, Traffic: admin.Traffic{Sessions: 812, Active: 3, Limit: 500}}},
		Checks:    map[string]string{"resolver": "ok", "connections": "ok", "store": "ok"}, Restart: []string{"dns"},
		Results: &admin.ResultsStatus{Rows: 2417, Bytes: 3 << 20},
		DNS: admin.DNSStatus{
			Entries: 8123, Bytes: 6 << 20, Lookups: 91_223, Cached: 80_311,
			Servers: []admin.ServerStatus{
				{Address: "192.0.2.53:53", Queries: 9123, RTT: 0.0031, Window: 100, InFlight: 2},
				{Address: "[2001:db8::53]:53", Queries: 411, RTT: 0.041, Window: 8, Down: true, Since: noon.Add(-7 * time.Minute), Err: "timeout"},
			},
		},
	}
}

func sampleCounts() []view.DNSCount {
	return []view.DNSCount{
		{Purpose: "dmarc", Outcome: "hit", N: 31_412}, {Purpose: "dmarc", Outcome: "negative_hit", N: 9812}, {Purpose: "dmarc", Outcome: "miss", N: 2914},
		{Purpose: "spf", Outcome: "hit", N: 24_119}, {Purpose: "spf", Outcome: "miss", N: 4520}, {Purpose: "dkim", Outcome: "hit", N: 14_002},
		{Purpose: "dkim", Outcome: "miss", N: 3301}, {Purpose: "dkim", Outcome: "stale", N: 12}, {Purpose: "dmarc", Outcome: "coalesced", N: 954},
		{Query: true, Purpose: "dmarc", Outcome: "ok", N: 1712}, {Query: true, Purpose: "dmarc", Outcome: "nxdomain", N: 1188}, {Query: true, Purpose: "spf", Outcome: "ok", N: 4388},
		{Query: true, Purpose: "spf", Outcome: "servfail", N: 31}, {Query: true, Purpose: "dkim", Outcome: "ok", N: 3244}, {Query: true, Purpose: "dkim", Outcome: "timeout", N: 57},
	}
}

// sampleReport is a report of what-if, shortened.
const sampleReport = `{"candidate":"profile strict on all listeners","from":"2026-11-23T09:14:00Z","to":"2026-11-30T09:14:00Z","messages":1204,"unchanged":1139,"cannot_tell":4,
"changed":61,"relaxed":0,"tightened":61,"rejected":37,"quarantined":24,"deferred":0,
"changes":[{"from":{"action":"accept","disposition":"none"},"to":{"action":"reject","disposition":"reject"},"messages":37,"samples":[]},{"from":{"action":"accept","disposition":"none"},"to":{"action":"tag","disposition":"quarantine"},"messages":24,"samples":[]}],
"by_rule":{"lines":[{"rule":"","changed":61,"rejected":37,"quarantined":24,"relaxed":0}]},
"by_author_domain":{"lines":[{"domain":"alumni.example","changed":37,"rejected":37,"quarantined":0,"relaxed":0},{"domain":"city.example","changed":24,"rejected":0,"quarantined":24,"relaxed":0}]},
"readiness":{"forwarders":[{"kind":"name","name":"forward.example","messages":40,"rejected":37,"quarantined":0}],"direct_senders":[{"kind":"spf","name":"crm.example","messages":24,"rejected":0,"quarantined":24}]}}`

// keepReport writes a report of what-if as the command does.
func keepReport(t *testing.T, f *fixture) {
	t.Helper()
	text := fmt.Sprintf(`{"made":"2026-11-30T09:14:00Z","report":%s}`, sampleReport)
	if err := os.WriteFile(filepath.Join(f.dir, "what-if.json"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// free makes pages without a pause between them, however slow the machine is.
func free(src Source) http.Handler {
	s := newServer(src)
	s.gate.making.loan = time.Hour
	return s.handler()
}
