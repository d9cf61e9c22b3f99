package identity

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dmarcgate/auth"
	"dmarcgate/auth/dmarc"
	"dmarcgate/internal/dkimtest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/report/gate"
)

// rig is a site with its key and what its zone has.
type rig struct {
	key  dkimtest.Key
	id   gate.Identity
	zone map[string]string // by what a test replaces
	from string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	key, err := dkimtest.Ed25519()
	if err != nil {
		t.Fatal(err)
	}
	id := gate.Identity{
		Organization: "Example", Email: "dmarc@reports.example.org", Submitter: "mx1.reports.example.org", BounceDomain: "bounces.example.org",
		Selector: "r1", Key: "v=DKIM1; k=ed25519; p=" + key.Public(""), Smarthost: "127.0.0.1:25",
	}
	return &rig{key: key, id: id, from: id.Email, zone: map[string]string{
		"key":     key.Zone("r1", "reports.example.org"),
		"dmarc":   `_dmarc.reports.example.org. TXT "v=DMARC1; p=reject"`,
		"email":   "reports.example.org. MX 10 mail.example.org.",
		"bounces": "bounces.example.org. MX 10 mail.example.org.",
		"spf":     `bounces.example.org. TXT "v=spf1 ip4:192.0.2.1 -all"`,
		"other":   "!any",
	}}
}

// findings returns what Check finds, each as "key: text".
func (r *rig) findings(t *testing.T) (list []string, verified bool) {
	t.Helper()
	var lines []string
	for _, l := range r.zone {
		lines = append(lines, l)
	}
	z := dnstest.NewZone(t, strings.Join(lines, "\n"))
	mail, err := r.key.Sign([]byte("From: Example <"+r.from+">\r\nSubject: Report Domain: bank.example\r\n\r\nhello\r\n"), r.id.Email[strings.Index(r.id.Email, "@")+1:], "r1")
	if err != nil {
		t.Fatal(err)
	}
	checker := &auth.Checker{SPF: z, DKIM: z, Finder: &dmarc.Finder{Resolver: z}, Budget: time.Minute}
	found := Check(t.Context(), checker, z, r.id, mail)
	for _, f := range found {
		text := f.Key + ": " + f.Text
		if f.Temporary {
			text = "temporary " + text
		}
		if f.Warning {
			text = "warning " + text
		}
		if f.Fix == "" {
			t.Errorf("%s has no fix", text)
		}
		list = append(list, text)
	}
	return list, Problem(found) == ""
}

