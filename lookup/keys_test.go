package lookup

import (
	"encoding/json"
	"strings"
	"testing"

	"dmarcgate/internal/dkimtest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/term"
)

func TestLookupShowsKeysOfSelectors(t *testing.T) {
	key, err := dkimtest.RSA(1024)
	if err != nil {
		t.Fatal(err)
	}
	dns := dnstest.New(t, `
_dmarc.shop.example. TXT "v=DMARC1; p=reject; rua=mailto:a@shop.example"
old._domainkey.shop.example. TXT "v=DKIM1; p="
`+key.Zone("s1", "shop.example")+"!servfail lame._domainkey.shop.example\n!any\n")
	o := options(t, dns.Addr())
	o.Selectors = []string{"s1", "old", "none", "lame"}
	var out strings.Builder
	failure := term.ErrorText(Domain(t.Context(), &out, "shop.example", o))
	if failure != "shop.example: no usable DKIM key of selector old" {
		t.Errorf("Domain = %q; want an error that names the selector", failure)
	}
	for _, want := range []string{
		"DKIM key of selector s1\n│  └─ found at s1._domainkey.shop.example: rsa, 1024 bits\n│     └─ 1024 bits: signers should use at least 2048",
		"found at old._domainkey.shop.example: rsa, UNUSABLE\n│     └─ key revoked\n",
		"NO KEY at none._domainkey.shop.example: no key record\n",
		"DKIM key of selector lame\n│  └─ not known: ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lookup --selector prints\n%s\nwant %q", out.String(), want)
		}
	}
	o.Selectors, o.JSON = []string{"s1"}, true
	out.Reset()
	var got domainReport
	if err := Domain(t.Context(), &out, "shop.example", o); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil || len(got.Keys) != 1 || got.Keys[0].Records[0].Bits != 1024 {
		t.Errorf("lookup --selector --json = %+v, %v; want one key of 1024 bits", got.Keys, err)
	}
}

func TestLookupShowsTheTermsOfSPF(t *testing.T) {
	zone := `
_dmarc.few.example. TXT "v=DMARC1; p=reject; rua=mailto:a@few.example"
few.example. TXT "v=spf1 include:_spf.few.example a:gone.example ~all"
_spf.few.example. TXT "v=spf1 a:host.example mx ip4:192.0.2.1 -all"
host.example. A 192.0.2.2
_spf.few.example. MX 10 host.example.
_dmarc.many.example. TXT "v=DMARC1; p=reject; rua=mailto:a@many.example"
many.example. TXT "v=spf1` + strings.Repeat(" a:host.example", 11) + ` -all"
!any
`
	dns := dnstest.New(t, zone)
	out, _ := looked(t, dns.Addr(), "few.example")
	const want = "SPF needs at most 4 of 10 DNS terms, 1 of 2 find nothing (RFC 7208, Section 4.6.4)\n" +
		"│  ├─ include:_spf.few.example (3 terms)\n│  │  ├─ a:host.example\n│  │  └─ mx\n│  └─ a:gone.example: finds nothing\n"
	if !strings.Contains(out, want) {
		t.Errorf("lookup prints\n%s\nwant %s", out, want)
	}
	out, _ = looked(t, dns.Addr(), "many.example")
	if !strings.Contains(out, "SPF needs at most 11 of 10 DNS terms") || !strings.Contains(out, "BEYOND THE LIMIT") {
		t.Errorf("lookup prints\n%s\nwant that the limit is passed", out)
	}
}
