package dmarc

import (
	"fmt"
	"strings"
	"testing"
)

// evaluate runs all three steps for one message.
func evaluate(t *testing.T, dns *fakeDNS, method Method, author string, ids ...Identifier) Verdict {
	t.Helper()
	f, d := find(t, dns, method, author)
	for i, id := range ids {
		ids[i] = f.Identify(t.Context(), id, d)
	}
	return Evaluate(d, ids)
}

func spf(domain string, passed bool) Identifier {
	return Identifier{Mechanism: SPF, Domain: domain, Passed: passed}
}

func dkim(domain string, passed bool) Identifier {
	return Identifier{Mechanism: DKIM, Domain: domain, Passed: passed}
}

// broken is an identifier whose check failed temporarily.
func broken(m Mechanism, domain string, err error) Identifier {
	return Identifier{Mechanism: m, Domain: domain, Err: err}
}

func TestEvaluate(t *testing.T) {
	reject := func() *fakeDNS { return zone("example.com p=reject") }
	tests := []struct {
		name   string
		dns    *fakeDNS
		author string
		ids    []Identifier
		want   Verdict
	}{
		{"no record", zone(), "example.com", []Identifier{dkim("example.com", true)},
			Verdict{Why: "no DMARC record for example.com"}},
		{"no author domain", reject(), "", []Identifier{{}, dkim("", true)}, Verdict{Why: "no author domain"}},
		{"two records", zone("example.com p=reject", "example.com p=none"), "example.com", nil,
			Verdict{Why: "_dmarc.example.com holds 2 DMARC records, which count as none"}},
		{"an equal DKIM pass", reject(), "example.com", []Identifier{spf("example.net", true), dkim("example.com", true)},
			Verdict{Status: Pass, Policy: Reject, Pct: 100, AlignedDKIM: true, Why: "aligned DKIM pass for example.com"}},
		{"both mechanisms", reject(), "example.com", []Identifier{spf("mail.example.com", true), dkim("example.com", true)},
			Verdict{Status: Pass, Policy: Reject, Pct: 100, AlignedSPF: true, AlignedDKIM: true, Why: "aligned SPF pass for mail.example.com, DKIM pass for example.com"}},
		{"the last of many signatures is enough", reject(), "example.com", []Identifier{dkim("example.net", true), dkim("example.com", false), dkim("example.com", true)},
			Verdict{Status: Pass, Policy: Reject, Pct: 100, AlignedDKIM: true, Why: "aligned DKIM pass for example.com"}},
		{"strict mode wants the same domain", zone("example.com p=reject; adkim=s"), "example.com", []Identifier{dkim("mail.example.com", true)},
			Verdict{Status: Fail, Policy: Reject, Pct: 100, Why: "no aligned SPF or DKIM pass: DKIM pass for mail.example.com is not aligned"}},
		{"strict mode of one mechanism leaves the other relaxed", zone("example.com p=reject; adkim=s"), "example.com", []Identifier{spf("mail.example.com", true)},
			Verdict{Status: Pass, Policy: Reject, Pct: 100, AlignedSPF: true, Why: "aligned SPF pass for mail.example.com"}},
		{"nothing authenticated", reject(), "example.com", []Identifier{spf("example.com", false), dkim("example.com", false)},
			Verdict{Status: Fail, Policy: Reject, Pct: 100, Why: "no aligned SPF or DKIM pass: nothing authenticated"}},
		{"a third party's pass", reject(), "example.com", []Identifier{spf("bounce.example.net", true)},
			Verdict{Status: Fail, Policy: Reject, Pct: 100, Why: "no aligned SPF or DKIM pass: SPF pass for bounce.example.net is not aligned"}},
		{"a name that ends alike", reject(), "example.com", []Identifier{spf("evilexample.com", true)},
			Verdict{Status: Fail, Policy: Reject, Pct: 100, Why: "no aligned SPF or DKIM pass: SPF pass for evilexample.com is not aligned"}},
		{"an identifier without a domain", reject(), "example.com", []Identifier{{Passed: true}},
			Verdict{Status: Fail, Policy: Reject, Pct: 100, Why: `no aligned SPF or DKIM pass: SPF pass for "" is not aligned`}},
		{"t and pct are told, not applied", zone("example.com p=reject; t=y; pct=10"), "example.com", nil,
			Verdict{Status: Fail, Policy: Reject, Testing: true, Pct: 10, Why: "no aligned SPF or DKIM pass: nothing authenticated"}},
		{"sp for a subdomain", zone("example.com p=reject; sp=quarantine"), "a.example.com", nil,
			Verdict{Status: Fail, Policy: Quarantine, Pct: 100, Why: "no aligned SPF or DKIM pass: nothing authenticated"}},
		{"p for the domain itself", zone("example.com p=reject; sp=none"), "example.com", nil,
			Verdict{Status: Fail, Policy: Reject, Pct: 100, Why: "no aligned SPF or DKIM pass: nothing authenticated"}},
		{"a bad sp with rua counts as p=none", zone("example.com p=reject; sp=x; rua=mailto:a@example.com"), "example.com", nil,
			Verdict{Status: Fail, Pct: 100, Why: "no aligned SPF or DKIM pass: nothing authenticated"}},
		{"and can be passed", zone("example.com rua=mailto:a@example.com"), "example.com", []Identifier{spf("example.com", true)},
			Verdict{Status: Pass, Pct: 100, AlignedSPF: true, Why: "aligned SPF pass for example.com"}},
		{"without rua it cannot be used, and the walk does not go on", zone("a.example.com sp=reject", "example.com p=reject"), "a.example.com", []Identifier{spf("a.example.com", true)},
			Verdict{Status: PermError, Why: "the DMARC record of a.example.com has an invalid policy and no usable rua"}},
		{"the author's key did not come", reject(), "example.com", []Identifier{broken(DKIM, "example.com", theirs)},
			Verdict{Status: TempError, Policy: Reject, Pct: 100, Cause: CauseDomain, Why: "no aligned pass, and DKIM for example.com could not be checked"}},
		{"a subdomain's SPF did not come", reject(), "example.com", []Identifier{broken(SPF, "mail.example.com", ours)},
			Verdict{Status: TempError, Policy: Reject, Pct: 100, Cause: CauseOurs, Why: "no aligned pass, and SPF for mail.example.com could not be checked"}},
		{"an aligned pass makes a temporary failure idle", reject(), "example.com", []Identifier{broken(DKIM, "example.com", theirs), spf("example.com", true)},
			Verdict{Status: Pass, Policy: Reject, Pct: 100, AlignedSPF: true, Why: "aligned SPF pass for example.com"}},
		{"a third party's key that does not come is no way around the policy", reject(), "example.com", []Identifier{broken(DKIM, "example.net", theirs)},
			Verdict{Status: Fail, Policy: Reject, Pct: 100, Why: "no aligned SPF or DKIM pass: nothing authenticated"}},
		{"nor is a third party's SPF", reject(), "example.com", []Identifier{broken(SPF, "example.net", ours)},
			Verdict{Status: Fail, Policy: Reject, Pct: 100, Why: "no aligned SPF or DKIM pass: nothing authenticated"}},
		{"nor a subdomain's in strict mode", zone("example.com p=reject; adkim=s"), "example.com", []Identifier{broken(DKIM, "mail.example.com", theirs)},
			Verdict{Status: Fail, Policy: Reject, Pct: 100, Why: "no aligned SPF or DKIM pass: nothing authenticated"}},
		{"nor a subdomain's behind a psd=n", zone("example.com p=reject", "cut.example.com p=none; psd=n"), "example.com", []Identifier{broken(DKIM, "x.cut.example.com", theirs)},
			Verdict{Status: Fail, Policy: Reject, Pct: 100, Why: "no aligned SPF or DKIM pass: nothing authenticated"}},
		{"a pass whose organization did not answer", reject().failing(theirs, "b.example.com"), "example.com", []Identifier{dkim("a.b.example.com", true)},
			Verdict{Status: TempError, Policy: Reject, Pct: 100, Cause: CauseDomain, Why: "no answer on whether DKIM pass for a.b.example.com is aligned"}},
		{"the author's organization did not answer, a sibling passed", zone("a.example.com p=reject").failing(ours, "example.com"), "a.example.com", []Identifier{dkim("b.example.com", true)},
			Verdict{Status: TempError, Policy: Reject, Pct: 100, Cause: CauseOurs, Why: "no answer on whether DKIM pass for b.example.com is aligned"}},
		{"the same, and a third party passed", zone("a.example.com p=reject").failing(ours, "example.com"), "a.example.com", []Identifier{dkim("example.net", true)},
			Verdict{Status: Fail, Policy: Reject, Pct: 100, Why: "no aligned SPF or DKIM pass: DKIM pass for example.net is not aligned"}},
		{"the same, and another organization below passed", zone("a.example.com p=reject", "c.example.com p=none; psd=n").failing(ours, "example.com"), "a.example.com", []Identifier{dkim("b.c.example.com", true)},
			Verdict{Status: Fail, Policy: Reject, Pct: 100, Why: "no aligned SPF or DKIM pass: DKIM pass for b.c.example.com is not aligned"}},
		{"the same, and the author itself passed", zone("a.example.com p=reject").failing(ours, "example.com"), "a.example.com", []Identifier{dkim("a.example.com", true)},
			Verdict{Status: Pass, Policy: Reject, Pct: 100, AlignedDKIM: true, Why: "aligned DKIM pass for a.example.com"}},
		{"a registry that does not answer leaves siblings aligned", reject().failing(theirs, "com"), "a.example.com", []Identifier{dkim("b.example.com", true)},
			Verdict{Status: Pass, Policy: Reject, Pct: 100, AlignedDKIM: true, Why: "aligned DKIM pass for b.example.com"}},
		{"strict mode leaves the author's own key open", zone("example.com p=reject; adkim=s"), "example.com", []Identifier{broken(DKIM, "example.com", ours)},
			Verdict{Status: TempError, Policy: Reject, Pct: 100, Cause: CauseOurs, Why: "no aligned pass, and DKIM for example.com could not be checked"}},
		{"an organization that is not known is not to blame for the author's own key", zone("a.example.com p=reject").failing(theirs, "example.com"), "a.example.com", []Identifier{broken(DKIM, "a.example.com", ours)},
			Verdict{Status: TempError, Policy: Reject, Pct: 100, Cause: CauseOurs, Why: "no aligned pass, and DKIM for a.example.com could not be checked"}},
		{"but for a sibling's key it is", zone("a.b.example.com p=reject", "example.com p=none").failing(theirs, "b.example.com"), "a.b.example.com", []Identifier{broken(DKIM, "x.example.com", ours)},
			Verdict{Status: TempError, Policy: Reject, Pct: 100, Cause: CauseDomain, Why: "no aligned pass, and DKIM for x.example.com could not be checked"}},
		{"and whether a sibling's pass is aligned is open", zone("a.b.example.com p=reject", "example.com p=none").failing(ours, "b.example.com"), "a.b.example.com", []Identifier{dkim("x.example.com", true)},
			Verdict{Status: TempError, Policy: Reject, Pct: 100, Cause: CauseOurs, Why: "no answer on whether DKIM pass for x.example.com is aligned"}},
		{"one error of several is the domain's", reject(), "example.com", []Identifier{broken(SPF, "example.com", ours), broken(DKIM, "example.com", theirs)},
			Verdict{Status: TempError, Policy: Reject, Pct: 100, Cause: CauseDomain, Why: "no aligned pass, and SPF for example.com could not be checked"}},
		{"a wrapped error still tells whose it is", reject(), "example.com", []Identifier{broken(SPF, "example.com", fmt.Errorf("SPF: %w", ours))},
			Verdict{Status: TempError, Policy: Reject, Pct: 100, Cause: CauseOurs, Why: "no aligned pass, and SPF for example.com could not be checked"}},
		{"an error that cannot tell is the domain's", reject(), "example.com", []Identifier{broken(SPF, "example.com", errTimeout)},
			Verdict{Status: TempError, Policy: Reject, Pct: 100, Cause: CauseDomain, Why: "no aligned pass, and SPF for example.com could not be checked"}},
		{"the record did not come", reject().failing(ours, "example.com"), "example.com", nil,
			Verdict{Status: TempError, Cause: CauseOurs, Why: "no answer for _dmarc.example.com"}},
		{"the author's key gave way", reject(), "example.com", []Identifier{broken(DKIM, "example.com", gave)},
			Verdict{Status: TempError, Policy: Reject, Pct: 100, Cause: CausePressure, Why: "no aligned pass, and DKIM for example.com could not be checked: our DNS is overloaded or down"}},
		{"a wrapped error still tells that it gave way", reject(), "example.com", []Identifier{broken(DKIM, "example.com", fmt.Errorf("DKIM: %w", gave))},
			Verdict{Status: TempError, Policy: Reject, Pct: 100, Cause: CausePressure, Why: "no aligned pass, and DKIM for example.com could not be checked: our DNS is overloaded or down"}},
		{"one that gave way is the cause beside one of the domain", reject(), "example.com", []Identifier{broken(SPF, "example.com", theirs), broken(DKIM, "example.com", gave)},
			Verdict{Status: TempError, Policy: Reject, Pct: 100, Cause: CausePressure, Why: "no aligned pass, and SPF for example.com could not be checked: our DNS is overloaded or down"}},
		{"and before one of the domain", reject(), "example.com", []Identifier{broken(SPF, "example.com", gave), broken(DKIM, "example.com", theirs)},
			Verdict{Status: TempError, Policy: Reject, Pct: 100, Cause: CausePressure, Why: "no aligned pass, and SPF for example.com could not be checked: our DNS is overloaded or down"}},
		{"a third party's key that gave way changes nothing", reject(), "example.com", []Identifier{broken(DKIM, "example.net", gave), broken(SPF, "example.org", gave)},
			Verdict{Status: Fail, Policy: Reject, Pct: 100, Why: "no aligned SPF or DKIM pass: nothing authenticated"}},
		{"nor does an aligned one beside a pass", reject(), "example.com", []Identifier{broken(DKIM, "mail.example.com", gave), spf("example.com", true)},
			Verdict{Status: Pass, Policy: Reject, Pct: 100, AlignedSPF: true, Why: "aligned SPF pass for example.com"}},
		{"the record gave way", reject().failing(gave, "example.com"), "example.com", nil,
			Verdict{Status: TempError, Cause: CausePressure, Why: "no answer for _dmarc.example.com: our DNS is overloaded or down"}},
		{"one name of the walk gave way, another failed", reject().failing(theirs, "a.example.com").failing(gave, "example.com"), "a.example.com", nil,
			Verdict{Status: TempError, Cause: CausePressure, Why: "no answer for _dmarc.a.example.com: our DNS is overloaded or down"}},
		{"what np hangs on gave way", zone("example.com p=none; np=reject").failingExists(gave, "x.example.com"), "x.example.com", nil,
			Verdict{Status: TempError, Pct: 100, Cause: CausePressure, Why: "no aligned pass, and no answer on whether x.example.com exists: our DNS is overloaded or down"}},
		{"what np hangs on failed, and the name counts as existing", zone("example.com p=none; np=reject").failingExists(theirs, "x.example.com"), "x.example.com", nil,
			Verdict{Status: Fail, Pct: 100, Why: "no aligned SPF or DKIM pass: nothing authenticated"}},
		{"what np hangs on does not matter to a pass", zone("example.com p=none; np=reject").failingExists(gave, "x.example.com"), "x.example.com", []Identifier{spf("x.example.com", true)},
			Verdict{Status: Pass, Pct: 100, AlignedSPF: true, Why: "aligned SPF pass for x.example.com"}},
		{"the record did not come, but the author is authenticated", reject().failing(theirs, "example.com"), "example.com", []Identifier{dkim("example.com", true)},
			Verdict{Status: TempError, Cause: CauseDomain, AlignedDKIM: true, Why: "no answer for _dmarc.example.com"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := evaluate(t, tt.dns, TreeWalk, tt.author, tt.ids...); got != tt.want {
				t.Errorf("Evaluate(%+v) =\n%+v; want\n%+v", tt.ids, got, tt.want)
			}
		})
	}
}

