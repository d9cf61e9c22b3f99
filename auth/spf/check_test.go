package spf

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/dnstest"
)

const zone = `
pass.example.      TXT "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"
soft.example.      TXT "v=spf1 ~all"
neutral.example.   TXT "v=spf1 ?all"
broken.example.    TXT "v=spf1 nonsense:x -all"
two.example.       TXT "v=spf1 -all"
two.example.       TXT "v=spf1 +all"
plain.example.     TXT "no spf here"
a.example.         TXT "v=spf1 a:host.example -all"
host.example.      A    192.0.2.1
host.example.      AAAA 2001:db8::1
mx.example.        TXT "v=spf1 mx -all"
mx.example.        MX  10 host.example.
ptr.example.       TXT "v=spf1 ptr -all"
mail.ptr.example.  A   192.0.2.1
1.2.0.192.in-addr.arpa. PTR mail.ptr.example.
macro.example.     TXT "v=spf1 exists:%{l}.%{d} -all"
user.macro.example. A  127.0.0.2
helo.example.      TXT "v=spf1 exists:%{h}.helo.example -all"
mx.sender.example.helo.example. A 127.0.0.2
lame.example.      TXT "v=spf1 a:down.example -all"
!servfail down.example
!servfail gone.example
`

var v4, v6 = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")

func TestCheckGivesTheResultOfTheRFC(t *testing.T) {
	z := dnstest.NewZone(t, zone)
	tests := []struct {
		name   string
		ip     netip.Addr
		domain string
		local  string
		want   Status
		why    string
	}{
		{"ip4 matches", v4, "pass.example", "user", Pass, "matched ip"},
		{"ip6 matches", v6, "pass.example", "user", Pass, "matched ip"},
		{"an IPv4 address in IPv6 form is IPv4", netip.MustParseAddr("::ffff:192.0.2.1"), "pass.example", "user", Pass, "matched ip"},
		{"nothing else matches", netip.MustParseAddr("203.0.113.1"), "pass.example", "user", Fail, "matched all"},
		{"softfail", v4, "soft.example", "user", SoftFail, "matched all"},
		{"neutral", v4, "neutral.example", "user", Neutral, "matched all"},
		{"no record", v4, "plain.example", "user", None, "no SPF record"},
		{"no such domain", v4, "nowhere.pass.example", "user", None, "no SPF record"},
		{"a record that cannot be read", v4, "broken.example", "user", PermError, "unknown mechanism"},
		{"two records", v4, "two.example", "user", PermError, "more than one SPF record"},
		{"a over IPv4", v4, "a.example", "user", Pass, "matched a"},
		{"a over IPv6", v6, "a.example", "user", Pass, "matched a"},
		{"mx", v4, "mx.example", "user", Pass, "matched mx"},
		{"ptr", v4, "ptr.example", "user", Pass, "matched ptr"},
		{"macros have the local part", v4, "macro.example", "user", Pass, "matched exists"},
		{"macros have the HELO name", v4, "helo.example", "user", Pass, "matched exists"},
		{"a name that does not answer", v4, "gone.example", "user", TempError, "DNS lookup failed"},
		{"a mechanism that does not answer", v4, "lame.example", "user", TempError, "DNS lookup failed"},
		{"no client address", netip.Addr{}, "pass.example", "user", None, "no domain to check"},
		{"no domain", v4, "", "user", None, "no domain to check"},
		{"a single label", v4, "localhost", "user", None, "no domain to check"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Check(context.Background(), z, Query{IP: tt.ip, Domain: tt.domain, Local: tt.local, Helo: "mx.sender.example"})
			if got.Status != tt.want || !strings.Contains(got.Why, tt.why) || got.Domain != tt.domain {
				t.Errorf("Check() = %+v; want %v for %q, because of %q", got, tt.want, tt.domain, tt.why)
			}
			if (got.Err != nil) != (tt.want == TempError) {
				t.Errorf("Err = %v with %v; want one with temperror only", got.Err, got.Status)
			}
		})
	}
}

// Libraries that are given an address split it at the first "@"; a quoted one
// must not choose the domain.
func TestCheckIgnoresQuotedAtSign(t *testing.T) {
	z := dnstest.NewZone(t, "victim.example. TXT \"v=spf1 -all\"\nevil.example. TXT \"v=spf1 +all\"\n")
	got := Check(context.Background(), z, Query{IP: v4, Domain: "victim.example", Local: `"a@evil.example"`, Helo: "x"})
	if got.Status != Fail {
		t.Errorf("Check() = %+v; want fail by victim.example's record", got)
	}
	for _, q := range z.Queries() {
		if strings.Contains(q, "evil") {
			t.Errorf("queried %q; want victim.example only", q)
		}
	}
}

func TestCheckOfIPv4ClientNeedsNoAAAA(t *testing.T) {
	z := dnstest.NewZone(t, zone)
	Check(context.Background(), z, Query{IP: v4, Domain: "a.example", Local: "user", Helo: "x"})
	if got := z.Queries(); slices.Contains(got, "AAAA host.example") || !slices.Contains(got, "A host.example") {
		t.Errorf("queries = %q; want A of host.example and no AAAA", got)
	}
}

// mostLookups is what a check may cost, whatever the records are: the record,
// ten terms with ten mail hosts each, the client's names, the explanation.
const mostLookups = 1 + maxTerms*(1+maxMX) + 1 + maxPTR + 1

// mostMacros is how many macros a check may expand: every DNS term of every
// record and exp once, and the text of an explanation to its limit. A macro has
// four bytes or more.
func mostMacros(record string) int { return (maxTerms+1)*len(record)/len("%{d}") + maxExplanation }

