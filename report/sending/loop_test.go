package sending

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dmarcgate/auth"
	"dmarcgate/auth/dmarc"
	"dmarcgate/enforce"
	"dmarcgate/internal/dnstest"
	"dmarcgate/message"
	"dmarcgate/metrics"
	"dmarcgate/milter"
	dmarcpolicy "dmarcgate/policy"
	"dmarcgate/policy/sampling"
	"dmarcgate/report/deliver"
	"dmarcgate/report/mail"
	"dmarcgate/report/queue"
	"dmarcgate/results"
)

// peer is a site that sends reports, and evaluates what it receives.
type peer struct {
	*site
	name  string // domain
	addr  netip.Addr
	gate  *enforce.Gate
	other *peer
}

// Add stores a row.
func (p *peer) Add(r results.Row) *results.Receipt {
	r.Sequence = int64(len(p.rows) + 1)
	p.rows = append(p.rows, r)
	for _, a := range r.Facts.Authors {
		if _, known := p.known[a.Org]; !known && a.Org != "" {
			p.known[a.Org] = r.Facts.Time.AddDate(0, -1, 0)
		}
	}
	return &results.Receipt{Outcome: results.Written}
}

func (p *peer) MarkUnanswered(*results.Receipt) {}

// Send brings a report to the other site.
func (p *peer) Send(_ context.Context, from, to string, text []byte) deliver.Outcome {
	p.mails = append(p.mails, sent{p.now, from, to, string(text)})
	p.other.takes(p.addr, from, to, text)
	return deliver.Outcome{Class: deliver.Sent, Phase: deliver.End, Code: 250, Host: p.other.name}
}

// takes evaluates a mail.
func (p *peer) takes(client netip.Addr, from, to string, text []byte) {
	p.t.Helper()
	fields, body := message.Split(text)
	m := p.gate.Start(context.Background(), &milter.Envelope{Client: client, MailFrom: from, Rcpts: []string{to}, QueueID: "4XyZ1", Helo: "mx." + p.other.name}, fields)
	if _, err := m.Write(body); err != nil && !errors.Is(err, milter.ErrSkip) {
		p.t.Fatal(err)
	}
	m.Finish()
}

// newPeer returns a site with a key of its own.
func newPeer(t *testing.T, name, addr string) *peer {
	s := newSite(t)
	s.set.Gate.DryRun = 0
	s.set.Gate.Own = []string{name}
	id := &s.set.Gate.Identity
	id.Email, id.Submitter, id.BounceDomain = "dmarc@reports."+name, name, "reports."+name
	s.set.Keys = []*mail.Key{{Domain: "reports." + name, Selector: "r1", Signer: s.set.Keys[0].Signer}}
	return &peer{site: s, name: name, addr: netip.MustParseAddr(addr)}
}

// meets lets two sites know each other.
func (p *peer) meets(other *peer, zone string) {
	p.other = other
	p.wants(other.name, "rua@"+other.name)
	p.set.Open = func() (Sender, error) { return p, nil }
	z := dnstest.NewZone(p.t, zone)
	p.gate = &enforce.Gate{
		Listener: "mta", Store: p, Deferrals: &enforce.Deferrals{}, Metrics: metrics.New(prometheus.NewRegistry(), []string{"mta"}),
		Log: slog.New(slog.NewTextHandler(p.t.Output(), nil)), Now: func() time.Time { return p.now },
	}
	p.gate.Snapshot.Store(&enforce.Snapshot{
		Settings: enforce.Settings{
			AuthservID: "mx." + p.name, AuthservIDs: []string{"mx." + p.name}, Sampler: sampling.NewSampler(make([]byte, sampling.MinSecret)),
			Policy:  dmarcpolicy.Settings{Profile: dmarcpolicy.Strict, EnforceShare: 100, Quarantine: dmarcpolicy.Tag},
			Reports: enforce.ReportAddresses{Mailboxes: []string{"dmarc@reports." + p.name, "rua@" + p.name}, BounceDomain: "reports." + p.name},
		},
		Checker: &auth.Checker{SPF: z, DKIM: z, Finder: &dmarc.Finder{Resolver: z}, Budget: time.Minute},
	})
}

// Two sites exchange mail on one day, and each owes the other a report about that day.
// The reports pass DMARC, and one of each site bounces. On the five days after, no report
// about reports leaves.
func TestBounceLoopOfTwoSitesThatReportAboutEachOther(t *testing.T) {
	a, b := newPeer(t, "a.example", "192.0.2.1"), newPeer(t, "b.example", "192.0.2.2")
	key, err := a.set.Keys[0].Record()
	if err != nil {
		t.Fatal(err)
	}
	zone := ""
	for _, p := range []*peer{a, b} {
		zone += p.name + `. TXT "v=spf1 ip4:` + p.addr.String() + ` -all"
mx.` + p.name + `. TXT "v=spf1 a -all"
mx.` + p.name + `. A ` + p.addr.String() + `
reports.` + p.name + `. TXT "v=spf1 ip4:` + p.addr.String() + ` -all"
_dmarc.` + p.name + `. TXT "v=DMARC1; p=reject; rua=mailto:rua@` + p.name + `"
r1._domainkey.reports.` + p.name + `. TXT "` + key + `"
`
	}
	a.meets(b, zone)
	b.meets(a, zone)
	ha, hb := a.host("a"), b.host("b")
	for now := start; now.Before(start.AddDate(0, 0, 7)); now = now.Add(3 * time.Hour) {
		a.now, b.now = now, now
		if now.Equal(start) {
			a.takes(b.addr, "user@b.example", "user@a.example", []byte("From: user@b.example\r\n\r\nx\r\n"))
			b.takes(a.addr, "user@a.example", "user@b.example", []byte("From: user@a.example\r\n\r\nx\r\n"))
		}
		for _, h := range []*Sending{ha, hb} {
			if err := h.Turn(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if now.Equal(start.AddDate(0, 0, 2)) { // the reports bounce, in mails that pass
			for _, p := range []*peer{a, b} {
				p.takes(p.other.addr, "", p.mails[0].from, []byte("From: mailer-daemon@mx."+p.other.name+"\r\nAuto-Submitted: auto-replied\r\n\r\nx\r\n"))
			}
		}
	}
	for _, p := range []*peer{a, b} {
		if len(p.mails) != 1 || p.mails[0].to != "rua@"+p.other.name {
			t.Errorf("%s sent %d reports; want one, about ordinary mail", p.name, len(p.mails))
		}
		passed := 0
		for _, r := range p.rows {
			if v := r.Facts.Authors[0].Verdict; !r.Facts.Ordinary() && v.Status == dmarc.Pass {
				passed++
			}
		}
		got := p.whys(p.other.name)
		if !slices.Equal(got, []string{"2 done", "3 withheld no_relation", "4 withheld no_relation"}) || passed != 2 {
			t.Errorf("%s: reports about %s: %q, %d mails of report traffic passed; want one done, the others held back, since report traffic is no relation", p.name, p.other.name, got, passed)
		}
	}
	if r := a.reports(queue.Filter{State: queue.Done}); len(r) != 1 || r[0].Messages != 1 {
		t.Errorf("reports that were sent: %+v; want one about one message", r)
	}
}
