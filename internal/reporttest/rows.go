// Package reporttest makes rows for tests of reports: messages of every kind that a
// receiver meets, with hostile text wherever a sender or an owner of a domain chooses it.
package reporttest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/report"
	"dmarcgate/results"
)

// Day is the day of the rows: one in which the clocks of Auckland are changed.
var Day = report.DayOf(time.Date(2026, 9, 27, 0, 0, 0, 0, time.UTC))

// Identity is who reports.
var Identity = report.Identity{
	Organization: `Receiver & Söhne <"mail">`, Email: "dmarc@reports.receiver.example",
	Contact: "https://receiver.example/dmarc?a=1&b=2", Submitter: "receiver.example",
}

// Builder returns a builder with the identity.
func Builder(dir string) *report.Builder {
	return &report.Builder{
		Identity: Identity, Generator: "dmarcgate 1.0 <test>", Dir: dir, EnvelopeTo: true,
		Discovery: func(string) string { return dmarc.TreeWalk.String() },
		Optional:  func(r *results.Row) bool { return r.Facts.NullPath && r.Facts.Automatic },
	}
}

// Scan gives rows.
func Scan(rows []results.Row) report.Scan {
	return func(ctx context.Context, span results.Span, f func(results.Row) error) error {
		for i := range rows {
			if t := rows[i].Facts.Time; t.Before(span.From) || !t.Before(span.To) {
				continue
			}
			if err := f(rows[i]); err != nil {
				return err
			}
		}
		return ctx.Err()
	}
}

// Rows returns n rows of the day, which follow from the seed.
func Rows(seed uint64, n int) []results.Row {
	m := &maker{rand.New(rand.NewPCG(seed, 1))}
	rows := make([]results.Row, n)
	for i := range rows {
		rows[i] = m.row()
		rows[i].Sequence = int64(i + 1)
	}
	return rows
}

type maker struct{ *rand.Rand }

func pick[T any](m *maker, list ...T) T { return list[m.IntN(len(list))] }

// Hostile are texts that try to break out of where they are written.
var Hostile = []string{
	`</comment><x>`, `]]>`, `<!--`, `&lt;&#0;`, "line\r\nend", "nul\x00byte", "\xff\xfe", `"'><script>`, "\u202egnp", "\u2028", "ï¿½\ufffe", strings.Repeat("long ", 100),
}

// records are what owners publish, with the short names of their defects.
var records = []struct {
	tags    string
	defects []string
}{
	{"v=DMARC1; p=none", nil},
	{"v=DMARC1; p=reject", nil},
	{"v=DMARC1; p=quarantine; sp=none; np=reject", nil},
	{"v=DMARC1; p=reject; adkim=s; aspf=s; fo=1:d:s", nil},
	{"v=DMARC1; p=reject; t=y; psd=n", nil},
	{"v=DMARC1; p=quarantine; pct=25", nil},
	{"v=DMARC1; p=reject; sp=invalid", []string{"bad_sp"}},
	{"v=DMARC1", []string{"missing_p"}},
	{"v=DMARC1; p=none; sp=reject", []string{"dup_tag", "bad_uri", "unknown_tag"}},
}

// row returns a message.
func (m *maker) row() results.Row {
	f := policy.Facts{
		Time: Day.Begin.Add(time.Duration(m.Int64N(int64(24*time.Hour/time.Millisecond))) * time.Millisecond), Version: policy.FactsVersion,
		Listener: "mta", QueueID: fmt.Sprintf("%X", m.Uint32()), Client: m.client(), Helo: "mx.example", FromField: policy.FromOneMailbox,
		Recipients: []string{pick(m, "receiver.example", "other.example")}, NullPath: m.IntN(20) == 0, Automatic: m.IntN(3) == 0, Seed: m.Uint64() | 1,
	}
	if m.IntN(10) == 0 {
		f.Recipients = append(f.Recipients, "second.example")
	}
	m.results(&f)
	for range 1 + m.IntN(20)/18*(1+m.IntN(2)) {
		f.Authors = append(f.Authors, m.author(&f))
	}
	if len(f.Authors) > 1 {
		f.FromField = policy.FromSeveralDomains
	}
	r := results.Row{Facts: f}
	m.odd(&r)
	m.decide(&r)
	return r
}

func (m *maker) client() netip.Addr {
	switch m.IntN(4) {
	case 0:
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(m.IntN(20))})
	case 1:
		return netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff, 12: 192, 13: 0, 14: 2, 15: byte(m.IntN(10))}) // IPv4 in IPv6
	}
	return netip.AddrFrom4([4]byte{198, 51, 100, byte(m.IntN(30))})
}

func (m *maker) domain() string {
	return pick(m, "bank.example", "shop.example", "xn--bcher-kva.example", "uni.example", fmt.Sprintf("d%d.example", m.IntN(30)))
}