func TestCompareFollowsStandards(t *testing.T) {
	tests := []struct {
		name      string
		dns       *fakeDNS
		author    string
		id        Identifier
		walk, psl Status
	}{
		{"a record only on a subdomain: the parent", zone("a.example.com p=none"), "a.example.com", dkim("example.com", true), Fail, Pass},
		{"a record only on a subdomain: a sibling", zone("shop.example.co.uk p=none"), "shop.example.co.uk", dkim("mail.example.co.uk", true), Fail, Pass},
		{"psd=n", zone("mail.example.com p=none; psd=n"), "mail.example.com", dkim("example.com", true), Fail, Pass},
		{"a registry's record", zone("com p=none; psd=y"), "example.com", dkim("example.net", true), Fail, StatusNone},
		{"a suffix on the list only", zone("a.github.io p=none", "github.io p=none"), "a.github.io", dkim("b.github.io", true), Pass, Fail},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for method, want := range map[Method]Status{TreeWalk: tt.walk, PSL: tt.psl} {
				if got := evaluate(t, tt.dns, method, tt.author, tt.id); got.Status != want {
					t.Errorf("Evaluate by %v = %v (%s); want %v", method, got.Status, got.Why, want)
				}
			}
		})
	}
}

func TestEvaluateZeroValuesDoNotAlign(t *testing.T) {
	d := Discovery{Author: "example.com", Source: SourceAuthor}
	tests := []struct {
		name string
		id   Identifier
		d    Discovery
	}{
		{"zero identifier, zero discovery", Identifier{}, Discovery{}},
		{"zero identifier that passed", Identifier{Passed: true}, d},
		{"two organizations that are not known", Identifier{Domain: "mail.example.com", Passed: true}, d},
		{"a domain and a zero discovery", Identifier{Domain: "example.com", Passed: true}, Discovery{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.id.AlignedWith(tt.d) {
				t.Errorf("%+v.AlignedWith(%+v) = true; want false", tt.id, tt.d)
			}
			if v := Evaluate(tt.d, []Identifier{tt.id}); v.Status == Pass {
				t.Errorf("Evaluate = %+v; want no pass", v)
			}
		})
	}
}