func TestCheckFindsWhatKeepsReportsFromBeingAccepted(t *testing.T) {
	other, err := dkimtest.Ed25519()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(*rig)
		want   []string // beginnings
	}{
		{"all is well", func(*rig) {}, nil},
		{"the record of the organization applies", func(r *rig) { r.zone["dmarc"] = `_dmarc.example.org. TXT "v=DMARC1; p=none"` }, nil},
		{"strict alignment", func(r *rig) {
			r.zone["dmarc"] = `_dmarc.reports.example.org. TXT "v=DMARC1; p=reject; adkim=s; aspf=s"`
		}, nil},
		{"addresses instead of MX", func(r *rig) {
			r.zone["email"], r.zone["bounces"] = "reports.example.org. A 192.0.2.1", "bounces.example.org. AAAA 2001:db8::1"
		}, nil},
		{"one domain for both", func(r *rig) {
			r.id.BounceDomain, r.zone["bounces"], r.zone["spf"] = "reports.example.org", "", `reports.example.org. TXT "v=spf1 -all"`
		}, nil},
		{"no DMARC record", func(r *rig) { r.zone["dmarc"] = "" }, []string{"email: reports.example.org has no DMARC record"}},
		{"DMARC record not known", func(r *rig) { r.zone["dmarc"] = "!servfail _dmarc.reports.example.org" }, []string{"temporary email: the DMARC record of reports.example.org"}},
		{"no key", func(r *rig) { r.zone["key"] = "" }, []string{"selector: the key at r1._domainkey.reports.example.org cannot be used"}},
		{"key not known", func(r *rig) { r.zone["key"] = "!servfail r1._domainkey.reports.example.org" }, []string{"temporary selector: the key r1._domainkey.reports.example.org"}},
		{"another key", func(r *rig) { r.zone["key"] = other.Zone("r1", "reports.example.org") }, []string{"key_file: the key at r1._domainkey.reports.example.org is not the key of key_file"}},
		{"a key that is withdrawn", func(r *rig) { r.zone["key"] = `r1._domainkey.reports.example.org. TXT "v=DKIM1; k=ed25519; p="` }, []string{"selector: the key at r1._domainkey.reports.example.org cannot be used"}},
		{"a key in test mode", func(r *rig) { r.zone["key"] = strings.Replace(r.zone["key"], "v=DKIM1;", "v=DKIM1; t=y;", 1) }, []string{"selector: the key at r1._domainkey.reports.example.org is in test mode"}},
		{"a key for another service", func(r *rig) { r.zone["key"] = strings.Replace(r.zone["key"], "v=DKIM1;", "v=DKIM1; s=web;", 1) }, []string{"selector: the key at r1._domainkey.reports.example.org cannot be used"}},
		{"another selector", func(r *rig) { r.id.Selector = "r2" }, []string{"key_file: report mail is not signed"}},
		{"mail from another domain", func(r *rig) { r.from = "dmarc@bank.example" }, []string{"email: report mail is not from one address at reports.example.org"}},
		{"no MX and no address", func(r *rig) { r.zone["email"] = "" }, []string{"email: reports.example.org has no MX record and no address"}},
		{"null MX", func(r *rig) { r.zone["email"] = "reports.example.org. MX 0 ." }, []string{"email: reports.example.org takes no mail (null MX"}},
		{"MX not known", func(r *rig) { r.zone["email"] = "!servfail reports.example.org MX" }, []string{"temporary email: the MX record of reports.example.org"}},
		{"address not known", func(r *rig) { r.zone["email"] = "reports.example.org. TXT x\n!servfail reports.example.org A" }, []string{"temporary email: the address of reports.example.org"}},
		{"no MX of the bounce domain", func(r *rig) { r.zone["bounces"] = "" }, []string{"bounce_domain: bounces.example.org has no MX record and no address"}},
		{"null MX of the bounce domain", func(r *rig) { r.zone["bounces"] = "bounces.example.org. MX 0 ." }, []string{"bounce_domain: bounces.example.org takes no mail"}},
		{"no SPF record", func(r *rig) { r.zone["spf"] = "" }, []string{"warning bounce_domain: bounces.example.org has no SPF record"}},
		{"a submitter of another organization", func(r *rig) { r.id.Submitter = "mx.bank.example" }, []string{"warning submitter: mx.bank.example is not in the organization of reports.example.org"}},
		{"nothing set", func(r *rig) { r.id = gate.Identity{Email: "dmarc@reports.example.org"} }, []string{
			"organization: is not set", "submitter: is not set", "bounce_domain: is not set", "selector: is not set", "key_file: is not set", "smarthost: is not set"}},
		{"several faults", func(r *rig) { r.zone["dmarc"], r.zone["key"], r.zone["email"], r.zone["bounces"] = "", "", "", "" }, []string{
			"selector: the key", "email: reports.example.org has no DMARC record", "email: reports.example.org has no MX record", "bounce_domain: bounces.example.org has no MX record"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			tt.change(r)
			got, verified := r.findings(t)
			if len(got) != len(tt.want) {
				t.Fatalf("findings = %q; want %q", got, tt.want)
			}
			wantVerified := true
			for i, want := range tt.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("finding %d = %q; want %q", i, got[i], want)
				}
				wantVerified = wantVerified && strings.HasPrefix(want, "warning")
			}
			if verified != wantVerified {
				t.Errorf("Verified of %q = %v; want %v", got, verified, wantVerified)
			}
		})
	}
}

func TestCheckNamesTheRecordToPublish(t *testing.T) {
	r := newRig(t)
	r.zone["key"] = ""
	z := dnstest.NewZone(t, strings.Join([]string{r.zone["dmarc"], r.zone["email"], r.zone["bounces"], r.zone["spf"], "!any"}, "\n"))
	mail, err := r.key.Sign([]byte("From: "+r.from+"\r\nSubject: x\r\n\r\nhello\r\n"), "reports.example.org", "r1")
	if err != nil {
		t.Fatal(err)
	}
	found := Check(t.Context(), &auth.Checker{SPF: z, DKIM: z, Finder: &dmarc.Finder{Resolver: z}, Budget: time.Minute}, z, r.id, mail)
	want := fmt.Sprintf("publish r1._domainkey.reports.example.org TXT %q", r.id.Key)
	if len(found) != 1 || found[0].Fix != want {
		t.Errorf("findings = %+v; want the fix %s", found, want)
	}
}
