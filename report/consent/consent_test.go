package consent

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"dmarcgate/auth/dmarc"
	"dmarcgate/dnscache"
	"dmarcgate/internal/dnstest"
)

const zone = `
_dmarc.shop.example.         TXT "v=DMARC1; p=reject; rua=mailto:x@mail.shop.example,mailto:x@reports.example,mailto:x@no.example,mailto:x@lame.example,https://shop.example/; ruf=mailto:f@reports.example,mailto:f@moved.example"
mail.shop.example.           A   192.0.2.1
shop.example._report._dmarc.reports.example. TXT "v=DMARC1; rua=mailto:y@reports.example"
shop.example._report._dmarc.moved.example.   TXT "v=DMARC1; ruf=mailto:y@elsewhere.example"
shop.example._report._dmarc.no.example.      TXT "v=spf1 -all"
!servfail shop.example._report._dmarc.lame.example
`

func resolver(t *testing.T, addr string) *dnscache.Resolver {
	t.Helper()
	dns, err := dnscache.New(dnscache.Config{Servers: []string{addr}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dns.Close)
	return dns
}

// checked finds the record of a domain and checks its destinations.
func checked(t *testing.T, addr string, m dmarc.Method, domain string) ([]Destination, []dnscache.Lookup) {
	t.Helper()
	c := Checker{DNS: resolver(t, addr), Method: m}
	d, _ := c.Find(t.Context(), m, domain)
	if d.Err != nil {
		t.Fatal(d.Err)
	}
	return c.Check(t.Context(), d)
}

func TestCheckAsksTheHostOfEachDestination(t *testing.T) {
	got, queried := checked(t, dnstest.New(t, zone).Addr(), dmarc.TreeWalk, "shop.example")
	want := []string{
		"rua mailto:x@mail.shop.example internal",
		"rua mailto:x@reports.example granted [mailto:y@reports.example]",
		"rua mailto:x@no.example refused",
		"rua mailto:x@lame.example unknown",
		"rua https://shop.example/ ignored",
		"ruf mailto:f@reports.example granted",
		"ruf mailto:f@moved.example refused [mailto:y@elsewhere.example]",
	}
	var texts []string
	for _, d := range got {
		text := fmt.Sprintf("%s %s %s", d.Tag, d.URI, d.Consent)
		if d.Instead != nil {
			text += fmt.Sprint(" ", d.Instead)
		}
		texts = append(texts, text)
		named := d.Name == "shop.example._report._dmarc."+d.Host
		if (d.Consent == Granted || d.Consent == Refused || d.Consent == Unknown) != named || named != (d.Name != "") {
			t.Errorf("%s asks %q; want the name that must consent, if any", text, d.Name)
		}
		if (d.Why == "") != (d.Consent == Internal || d.Consent == Granted) {
			t.Errorf("%s says why: %q", text, d.Why)
		}
		if named && !slices.ContainsFunc(queried, func(l dnscache.Lookup) bool { return l.Name == d.Name }) {
			t.Errorf("the lookups do not have %s", d.Name)
		}
	}
	if !slices.Equal(texts, want) {
		t.Errorf("destinations = %q; want %q", texts, want)
	}
}

func TestCheckMayFindADestinationExternalByTreeWalkAndInternalByTheList(t *testing.T) {
	dns := dnstest.New(t, "_dmarc.a.shop.example. TXT \"v=DMARC1; p=reject; rua=mailto:x@shop.example\"\na.shop.example. MX 0 .")
	for method, want := range map[dmarc.Method]State{dmarc.TreeWalk: Refused, dmarc.PSL: Internal} {
		if got, _ := checked(t, dns.Addr(), method, "a.shop.example"); len(got) != 1 || got[0].Consent != want {
			t.Errorf("by %s: %+v; want %s", method, got, want)
		}
	}
}

func TestCheckRefusesANameTooLongToConsentWithoutAQuestion(t *testing.T) {
	host := strings.Repeat(strings.Repeat("h", 62)+".", 3) + "example"
	author := strings.Repeat("a", 63) + ".bank.example"
	dns := dnstest.New(t, fmt.Sprintf("_dmarc.%s. TXT \"v=DMARC1; p=reject; rua=mailto:x@%s\"\n!any", author, host))
	got, _ := checked(t, dns.Addr(), dmarc.TreeWalk, author)
	if len(got) != 1 || got[0].Consent != Refused || !strings.Contains(got[0].Why, "longer than") {
		t.Errorf("destinations = %+v; want one refused for its length", got)
	}
	for _, q := range dns.Queries() {
		if strings.Contains(q, "_report") {
			t.Errorf("queried %s; want no question", q)
		}
	}
}

func TestFindReturnsTheLookupsInTheOrderOfTheWalk(t *testing.T) {
	_, queried := Checker{DNS: resolver(t, dnstest.New(t, zone).Addr())}.Find(t.Context(), dmarc.TreeWalk, "a.b.shop.example")
	var names []string
	for _, l := range queried {
		if strings.HasPrefix(l.Name, "_dmarc.") {
			names = append(names, l.Name)
		}
	}
	want := []string{"_dmarc.a.b.shop.example", "_dmarc.b.shop.example", "_dmarc.shop.example", "_dmarc.example"}
	if !slices.Equal(names, want) {
		t.Errorf("Find looks up %q; want %q", names, want)
	}
}
