package enforce

import (
	"context"
	"strings"
	"testing"

	"dmarcgate/auth/dmarc"
	"dmarcgate/internal/dnstest"
	"dmarcgate/milter"
	"dmarcgate/policy"
)

// aged is a zone whose TXT records are old.
type aged struct{ *dnstest.Zone }

func (a aged) TXT(ctx context.Context, name string) ([]string, error) {
	txts, err := a.Zone.TXT(ctx, name)
	if err == nil {
		err = staleAnswer{}
	}
	return txts, err
}

type staleAnswer struct{}

func (staleAnswer) Error() string { return "no newer answer" }
func (staleAnswer) Stale() bool   { return true }
func (staleAnswer) Ours() bool    { return true }

func TestRowAndLogLineMarkStaleAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		client bool // it may send for bank.example
		old    bool
		want   dmarc.Status
		field  string // in Authentication-Results
	}{
		{"a pass", true, false, dmarc.Pass, "spf=pass smtp"},
		{"a pass on a stale answer", true, true, dmarc.Pass, "spf=pass smtp"},
		{"a fail", false, false, dmarc.Fail, ""},
		{"no pass on a stale answer", false, true, dmarc.TempError, `spf=temperror reason="matched all; stale DNS answer"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, bankZone)
			if tt.old {
				dns := aged{r.checker.SPF.(*dnstest.Zone)}
				r.checker.SPF, r.checker.DKIM, r.checker.Finder = dns, dns, &dmarc.Finder{Resolver: dns}
			}
			r.use()
			env := milter.Envelope{Client: evil, MailFrom: "a@bank.example"}
			if tt.client {
				env.Client = good
			}
			a := r.send(env, "From: a@bank.example")
			f := r.store.rows[0].Facts
			if f.Stale != tt.old || f.Authors[0].Verdict.Status != tt.want {
				t.Errorf("facts = %+v; want Stale %v, %v", f, tt.old, tt.want)
			}
			if got := strings.Contains(r.log.String(), " stale=yes "); got != tt.old {
				t.Errorf("log = %s; want stale=yes: %v", r.log, tt.old)
			}
			if tt.want == dmarc.Fail {
				return
			}
			if got := a.Edits[len(a.Edits)-1].String(); !strings.Contains(strings.Join(strings.Fields(got), " "), tt.field) {
				t.Errorf("field = %s; want %s", got, tt.field)
			}
			if d := r.store.rows[0].Decision; tt.want == dmarc.TempError && d.Action != policy.Tag {
				t.Errorf("decision = %+v; want that of a fault of ours", d)
			}
		})
	}
}