func TestReasonIsShortAndPrintable(t *testing.T) {
	ids := []Identifier{dkim("a\r\nb; x=(\"\x00ä", true), dkim(strings.Repeat("\xff", 10000), true)}
	for range 50 {
		ids = append(ids, dkim("example.net", true))
	}
	v := evaluate(t, zone("example.com p=reject"), TreeWalk, "example.com", ids...)
	if len(v.Why) > 2000 || !strings.HasSuffix(v.Why, "and 49 more are not aligned") {
		t.Errorf("Why = %q; want a short list", v.Why)
	}
	for _, c := range []byte(v.Why) {
		if c < 0x20 || c > 0x7e {
			t.Fatalf("Why = %q; want printable ASCII", v.Why)
		}
	}
}

func TestReasonNamesAsManyAsFit(t *testing.T) {
	ids := []Identifier{dkim("example.com", true), dkim("a.example.com", true), spf("b.example.com", true)}
	const want = "aligned DKIM pass for example.com, DKIM pass for a.example.com, SPF pass for b.example.com"
	if v := evaluate(t, zone("example.com p=reject"), TreeWalk, "example.com", ids...); v.Why != want {
		t.Errorf("Why = %s; want %s", v.Why, want)
	}
	ids = append(ids, dkim("c.example.com", true))
	if v := evaluate(t, zone("example.com p=reject"), TreeWalk, "example.com", ids...); v.Why != want+" and 1 more" {
		t.Errorf("Why = %s; want %s and 1 more", v.Why, want)
	}
}

