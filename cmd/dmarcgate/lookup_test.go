package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/internal/dnstest"
	"dmarcgate/policy"
)

const lookupZone = `
bank.example.                TXT "v=spf1 -all"
bank.example.                SOA ns.bank.example. Host\.Master.bank.example. 1 2 3 4 300
_dmarc.bank.example. 600     TXT "v=DMARC1; p=reject; sp=quarantine; pct=abc; rua=mailto:d@bank.example,dmarc@bank.example"
news.bank.example.           A   192.0.2.1
shop.example.                MX  10 mx.shop.example.
shop.example.                TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.shop.example.         TXT "v=DMARC1; p=reject; sp=none; np=quarantine; rua=mailto:x@mail.shop.example,mailto:x@reports.example,mailto:x@no.example,mailto:x@lame.example,https://shop.example/; ruf=mailto:f@reports.example,mailto:f@moved.example"
mail.shop.example.           A   192.0.2.1
shop.example._report._dmarc.reports.example. TXT "v=DMARC1; rua=mailto:y@reports.example"
shop.example._report._dmarc.moved.example.   TXT "v=DMARC1; ruf=mailto:y@elsewhere.example"
shop.example._report._dmarc.no.example.      TXT "v=spf1 -all"
quiet.example.               MX  0 .
test.example.                TXT "v=spf1 foo"
_dmarc.test.example.         TXT "v=DMARC1; p=quarantine; pct=30; t=n"
two.example.                 TXT "v=spf1 -all"
two.example.                 TXT "v=spf1 ?all"
_dmarc.two.example.          TXT "v=DMARC1; p=none; rua=mailto:a@two.example"
_dmarc.two.example.          TXT "v=DMARC1; p=reject; rua=mailto:a@two.example"
_dmarc.x.github.io.          TXT "v=DMARC1; p=reject; rua=mailto:a@x.github.io"
_dmarc.deep.x.github.io.     TXT "v=DMARC1; p=none; rua=mailto:a@x.github.io"
_dmarc.y.co.uk.              TXT "v=DMARC1; p=none; rua=mailto:a@y.co.uk"
_dmarc.co.uk.                TXT "v=DMARC1; p=reject"
!servfail _dmarc.broken.example
!servfail shop.example._report._dmarc.lame.example
`

// looked runs lookup with the servers of a zone, and no configuration but that.
func looked(t *testing.T, dns string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return command(append([]string{"lookup", "-c", toolConfig(t, dns)}, args...)...)
}

// shows reports each text that is not in out.
func shows(t *testing.T, out string, texts ...string) {
	t.Helper()
	for _, want := range texts {
		if !strings.Contains(out, want) {
			t.Errorf("lookup prints\n%s\nwant %q in it", out, want)
		}
	}
}

// sightOf runs lookup --json.
func sightOf(t *testing.T, dns, domain string) (int, sight) {
	t.Helper()
	code, out, _ := looked(t, dns, "--json", domain)
	var s sight
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("lookup --json %s prints %q: %v", domain, out, err)
	}
	return code, s
}

func TestLookupRefusesAWrongCommandLine(t *testing.T) {
	for about, tt := range map[string]struct {
		args []string
		text string
	}{
		"no domain":               {[]string{"lookup"}, "one domain, or --batch"},
		"a domain and a batch":    {[]string{"lookup", "a.example", "--batch", "-"}, "one domain, or --batch"},
		"what is no domain":       {[]string{"lookup", "a b"}, "not a domain"},
		"an address":              {[]string{"lookup", "192.0.2.1"}, "not a domain"},
		"mail text as JSON":       {[]string{"lookup", "a.example", "--json", "--mail-text"}, "--mail-text goes with one domain"},
		"mail text of many":       {[]string{"lookup", "--batch", "-", "--mail-text"}, "--mail-text goes with one domain"},
		"a flag that is not ours": {[]string{"lookup", "a.example", "--xml"}, "--xml"},
	} {
		if code, out, stderr := command(tt.args...); code != exitUsage || !strings.Contains(stderr, tt.text) || out != "" {
			t.Errorf("%s: run(%q) = %d, %q, %q; want %d and %q", about, tt.args, code, out, stderr, exitUsage, tt.text)
		}
	}
}

