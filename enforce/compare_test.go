package enforce

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"dmarcgate/auth"
	"dmarcgate/auth/dmarc"
	"dmarcgate/internal/dnstest"
	"dmarcgate/milter"
	"dmarcgate/policy"
)

// compared lets the rig ask by the list, too, at once as from a cache.
func (r *rig) compared(zone *dnstest.Zone) {
	r.checker.Other = &dmarc.Finder{Resolver: zone, Method: dmarc.PSL}
	r.checker.CacheOnly = func() auth.CacheOnly {
		return auth.CacheOnly{SPF: zone, DKIM: zone, DMARC: zone, Complete: func() bool { return true }}
	}
	r.use()
}

// The record of sub.bank.example is its own organization by the tree walk
// (psd=n) and a part of bank.example by the list.
const twoMethodsZone = `
bank.example.            TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.bank.example.     TXT "v=DMARC1; p=none"
_dmarc.sub.bank.example. TXT "v=DMARC1; p=reject; psd=n"
same.example.            A   192.0.2.9
_dmarc.same.example.     TXT "v=DMARC1; p=reject"
`

func TestCompareCountsLogsAndStoresDifferences(t *testing.T) {
	for _, tt := range []struct {
		name, from, mailFrom string
		want                 []string
	}{
		{"another organization, so that SPF is aligned", "sub.bank.example", "a@bank.example", []string{"org", "verdict", "disposition"}},
		{"another organization, and nothing passes", "sub.bank.example", "a@same.example", []string{"org"}},
		{"nothing", "same.example", "a@same.example", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			zone := dnstest.NewZone(t, twoMethodsZone+"!any\n")
			r := newRig(t, twoMethodsZone+"!any\n")
			r.compared(zone)
			r.send(milter.Envelope{Client: good, MailFrom: tt.mailFrom}, "From: a@"+tt.from)
			if got := r.store.rows[0].Facts.Authors[0].Differs; !slices.Equal(got, tt.want) {
				t.Errorf("differs = %q; want %q", got, tt.want)
			}
			if logged := strings.Contains(r.log.String(), "give different results"); logged != (tt.want != nil) {
				t.Errorf("log:\n%s\nwant the difference in it: %v", r.log, tt.want != nil)
			}
			outcome := map[bool]string{true: "same", false: "different"}[tt.want == nil]
			wantCounter(t, r, "dmarcgate_discovery_compared_total", outcome)
			for _, what := range tt.want {
				wantCounter(t, r, "dmarcgate_discovery_differences_total", what)
			}
			set := r.set.Policy
			if again := set.Decide(r.store.rows[0].Facts); again.Action != r.store.rows[0].Decision.Action {
				t.Errorf("decided again: %v; want %v", again.Action, r.store.rows[0].Decision.Action)
			}
		})
	}
}

// wantCounter wants a series at 1.
func wantCounter(t *testing.T, r *rig, name, label string) {
	t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == label {
				if m.GetCounter().GetValue() != 1 {
					t.Errorf("%s{%s} = %v; want 1", name, label, m.GetCounter().GetValue())
				}
				return
			}
		}
	}
	t.Errorf("no %s{%s}", name, label)
}

// late answers when the message is over.
type late struct{ *dnstest.Zone }

func (l late) TXT(ctx context.Context, _ string) ([]string, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestCompareDoesNotWaitForOtherMethod(t *testing.T) {
	r := newRig(t, twoMethodsZone+"!any\n")
	r.checker.Other = &dmarc.Finder{Resolver: late{dnstest.NewZone(t, twoMethodsZone)}, Method: dmarc.PSL}
	r.use()
	r.send(milter.Envelope{Client: good, MailFrom: "a@same.example"}, "From: a@same.example")
	if got := fmt.Sprint(r.store.rows[0].Facts.Authors[0].Differs); got != "[unready]" {
		t.Errorf("differs = %s; want [unready]", got)
	}
	wantCounter(t, r, "dmarcgate_discovery_compared_total", "unready")
}

func TestEvidenceHasSeriesForEachWord(t *testing.T) {
	r := newRig(t, bankZone)
	for _, e := range policy.Evidences() {
		r.gate.Metrics.Evidence(string(e))
	}
	n, err := testutil.GatherAndCount(r.reg, "dmarcgate_conformant_evidence_total")
	if err != nil || n != len(policy.Evidences()) {
		t.Errorf("series of conformant_evidence_total = %d, %v; want %d, none of them \"other\"", n, err, len(policy.Evidences()))
	}
	for _, d := range dmarc.Differences() {
		r.gate.Metrics.Compared([]string{d.String()})
	}
	r.gate.Metrics.Compared([]string{differsDisposition})
	if n, err := testutil.GatherAndCount(r.reg, "dmarcgate_discovery_differences_total"); err != nil || n != len(dmarc.Differences())+1 {
		t.Errorf("series of discovery_differences_total = %d, %v; want %d", n, err, len(dmarc.Differences())+1)
	}
}