func TestShowKeepsPrintableText(t *testing.T) {
	tests := []struct{ name, domain, want string }{
		{"a domain", "_a-0.AZ.az.09", "_a-0.AZ.az.09"},
		{"nothing", "", `""`},
		{"a byte beyond ASCII", "\x80", `"\x80"`},
		{"a letter beyond ASCII", "\u0161", `"\u0161"`}, // its low byte is a letter
		{"a blank", "a b", `"a b"`},
		{"before the digits", "a/", `"a/"`},
		{"after the letters", "a[", `"a["`},
		{"before the letters", "a@", `"a@"`},
		{"after the small letters", "a{", `"a{"`},
		{"after the digits", "a:", `"a:"`},
		{"a name too long", strings.Repeat("a", MaxNameBytes+1), strings.Repeat("a", MaxNameBytes)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := show(tt.domain); got != tt.want {
				t.Errorf("show(%q) = %s; want %s", tt.domain, got, tt.want)
			}
		})
	}
}

func TestWithoutClientTurnsAFailIntoATemporaryError(t *testing.T) {
	for _, status := range []Status{StatusNone, Pass, TempError, PermError} {
		v := Verdict{Status: status, Policy: Reject, Pct: 100, Cause: CauseDomain, Why: "x"}
		if got := v.WithoutClient(); got != v {
			t.Errorf("WithoutClient() of %+v = %+v; want the same", v, got)
		}
	}
	got := Verdict{Status: Fail, Policy: Quarantine, Testing: true, Pct: 10, Why: "x"}.WithoutClient()
	want := Verdict{Status: TempError, Policy: Quarantine, Testing: true, Pct: 10, Cause: CauseClient, Why: got.Why}
	if got != want || got.Why == "x" {
		t.Errorf("WithoutClient() = %+v; want %+v with a reason of its own", got, want)
	}
}