func TestLookupShowsTheRecordAndItsDefects(t *testing.T) {
	dns := dnstest.New(t, lookupZone)
	code, out, stderr := looked(t, dns.Addr(), "News.Bank.Example.")
	if code != 1 || !strings.Contains(stderr, "news.bank.example: a defect changes what its record means") {
		t.Errorf("lookup of a record with a defect = %d, %s; want 1 and why", code, stderr)
	}
	shows(t, out,
		"news.bank.example\n├─ record: v=DMARC1; p=reject; sp=quarantine; pct=abc", "found at bank.example (its organizational domain)",
		"policy for failing mail of news.bank.example: quarantine, pct=100",
		`bad_pct in _dmarc.bank.example, at byte 39: "abc"; it changes what the record means`, "mend: write a whole number from 0 to 100",
		`bad_uri in _dmarc.bank.example, at byte 70: "dmarc@bank.example"`,
		"TXT _dmarc.news.bank.example (miss, age 0s, TTL 5m0s)\n   │  └─ no such name",
		"TXT _dmarc.bank.example (miss, age 0s, TTL 10m0s)\n   │  └─ \"v=DMARC1; p=reject",
	)
	walk := []string{"TXT _dmarc.news.bank.example", "TXT _dmarc.bank.example", "TXT _dmarc.example"}
	if at := []int{strings.Index(out, walk[0]), strings.Index(out, walk[1]), strings.Index(out, walk[2])}; !slices.IsSorted(at) || at[0] < 0 {
		t.Errorf("lookup prints\n%s\nwant the names in the order of the walk: %q", out, walk)
	}
}

func TestLookupOfAGoodRecordIsASuccess(t *testing.T) {
	dns := dnstest.New(t, "_dmarc.good.example. TXT \"v=DMARC1; p=reject; rua=mailto:x@good.example\"\ngood.example. MX 1 mx.good.example.\ngood.example. TXT \"v=spf1 mx -all\"\nmx.good.example. A 192.0.2.1")
	code, out, stderr := looked(t, dns.Addr(), "good.example")
	if code != 0 || stderr != "" {
		t.Errorf("lookup = %d, %q; want 0", code, stderr)
	}
	shows(t, out, "defects: none", "rua mailto:x@good.example: of the same organization")
	if strings.Contains(out, "remarks") {
		t.Errorf("lookup prints\n%s\nwant no remark", out)
	}
}

func TestLookupWorksWithoutAConfiguration(t *testing.T) {
	dns := dnstest.New(t, lookupZone)
	code, out, stderr := command("lookup", "--dns", dns.Addr(), "quiet.example")
	if code != 0 {
		t.Fatalf("lookup = %d, %s; want 0 without a configuration file", code, stderr)
	}
	shows(t, out, "record: none")
}

func TestLookupTellsADomainThatCannotBeLookedUp(t *testing.T) {
	dns := dnstest.New(t, lookupZone)
	code, out, stderr := looked(t, dns.Addr(), "broken.example")
	if code != 1 || !strings.Contains(stderr, "broken.example cannot be looked up") {
		t.Errorf("lookup = %d, %s; want 1 and that it cannot be looked up", code, stderr)
	}
	shows(t, out, "record: not known: ", "TXT _dmarc.broken.example (miss)\n", "no answer: ", "strict: tempfail")
	if code, s := sightOf(t, dns.Addr(), "broken.example"); code != 1 || s.Error == "" || s.Result != "temperror" {
		t.Errorf("lookup --json = %d, %+v; want 1, the error and temperror", code, s)
	}
}

