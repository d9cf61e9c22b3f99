package reports

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"dmarcgate/config"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/reporttest"
	"dmarcgate/report/due"
	"dmarcgate/report/gate"
	"dmarcgate/results"
	"dmarcgate/site"
)

// rows is a store with rows of the day, whose organizations are known for a month but one.
type rows struct {
	site.Store
	list []results.Row
}

func (r rows) Scan(ctx context.Context, span results.Span, f func(results.Row) error) error {
	return reporttest.Scan(r.list)(ctx, span, f)
}

func (r rows) KnownSince(_ context.Context, org string) (time.Time, error) {
	if org == "shop.example" {
		return reporttest.Day.Begin, nil
	}
	return reporttest.Day.Begin.AddDate(0, 0, -30), nil
}

// planZone answers for two domains; the DNS has no record of the others.
const planZone = `
_dmarc.bank.example. TXT "v=DMARC1; p=reject; rua=mailto:RUA@bank.example,mailto:x@stranger.example,https://bank.example/"
_dmarc.uni.example.  TXT "v=DMARC1; p=none; rua=mailto:dmarc@uni.example"
!any
`

// planOf makes the plan of the day, 3 days later.
func planOf(t *testing.T, change func(*config.Config, *planning)) (p plan, warn string) {
	t.Helper()
	cfg := config.Default()
	cfg.Store.Path = t.TempDir() + "/results.db"
	cfg.DNS.Servers = []string{dnstest.New(t, planZone).Addr()}
	dns, err := site.NewResolver(&cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dns.Close()
	list := reporttest.Rows(7, 300)
	for i := range list {
		list[i].Facts.Version, list[i].Facts.NullPath, list[i].Facts.ReportTraffic = 2, false, ""
	}
	w := &planning{
		PlanOptions: PlanOptions{JSON: true}, store: rows{list: list}, records: due.NewDNS(dns, nil),
		day: reporttest.Day.Begin, now: reporttest.Day.End.AddDate(0, 0, 3),
	}
	if change != nil {
		change(&cfg, w)
	}
	var told bytes.Buffer
	out := printed(t, func(out *bytes.Buffer) error { return w.run(t.Context(), out, &told, &cfg, nil) })
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatal(err)
	}
	return p, told.String()
}

// outcomes are the reasons of a domain's lines, by destination.
func outcomes(p plan, domain string) map[string]string {
	out := map[string]string{}
	for _, l := range p.Reports {
		if l.Domain == domain && l.Why != string(gate.NoRelation) { // of policies under which no message passed
			out[l.To] = l.Why
		}
	}
	return out
}

func TestPlanAsksGatesAndDNS(t *testing.T) {
	p, warn := planOf(t, nil)
	if !strings.Contains(warn, "sending_off settings_missing dry_run") {
		t.Errorf("Plan tells %q; want the gates that are closed for all", warn)
	}
	for domain, want := range map[string]map[string]string{
		"bank.example":          {"RUA@bank.example": "", "x@stranger.example": string(gate.Unauthorized)},
		"uni.example":           {"dmarc@uni.example": ""},
		"shop.example":          {"": string(gate.TooNew)},
		"xn--bcher-kva.example": {"": whyNoRUA},
	} {
		got := outcomes(p, domain)
		if len(got) != len(want) {
			t.Errorf("%s: %v; want %v", domain, got, want)
		}
		for to, why := range want {
			if got[to] != why {
				t.Errorf("%s to %q: %q; want %q", domain, to, got[to], why)
			}
		}
	}
	if p.Mails == 0 || p.HeldBack[string(gate.TooNew)] == 0 {
		t.Errorf("the plan has %d mails, held back %v", p.Mails, p.HeldBack)
	}
}

func TestPlanCountsCaps(t *testing.T) {
	p, _ := planOf(t, func(cfg *config.Config, _ *planning) { cfg.Reports.MaxNewHosts = 1 })
	if got := p.HeldBack[string(gate.NewHostsCap)]; got == 0 {
		t.Errorf("held back: %v; want the cap of new hosts", p.HeldBack)
	}
	p, _ = planOf(t, func(cfg *config.Config, w *planning) {
		cfg.Reports.MaxNewHosts, cfg.Reports.MaxPerDay = 1, 1
		w.begun = true
	})
	if p.Mails != 1 || p.HeldBack[string(gate.DayCap)] == 0 {
		t.Errorf("%d mails, held back: %v; want one, and the cap of the day", p.Mails, p.HeldBack)
	}
}

func TestPlanFailsWhenADocumentCannotBeWritten(t *testing.T) {
	cfg := config.Default()
	cfg.Store.Path = t.TempDir() + "/results.db"
	cfg.Reports.MaxXMLSize = 1 // nothing fits
	w := &planning{store: rows{list: reporttest.Rows(7, 3)}, day: reporttest.Day.Begin, now: reporttest.Day.End}
	var out, warn bytes.Buffer
	if err := w.run(t.Context(), &out, &warn, &cfg, nil); err == nil || !strings.Contains(err.Error(), "cannot be written") || !strings.Contains(out.String(), whyInvalid) {
		t.Errorf("Plan = %v, %s; want an error, and the line of the report", err, out.String())
	}
}