func FuzzCheck(f *testing.F) {
	f.Add("v=spf1 a mx ptr include:a.example exists:%{l1r-}.%{d} redirect=b.example", "user", "mx.example", "x.example")
	f.Add("v=spf1 ip4:1.2.3.4/33 ip6:::/129 exp=%{", "a@b", "[1.2.3.4]", "x.example")
	f.Add("v=spf1 mx mx mx mx mx mx mx mx mx mx ?all", "user", "mx.example", "x.example")
	f.Add("v=spf1 mx:%{p}.example include:%{p}.example -all exp=%{P}.example", "user", "mx.example", "x\r\n.example")
	f.Add("v=spf1 -all exp=%{S}%{L}%{h}.example", "\x00\r\n\xff", "\r\n", "x_.y.example")
	f.Fuzz(func(t *testing.T, record, local, helo, domain string) {
		q := Query{IP: v4, Domain: domain, Local: local, Helo: helo, Explain: true}
		rich := &rich{record: record}
		for _, r := range []Resolver{fixed(record), rich} {
			c := newChecker(r, q, time.Now)
			got := c.check(t.Context(), q)
			if got.Status == TempError {
				t.Errorf("Check(%q) = temperror; nothing failed", record)
			}
			for _, text := range []string{got.Domain, got.Why, got.Term, got.Explanation} {
				if !visible(strings.ReplaceAll(text, " ", "")) || len(text) > maxExplanation {
					t.Errorf("Check(%q) gives the text %q", record, text)
				}
			}
			if c.macro > mostMacros(record) {
				t.Errorf("Check(%q) expanded %d macros; want %d at most", record, c.macro, mostMacros(record))
			}
		}
		if rich.lookups > mostLookups {
			t.Errorf("Check(%q) made %d lookups; want %d at most", record, rich.lookups, mostLookups)
		}
	})
}

func TestCheckWorkIsLinear(t *testing.T) {
	count := func(record string) int {
		q := Query{IP: v4, Domain: "x.example", Local: "user", Helo: "mx.example", Explain: true}
		c := newChecker(&rich{record: record}, q, time.Now)
		c.check(t.Context(), q)
		return c.macro
	}
	for _, piece := range []string{"%{d}", "%{l1r-}", "%{p}", "%{S}.", " exists:%{d}", " a:%{s}.example", " include:%{d}.example"} {
		for _, form := range []string{"v=spf1 exists:#.example -all", "v=spf1# -all", "v=spf1 -all exp=#.example", "v=spf1 redirect=#.x.example", "v=spf1 include:#.x.example -all"} {
			half := strings.Replace(form, "#", strings.Repeat(piece, 500), 1)
			whole := strings.Replace(form, "#", strings.Repeat(piece, 1000), 1)
			if once, twice := count(half), count(whole); twice > 2*once+maxExplanation || twice > mostMacros(whole) {
				t.Errorf("%s of %q: %d macros expanded, and %d in a record of twice the length", form, piece, once, twice)
			}
		}
	}
}

func TestCheckLookupsAreLimited(t *testing.T) {
	for record, want := range map[string]int{
		"v=spf1" + strings.Repeat(" mx", 10) + " -all exp=%{p}.example": mostLookups,
		"v=spf1" + strings.Repeat(" mx", 11) + " -all":                  1 + maxTerms*(1+maxMX),
		"v=spf1 include:%{d} -all":                                      1 + maxTerms,
		"v=spf1 redirect=%{d}":                                          1 + maxTerms,
		"v=spf1" + strings.Repeat(" ptr", 10) + " -all":                 1 + 1 + maxPTR,
		"v=spf1" + strings.Repeat(" include:%{p}.%{d}", 10) + " -all":   1 + 1 + maxPTR + maxTerms - 1,
	} {
		r := &rich{record: record}
		Check(t.Context(), r, Query{IP: v4, Domain: "x.example", Local: "user", Helo: "mx.example", Explain: true})
		if r.lookups != want {
			t.Errorf("Check(%q) made %d lookups; want %d", record, r.lookups, want)
		}
	}
}

// rich has the record at every name, and as many hosts as are queried for.
type rich struct {
	record  string
	lookups int
}

func (r *rich) TXT(context.Context, string) ([]string, error) {
	r.lookups++
	return []string{r.record}, nil
}

func (r *rich) A(context.Context, string) ([]netip.Addr, error) {
	r.lookups++
	return []netip.Addr{netip.MustParseAddr("203.0.113.1")}, nil
}

func (r *rich) AAAA(context.Context, string) ([]netip.Addr, error) {
	r.lookups++
	return []netip.Addr{netip.MustParseAddr("2001:db8:1::1")}, nil
}

func (r *rich) MX(context.Context, string) ([]string, error) {
	r.lookups++
	return slices.Repeat([]string{"host.example"}, maxMX), nil
}

func (r *rich) PTR(context.Context, netip.Addr) ([]string, error) {
	r.lookups++
	return slices.Repeat([]string{"host.x.example"}, 2*maxPTR), nil
}

// fixed answers every TXT query with one record and has nothing else.
type fixed string

func (r fixed) TXT(context.Context, string) ([]string, error)      { return []string{string(r)}, nil }
func (r fixed) A(context.Context, string) ([]netip.Addr, error)    { return nil, nil }
func (r fixed) AAAA(context.Context, string) ([]netip.Addr, error) { return nil, nil }
func (r fixed) MX(context.Context, string) ([]string, error)       { return nil, nil }
func (r fixed) PTR(context.Context, netip.Addr) ([]string, error)  { return nil, nil }