func TestLookupShowsWhatFailingMailWouldGet(t *testing.T) {
	dns := dnstest.New(t, lookupZone)
	for domain, want := range map[string][]string{
		"bank.example":      {"monitor 100 accept none", "conformant 100 tag quarantine", "strict 100 reject reject"},
		"news.bank.example": {"monitor 100 accept none", "conformant 100 tag quarantine", "strict 100 tag quarantine"},
		"test.example":      {"monitor 100 accept none", "conformant 30 tag quarantine", "conformant 70 accept none", "strict 30 tag quarantine", "strict 70 accept none"},
		"quiet.example":     {"monitor 100 accept none", "conformant 100 accept none", "strict 100 accept none"},
	} {
		_, s := sightOf(t, dns.Addr(), domain)
		var got []string
		for _, f := range s.Failing {
			got = append(got, fmt.Sprintf("%s %d %s %s", f.Profile, f.Percent, f.Action, f.Disposition))
			if f.Reason == "" && s.Source != "none" {
				t.Errorf("%s under %s has no reason", domain, f.Profile)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("failing mail of %s = %q; want %q", domain, got, want)
		}
	}
}

func TestLookupComparesTheTwoWaysToFindARecord(t *testing.T) {
	dns := dnstest.New(t, lookupZone)
	for domain, want := range map[string]struct {
		walk, psl string // organizational domain and policy domain
		differ    bool
	}{
		"deep.x.github.io": {"x.github.io at deep.x.github.io", "x.github.io at deep.x.github.io", false},
		"y.co.uk":          {"co.uk at y.co.uk", "y.co.uk at y.co.uk", true},
		"z.y.co.uk":        {"co.uk at co.uk", "y.co.uk at y.co.uk", true},
		"quiet.example":    {"quiet.example at ", "quiet.example at ", false},
	} {
		_, s := sightOf(t, dns.Addr(), domain)
		got := make(map[string]string)
		for _, m := range s.Methods {
			got[m.Method] = m.Org + " at " + m.PolicyDomain
		}
		if got["treewalk"] != want.walk || got["psl"] != want.psl || s.Differ != want.differ {
			t.Errorf("methods of %s = %v, differ %v; want %+v", domain, got, s.Differ, want)
		}
	}
	_, out, _ := looked(t, dns.Addr(), "z.y.co.uk")
	shows(t, out, "DIFFERENT", "tree walk (RFC 9989), as configured here: co.uk; record at co.uk, policy reject", "public suffix list (RFC 7489): y.co.uk; record at y.co.uk, policy none")
}

func TestLookupAsksReportDestinationsForConsent(t *testing.T) {
	dns := dnstest.New(t, lookupZone)
	_, s := sightOf(t, dns.Addr(), "shop.example")
	want := []string{
		"rua mailto:x@mail.shop.example internal",
		"rua mailto:x@reports.example granted [mailto:y@reports.example]",
		"rua mailto:x@no.example refused",
		"rua mailto:x@lame.example unknown",
		"rua https://shop.example/ ignored",
		"ruf mailto:f@reports.example granted",
		"ruf mailto:f@moved.example refused [mailto:y@elsewhere.example]",
	}
	var got []string
	for _, d := range s.Destinations {
		text := fmt.Sprintf("%s %s %s", d.Tag, d.URI, d.Consent)
		if d.Instead != nil {
			text += fmt.Sprint(" ", d.Instead)
		}
		got = append(got, text)
		asked := d.Name == "shop.example._report._dmarc."+d.Host
		if (d.Consent == granted || d.Consent == refused || d.Consent == unknown) != asked || asked != (d.Name != "") {
			t.Errorf("%s asks %q; want the name that must consent, if any", text, d.Name)
		}
		if (d.Why == "") != (d.Consent == internal || d.Consent == granted) {
			t.Errorf("%s says why: %q", text, d.Why)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("destinations = %q; want %q", got, want)
	}
	_, out, _ := looked(t, dns.Addr(), "shop.example")
	shows(t, out, "rua mailto:x@no.example: elsewhere, and does NOT consent", "rua mailto:x@lame.example: not known whether it consents",
		"asked: TXT shop.example._report._dmarc.no.example", "servfail")
}

func TestAnExternalDestinationByTreeWalkMayBeInternalByTheList(t *testing.T) {
	dns := dnstest.New(t, "_dmarc.a.shop.example. TXT \"v=DMARC1; p=reject; rua=mailto:x@shop.example\"\na.shop.example. MX 0 .")
	if _, s := sightOf(t, dns.Addr(), "a.shop.example"); len(s.Destinations) != 1 || s.Destinations[0].Consent != refused {
		t.Errorf("by tree walk: %+v; want refused", s.Destinations)
	}
	cfg := write(t, "psl.toml", fmt.Sprintf("authserv_id = \"mx.example\"\n[[listener]]\nname = \"mta\"\naddress = \"unix:/run/x.sock\"\nprofile = \"strict\"\n[discovery]\nmethod = \"psl\"\n[dns]\nservers = [%q]\n", dns.Addr()))
	_, out, _ := command("lookup", "-c", cfg, "a.shop.example")
	shows(t, out, "rua mailto:x@shop.example: of the same organization", "public suffix list (RFC 7489), as configured here")
}

func TestANameTooLongToConsentIsRefusedWithoutAQuestion(t *testing.T) {
	host := strings.Repeat(strings.Repeat("h", 62)+".", 3) + "example"
	author := strings.Repeat("a", 63) + ".bank.example"
	dns := dnstest.New(t, fmt.Sprintf("_dmarc.%s. TXT \"v=DMARC1; p=reject; rua=mailto:x@%s\"\n!any", author, host))
	_, s := sightOf(t, dns.Addr(), author)
	if len(s.Destinations) != 1 || s.Destinations[0].Consent != refused || !strings.Contains(s.Destinations[0].Why, "longer than") {
		t.Errorf("destinations = %+v; want one refused for its length", s.Destinations)
	}
	for _, q := range dns.Queries() {
		if strings.Contains(q, "_report") {
			t.Errorf("asked %s; want no question", q)
		}
	}
}

func TestLookupRemarksFactsOnly(t *testing.T) {
	dns := dnstest.New(t, lookupZone)
	for domain, want := range map[string][]string{
		"bank.example":       {"weaker_sp", "never_sends"},
		"shop.example":       {"weaker_sp", "weaker_np"},
		"quiet.example":      {"no_record", "never_sends"},
		"test.example":       {"sampled", "no_rua", "spf_broken"},
		"two.example":        {"no_record", "spf_several"},
		"gone.bank.example":  {"weaker_sp", "spf_missing"},
		"other.shop.example": {"weaker_sp", "weaker_np", "missing_domain", "spf_missing"},
	} {
		_, s := sightOf(t, dns.Addr(), domain)
		var got []string
		for _, r := range s.Remarks {
			got = append(got, r.Kind)
		}
		if !slices.Equal(got, want) {
			t.Errorf("remarks on %s = %q; want %q", domain, s.Remarks, want)
		}
	}
}

func TestADomainThatNeverSendsIsToldWhatToPublish(t *testing.T) {
	dns := dnstest.New(t, lookupZone+"full.example. MX 0 .\nfull.example. TXT \"v=spf1 -ALL\"\n_dmarc.full.example. TXT \"v=DMARC1; p=reject; rua=mailto:a@full.example\"")
	for domain, want := range map[string][]string{
		"bank.example":  {"bank.example. IN MX 0 ."},
		"quiet.example": {`_dmarc.quiet.example. IN TXT "v=DMARC1; p=reject"`, `quiet.example. IN TXT "v=spf1 -all"`},
		"full.example":  nil,
	} {
		_, s := sightOf(t, dns.Addr(), domain)
		last := s.Remarks[len(s.Remarks)-1]
		if last.Kind != "never_sends" || !slices.Equal(last.Publish, want) {
			t.Errorf("last remark on %s = %+v; want never_sends and %q", domain, last, want)
		}
	}
}

func TestLookupLeavesRulesOut(t *testing.T) {
	rules, err := policy.NewRules([]policy.Rule{{
		ID: "all", Owner: "o", Comment: "c", Created: time.Unix(1, 0), Mode: policy.Enforce, Action: policy.RuleReject,
		Reason: policy.Other, Match: policy.Match{Listener: []string{""}, Result: []string{"none", "fail"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	s := newSight(dmarc.Discovery{Author: "a.example"})
	s.judge(policy.Settings{Rules: rules})
	for _, f := range s.Failing {
		if f.Action != policy.Accept {
			t.Errorf("%s under %s; want accept, without rules", f.Action, f.Profile)
		}
	}
}

// jsonNames collects the names of a struct and of what it holds.
func jsonNames(t reflect.Type, names map[string]bool) {
	for t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return
	}
	for f := range t.Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			names[name] = true
			jsonNames(f.Type, names)
		}
	}
}

func TestTheNamesAndKindsOfLookupAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/lookup.md")
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	jsonNames(reflect.TypeFor[sight](), names)
	jsonNames(reflect.TypeFor[summary](), names)
	for c := range consentWords {
		names[string(c)] = true
	}
	source, err := os.ReadFile("lookup_remark.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?:Kind: |add\(.*, )"([a-z_]+)"`).FindAllStringSubmatch(string(source), -1) {
		names[m[1]] = true
	}
	if len(names) < 50 {
		t.Errorf("found %d names; want all", len(names))
	}
	for name := range names {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("docs/lookup.md does not have `%s`", name)
		}
	}
}
