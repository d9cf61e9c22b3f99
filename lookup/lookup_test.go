package lookup

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/dnscache"
	"dmarcgate/internal/dnstest"
	"dmarcgate/policy"
	"dmarcgate/report/consent"
	"dmarcgate/site"
	"dmarcgate/term"
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

// options are those of a configuration with the servers of a zone, and more
// lines of TOML at its end.
func options(t *testing.T, addr string, more ...string) Options {
	t.Helper()
	text := fmt.Sprintf("authserv_id = \"mx.receiver.example\"\nstate_dir = %q\n[[listener]]\nname = \"mta\"\naddress = \"unix:/run/x.sock\"\nprofile = \"strict\"\n[dns]\nservers = [%q]\n%s", t.TempDir(), addr, strings.Join(more, "\n"))
	in, err := site.Load(write(t, "dmarcgate.toml", text), site.SuffixPart)
	if err != nil {
		t.Fatal(err)
	}
	dns, err := site.NewResolver(in.Config, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dns.Close)
	return Options{Site: in, DNS: dns}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// looked returns what Domain prints, and its error as text.
func looked(t *testing.T, addr, domain string) (out, failure string) {
	t.Helper()
	var b strings.Builder
	err := Domain(t.Context(), &b, domain, options(t, addr))
	return b.String(), term.ErrorText(err)
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

// reportOf reads what Domain prints as JSON.
func reportOf(t *testing.T, addr, domain string) (s domainReport, failure string) {
	t.Helper()
	o := options(t, addr)
	o.JSON = true
	var b strings.Builder
	err := Domain(t.Context(), &b, domain, o)
	if bad := json.Unmarshal([]byte(b.String()), &s); bad != nil {
		t.Fatalf("Domain of %s prints %q: %v", domain, b.String(), bad)
	}
	return s, term.ErrorText(err)
}

func TestLookupShowsTheRecordAndItsDefects(t *testing.T) {
	dns := dnstest.New(t, lookupZone)
	out, failure := looked(t, dns.Addr(), "news.bank.example")
	if failure != "news.bank.example: a defect changes the meaning of the record" {
		t.Errorf("lookup of a record with a defect = %q; want an error that says why", failure)
	}
	shows(t, out,
		"news.bank.example\n├─ record: v=DMARC1; p=reject; sp=quarantine; pct=abc", "found at bank.example (its organizational domain)",
		"policy for failing mail of news.bank.example: quarantine, pct=100",
		`bad_pct in _dmarc.bank.example, at byte 39: "abc"; changes the meaning of the record`, "fix: write a whole number from 0 to 100",
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
	out, failure := looked(t, dns.Addr(), "good.example")
	if failure != "" {
		t.Errorf("lookup = %q; want no error", failure)
	}
	shows(t, out, "defects: none", "rua mailto:x@good.example: of the same organization")
	if strings.Contains(out, "remarks") {
		t.Errorf("lookup prints\n%s\nwant no remark", out)
	}
}

func TestLookupReportsFailedDomain(t *testing.T) {
	dns := dnstest.New(t, lookupZone)
	out, failure := looked(t, dns.Addr(), "broken.example")
	if !strings.Contains(failure, "broken.example cannot be looked up") {
		t.Errorf("lookup = %q; want that it cannot be looked up", failure)
	}
	shows(t, out, "record: not known: ", "TXT _dmarc.broken.example (miss)\n", "no answer: ", "strict: tempfail")
	if s, failure := reportOf(t, dns.Addr(), "broken.example"); failure == "" || s.Error == "" || s.Result != "temperror" {
		t.Errorf("lookup as JSON = %q, %+v; want the error twice and temperror", failure, s)
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
		s, _ := reportOf(t, dns.Addr(), domain)
		var got []string
		for _, f := range s.Failing {
			got = append(got, fmt.Sprintf("%s %d %s %s", f.Profile, f.Percent, f.Action, f.Disposition))
			if f.Why == "" && s.Source != "none" {
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
		s, _ := reportOf(t, dns.Addr(), domain)
		got := make(map[string]string)
		for _, m := range s.Methods {
			got[m.Method] = m.Org + " at " + m.PolicyDomain
		}
		if got["treewalk"] != want.walk || got["psl"] != want.psl || s.Differ != want.differ {
			t.Errorf("methods of %s = %v, differ %v; want %+v", domain, got, s.Differ, want)
		}
	}
	out, _ := looked(t, dns.Addr(), "z.y.co.uk")
	shows(t, out, "DIFFERENT", "tree walk (RFC 9989), as configured here: co.uk; record at co.uk, policy reject", "public suffix list (RFC 7489): y.co.uk; record at y.co.uk, policy none")
}

func TestLookupShowsWhetherReportDestinationsConsent(t *testing.T) {
	dns := dnstest.New(t, lookupZone)
	out, _ := looked(t, dns.Addr(), "shop.example")
	shows(t, out, "rua mailto:x@mail.shop.example: of the same organization", "rua mailto:x@reports.example: external, with consent",
		"consent record names: mailto:y@reports.example", "rua mailto:x@no.example: external, WITHOUT consent",
		"rua mailto:x@lame.example: consent not known", "rua https://shop.example/: ignored",
		"queried: TXT shop.example._report._dmarc.no.example", "servfail")
	s, _ := reportOf(t, dns.Addr(), "shop.example")
	if len(s.Destinations) != 7 || s.Destinations[0].Consent != consent.Internal {
		t.Errorf("destinations = %+v; want seven", s.Destinations)
	}
}

func TestLookupByThePublicSuffixListHasItsOrganizations(t *testing.T) {
	dns := dnstest.New(t, "_dmarc.a.shop.example. TXT \"v=DMARC1; p=reject; rua=mailto:x@shop.example\"\na.shop.example. MX 0 .")
	var out strings.Builder
	if err := Domain(t.Context(), &out, "a.shop.example", options(t, dns.Addr(), `[discovery]`, `method = "psl"`)); err != nil {
		t.Fatal(err)
	}
	shows(t, out.String(), "rua mailto:x@shop.example: of the same organization", "public suffix list (RFC 7489), as configured here")
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
		s, _ := reportOf(t, dns.Addr(), domain)
		var got []string
		for _, r := range s.Remarks {
			got = append(got, r.Kind)
		}
		if !slices.Equal(got, want) {
			t.Errorf("remarks on %s = %q; want %q", domain, s.Remarks, want)
		}
	}
}

func TestLookupRemarksDomainThatNeverSends(t *testing.T) {
	dns := dnstest.New(t, lookupZone+"full.example. MX 0 .\nfull.example. TXT \"v=spf1 -ALL\"\n_dmarc.full.example. TXT \"v=DMARC1; p=reject; rua=mailto:a@full.example\"")
	for domain, want := range map[string][]string{
		"bank.example":  {"bank.example. IN MX 0 ."},
		"quiet.example": {`_dmarc.quiet.example. IN TXT "v=DMARC1; p=reject"`, `quiet.example. IN TXT "v=spf1 -all"`},
		"full.example":  nil,
	} {
		s, _ := reportOf(t, dns.Addr(), domain)
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
	s := newDomainReport(dmarc.Discovery{Author: "a.example"})
	s.evaluate(policy.Settings{Rules: rules})
	for _, f := range s.Failing {
		if f.Action != policy.Accept {
			t.Errorf("%s under %s; want accept, without rules", f.Action, f.Profile)
		}
	}
}

func TestLookupShowsAStaleAnswerWithWhatIsWrong(t *testing.T) {
	why := &dnscache.StaleError{Age: time.Hour, Err: &dnscache.Error{Name: "a.example", Type: "TXT", Kind: dnscache.Down}}
	var s domainReport
	s.addLookups([]dnscache.Lookup{{Name: "a.example", Type: "TXT", Outcome: "stale", Records: []string{"old"}, Age: time.Hour, AD: true, Err: why}})
	var b strings.Builder
	root := &term.Node{Text: "x"}
	s.Queried[0].draw(root)
	if err := root.Print(&b); err != nil {
		t.Fatal(err)
	}
	shows(t, b.String(), "TXT a.example (stale, age 1h0m0s, TTL 0s, AD)", "no newer answer: dns: TXT", `"old"`)
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
	text, err := os.ReadFile("../docs/lookup.md")
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	jsonNames(reflect.TypeFor[domainReport](), names)
	jsonNames(reflect.TypeFor[summary](), names)
	for c := range consentWords {
		names[string(c)] = true
	}
	source, err := os.ReadFile("remark.go")
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