// results adds the results of SPF and of some signatures.
func (m *maker) results(f *policy.Facts) {
	domain := m.domain()
	if !f.NullPath {
		f.MailFrom = pick(m, domain, "bounce."+domain, "[192.0.2.1]", "")
	}
	f.SPF = policy.SPF{Result: pick(m, "pass", "pass", "fail", "softfail", "none", "neutral", "temperror", "permerror", "policy", "weird"), Domain: pick(m, domain, domain, "", "a..b"), Why: pick(m, "syntax error", Hostile[m.IntN(len(Hostile))]), Term: "include:_spf." + domain}
	n := m.IntN(3)
	if m.IntN(100) == 0 {
		n = 130
	}
	for i := range n {
		f.DKIM = append(f.DKIM, policy.DKIM{
			Result: pick(m, "pass", "pass", "fail", "none", "policy", "neutral", "temperror", "permerror"), Domain: pick(m, m.domain(), m.domain(), m.domain(), "", "bad domain"),
			Selector: pick(m, "s1", "s1", "S_2.sub", "", fmt.Sprintf("k%d", i), Hostile[m.IntN(len(Hostile))]), Testing: m.IntN(10) == 0,
			Why: pick(m, "body hash did not verify", "body hash did not verify; stale DNS answer", Hostile[m.IntN(len(Hostile))]),
		})
	}
}

// author returns an author domain with a verdict that its record can lead to.
func (m *maker) author(f *policy.Facts) policy.Author {
	published := records[m.IntN(len(records))]
	org := m.domain()
	a := policy.Author{Domain: pick(m, org, "mail."+org), Org: org, PolicyDomain: org, Source: "org", Record: published.tags, Defects: published.defects, Draw: uint8(m.IntN(100))}
	record, err := dmarc.ParsePolicyTags(published.tags)
	if err != nil {
		panic(err)
	}
	v := &a.Verdict
	*v = dmarc.Verdict{Pct: record.Pct, Testing: record.T}
	if !record.Broken(dmarc.TreeWalk) {
		v.Policy = record.P.Policy
		if a.Domain != org && record.SP.Presence == dmarc.Valid {
			v.Policy = record.SP.Policy
		}
	}
	switch m.IntN(10) {
	case 0:
		v.Status, v.Cause = dmarc.TempError, pick(m, dmarc.CauseOurs, dmarc.CauseDomain)
	case 1, 2, 3, 4:
		v.Status = dmarc.Fail
	case 5:
		a.PolicyDomain, a.Record, a.Defects, *v = "", "", nil, dmarc.Verdict{Status: pick(m, dmarc.StatusNone, dmarc.TempError)}
	default:
		v.Status, v.AlignedSPF = dmarc.Pass, m.IntN(2) == 0
		v.AlignedDKIM = !v.AlignedSPF || m.IntN(2) == 0
	}
	if v.Status == dmarc.Pass && v.AlignedSPF {
		f.SPF.Result, f.SPF.Domain = "pass", a.Domain
	}
	return a
}

// odd makes some rows ones that are not to be reported.
func (m *maker) odd(r *results.Row) {
	f := &r.Facts
	switch m.IntN(40) {
	case 0:
		f.Skip = pick(m, policy.Authenticated, policy.TrustedNetwork)
	case 1:
		f.Missing |= policy.MissingClient
	case 2:
		f.Client, f.UnknownClient = netip.Addr{}, policy.ClientNoField
	case 3:
		f.Authors, f.FromField = nil, policy.FromMissing
	case 4:
		f.Authors[0].Domain = pick(m, Hostile...)
	case 5:
		f.Authors[0].Verdict = dmarc.Verdict{Status: dmarc.PermError}
	case 6:
		f.Time = f.Time.Add(24 * time.Hour)
	case 7:
		r.State = pick(m, results.Deferred, results.Unanswered, results.Imported)
	case 8:
		f.ARC = policy.ARC{Result: "pass", Sealers: []policy.Sealer{{Domain: "list.example", Selector: "a"}, {Domain: pick(m, Hostile...), Selector: "b"}}}
	}
}

// decide decides by a profile, and sometimes by a rule.
func (m *maker) decide(r *results.Row) {
	set := policy.Settings{
		Profile: pick(m, policy.Monitor, policy.Conformant, policy.Strict), Quarantine: pick(m, policy.Tag, policy.Hold, policy.Reject),
		EnforceShare: pick[uint8](m, 100, 100, 50), TempDomain: policy.Tag, TempOurs: policy.Accept,
	}
	r.Decision = set.Decide(r.Facts)
	d := &r.Decision
	if d.Action == policy.Tempfail {
		r.State = results.Deferred
	}
	switch m.IntN(20) {
	case 0:
		d.Action, d.Disposition, d.Rule = policy.Accept, policy.Delivered, "forwarder-1"
		d.Reason = pick(m, policy.TrustedForwarder, policy.MailingList, policy.Other, "forwarded", policy.LocalPolicy)
		d.ReportComment = pick(m, "", "known forwarder", Hostile[m.IntN(len(Hostile))])
	case 1:
		d.Action, d.Disposition, d.Rule, d.Reason = policy.Reject, policy.Rejected, "refuse-1", policy.LocalPolicy
	case 2:
		d.Unreported = "hide-1"
	}
}

// Client is an address for a single message.
var Client = netip.MustParseAddr("192.0.2.10")
