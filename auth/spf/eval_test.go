package spf

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/dnstest"
)

func ask(t *testing.T, r Resolver, ip netip.Addr) Result {
	t.Helper()
	return Check(t.Context(), r, Query{IP: ip, Domain: "x.example", Local: "user", Helo: "mx.sender.example", Explain: true})
}

// repeat joins n terms, "#" in each replaced by its number.
func repeat(term string, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(" " + strings.ReplaceAll(term, "#", strconv.Itoa(i)))
	}
	return b.String()
}

func TestCheckLimitsCoverIncludes(t *testing.T) {
	zone := `
		x.example     TXT "v=spf1 #"
		x.example     A   203.0.113.1
		nine.example  TXT "v=spf1 ` + repeat("a:x.example", 9) + `"
		eight.example TXT "v=spf1 ` + repeat("a:x.example", 8) + `"
		one.example   TXT "v=spf1 a:n0.example ~all"
		*.p.example   A   203.0.113.1
		!any`
	const terms, voids = "more than ten terms", "more than two terms that found nothing"
	tests := []struct {
		name, record string
		ip           netip.Addr
		want         Status
		why          string
	}{
		{"ten terms", repeat("a", 10) + " +all", v4, Pass, "matched all"},
		{"eleven terms", repeat("a", 11) + " +all", v4, PermError, terms},
		{"a match before the eleventh", repeat("a", 10) + " +all a", v4, Pass, "matched all"},
		{"terms of an include count", "a include:eight.example +all", v4, Pass, "matched all"},
		{"one more than they", "a a include:eight.example +all", v4, PermError, terms},
		{"an include counts itself", "a include:nine.example +all", v4, PermError, terms},
		{"a redirect counts", "a redirect=nine.example", v4, PermError, terms},
		{"a redirect counts once", "redirect=nine.example", v4, Neutral, "no mechanism matched"},
		{"the macro p counts", repeat("a:%{p}.p.example", 10) + " +all", v4, PermError, terms},
		{"but once", repeat("a:%{p}.p.example", 9) + " +all", v4, Pass, "matched all"},
		{"and not beside ptr", "ptr" + repeat("a:%{p}.p.example", 9) + " +all", v4, Pass, "matched all"},
		{"ip4, ip6, all and exp do not count", repeat("ip4:203.0.113.# ip6:::#", 30) + " exp=n1.example +all", v4, Pass, "matched all"},
		{"two voids", "a:n1.example a:n2.example +all", v4, Pass, "matched all"},
		{"three voids", "a:n1.example mx:n2.example exists:n3.example +all", v4, PermError, voids},
		{"voids of an include count", "a:n1.example include:one.example a:n2.example +all", v4, PermError, voids},
		{"a name without an address of the family is void", "a a a +all", v6, PermError, voids},
		{"a name that the DNS cannot have is not", repeat("a:n..example", 5) + " +all", v4, Pass, "matched all"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			z := dnstest.NewZone(t, strings.Replace(zone, "#", tt.record, 1))
			if got := ask(t, z, tt.ip); got.Status != tt.want || !strings.HasPrefix(got.Why, tt.why) {
				t.Errorf("Check() = %+v; want %v, %s", got, tt.want, tt.why)
			}
		})
	}
}

func TestCheckLimitsMXAndPTR(t *testing.T) {
	hosts := func(n int) (out []string) {
		for i := range n {
			out = append(out, "h"+strconv.Itoa(i)+".x.example")
		}
		return out
	}
	tests := []struct {
		name, record string
		n, address   int // of that many names, this one has the client's address
		want         Status
	}{
		{"the tenth mail host", "v=spf1 mx -all", 10, 9, Pass},
		{"eleven mail hosts", "v=spf1 mx -all", 11, 0, PermError},
		{"the tenth name of the client", "v=spf1 ptr -all", 10, 9, Pass},
		{"the eleventh name of the client", "v=spf1 ptr -all", 11, 10, Fail},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			names := hosts(tt.n)
			r := &static{
				txt: map[string][]string{"x.example": {tt.record}},
				mx:  map[string][]string{"x.example": names}, ptr: names,
				addr: map[string][]netip.Addr{names[tt.address]: {v4}},
			}
			if got := ask(t, r, v4); got.Status != tt.want {
				t.Errorf("Check() = %+v; want %v", got, tt.want)
			}
		})
	}
}

func TestCheckCountsMXWithoutAddressAsOneVoid(t *testing.T) {
	z := dnstest.NewZone(t, `
		x.example TXT "v=spf1 mx ip6:2001:db8::/32 -all"
		x.example MX 1 a.example
		x.example MX 2 b.example
		x.example MX 3 c.example
		a.example A 192.0.2.1
		b.example A 192.0.2.2
		c.example A 192.0.2.3`)
	if got := ask(t, z, v6); got.Status != Pass || got.Term != "ip6:2001:db8::/32" {
		t.Errorf("Check() = %+v; want pass by ip6:2001:db8::/32", got)
	}
}

func TestCheckCountsVoidsOfMX(t *testing.T) {
	z := dnstest.NewZone(t, `
		x.example TXT "v=spf1 mx mx mx +all"
		x.example MX 1 a.example
		a.example A 192.0.2.1`)
	if got := ask(t, z, v6); got.Status != PermError {
		t.Errorf("Check() = %+v; want permerror: three terms found nothing", got)
	}
}

func TestCheckIgnoresScopeOfAddress(t *testing.T) {
	got := ask(t, fixed("v=spf1 ip6:fe80::/10 -all"), netip.MustParseAddr("fe80::1%eth0"))
	if got.Status != Pass {
		t.Errorf("Check() = %+v; want pass", got)
	}
}

func TestCheckQueriesOnlyDNSNames(t *testing.T) {
	label := strings.Repeat("x", maxLabel)
	tests := []struct {
		name        string
		isName, dom bool // of the DNS; a domain in SMTP
	}{
		{"x.example", true, true}, {"_x.x-y.example", true, true}, {"1.2", true, true}, {label + ".example", true, true},
		{"a b.example", true, false}, {"foo:bar/baz.example", true, false}, {"[192.0.2.1]", true, false},
		{"", false, false}, {"example", false, false}, {".", false, false}, {".example", false, false}, {"x.", false, false}, {"x..example", false, false},
		{label + "x.example", false, false}, {strings.Repeat(label+".", 4) + "x", false, false}, {"x\x00.example", false, false}, {"\u00fc.example", false, false},
	}
	for _, tt := range tests {
		if got, dom := isName(tt.name), isHostName(tt.name); got != tt.isName || dom != tt.dom {
			t.Errorf("isName, isHostName(%q) = %t, %t; want %t, %t", tt.name, got, dom, tt.isName, tt.dom)
		}
	}
}

func TestCheckDNSFailureIsTempErrorWithCause(t *testing.T) {
	const records = `
		x.example    TXT "v=spf1 # +all"
		ok.example   TXT "v=spf1 a:lame.example -all"
		mx.example   MX  1 lame.example
		1.2.0.192.in-addr.arpa PTR lame.example
		!servfail lame.example
		`
	tests := []struct {
		term string
		want Status
		at   string
	}{
		{"a:lame.example", TempError, "a:lame.example"},
		{"mx:lame.example", TempError, "mx:lame.example"},
		{"mx:mx.example", TempError, "mx:mx.example"},
		{"exists:lame.example", TempError, "exists:lame.example"},
		{"include:lame.example", TempError, "include:lame.example"},
		{"include:ok.example", TempError, "a:lame.example"},
		{"ptr:lame.example", Pass, "+all"}, // the name is skipped
		{"exists:%{p}.lame.example", Pass, "+all"},
		{"+all a:lame.example", Pass, "+all"},
	}
	for _, tt := range tests {
		t.Run(tt.term, func(t *testing.T) {
			z := dnstest.NewZone(t, strings.Replace(records, "#", tt.term, 1))
			got := ask(t, z, v4)
			if got.Status != tt.want || got.Term != tt.at {
				t.Errorf("Check() = %+v; want %v at %q", got, tt.want, tt.at)
			}
			var cause interface{ Ours() bool }
			if tt.want == TempError && (!errors.As(got.Err, &cause) || cause.Ours()) {
				t.Errorf("Err = %v; want an error of the domain, not ours", got.Err)
			}
		})
	}
	t.Run("our resolver answers nobody", func(t *testing.T) {
		var cause interface{ Ours() bool }
		got := ask(t, dnstest.NewZone(t, "x.example TXT \"v=spf1 -all\"\n!down"), v4)
		if got.Status != TempError || !errors.As(got.Err, &cause) || !cause.Ours() {
			t.Errorf("Check() = %+v; want temperror of ours", got)
		}
	})
}

// outOfTime ends the time when the client's names are queried for.
type outOfTime struct {
	fixed
	cancel context.CancelFunc
}

func (r outOfTime) PTR(ctx context.Context, _ netip.Addr) ([]string, error) {
	r.cancel()
	return nil, ctx.Err()
}

func TestCheckTimeoutInPTRIsNoFail(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := Check(ctx, outOfTime{"v=spf1 ptr -all", cancel}, Query{IP: v4, Domain: "x.example"})
	if got.Status != TempError || !errors.Is(got.Err, context.Canceled) {
		t.Errorf("Check() = %+v; want temperror, context canceled", got)
	}
}

func TestCheckQueriesOnlyNeededNamesInOrder(t *testing.T) {
	zone := `
		x.example      TXT "v=spf1 #"
		x.example      A    203.0.113.1
		x.example      AAAA 2001:db8:1::1
		x.example      MX   1 m.example
		m.example      A    192.0.2.1
		m.example      AAAA 2001:db8::1
		why.example    TXT "%{c}"
		in.example     TXT "v=spf1 -all exp=never.example"
		1.2.0.192.in-addr.arpa PTR m.example
		1.2.0.192.in-addr.arpa PTR far.example`
	tests := []struct {
		record string
		ip     netip.Addr
		want   []string // behind the first TXT
	}{
		{"ip4:192.0.2.1 a mx", v4, nil},
		{"a mx exists:m.example", v4, []string{"A x.example", "MX x.example", "A m.example"}},
		{"a mx exists:m.example", v6, []string{"AAAA x.example", "MX x.example", "AAAA m.example"}},
		{"exists:m.example", v6, []string{"A m.example"}},
		{"-all redirect=m.example exp=why.example", v4, []string{"TXT why.example"}},
		{"~all exp=why.example", v4, nil},
		{"include:in.example ?all exp=why.example", v4, []string{"TXT in.example"}},
		{"ptr:m.example", v4, []string{"PTR 1.2.0.192.in-addr.arpa", "A m.example"}},
		{"ptr:other.example ptr:m.example", v4, []string{"PTR 1.2.0.192.in-addr.arpa", "A m.example"}},
		{"a:%{h} nonsense", v4, nil},
		{"a:a..example a:%{l}.example" + " a:" + strings.Repeat("y", 64) + ".example -all", v4, []string{"A user.example"}},
		{"a:%{h1} mx:%{l} -all", v4, nil}, // single labels
	}
	for _, tt := range tests {
		t.Run(tt.record, func(t *testing.T) {
			z := dnstest.NewZone(t, strings.Replace(zone, "#", tt.record, 1)+"\n!any")
			ask(t, z, tt.ip)
			if got := z.Queries(); !slices.Equal(got[1:], tt.want) {
				t.Errorf("queries = %q; want %q", got[1:], tt.want)
			}
		})
	}
}

// RFC 8616, Section 4.
func TestCheckNonASCIILocalPartMatchesNothing(t *testing.T) {
	for _, tt := range []struct {
		record, local string
		want          Status
		queries       int
	}{
		{"v=spf1 exists:%{l}.x.example -all", "us\u00e9r", Fail, 1},
		{"v=spf1 exists:%{S}.x.example -all", "us\u00e9r", Fail, 1},
		{"v=spf1 exists:%{o}.x.example -all", "us\u00e9r", Pass, 2},
		{"v=spf1 exists:%{l}.x.example -all", "user", Pass, 2},
		{"v=spf1 -all exp=%{L}.x.example", "us\u00e9r", Fail, 1},
	} {
		z := dnstest.NewZone(t, "x.example TXT \""+tt.record+"\"\n*.x.example A 127.0.0.2")
		got := Check(t.Context(), z, Query{IP: v4, Domain: "x.example", Local: tt.local, Helo: "\u00fc.example", Explain: true})
		if got.Status != tt.want || z.Queried() != tt.queries {
			t.Errorf("%s for %q: Check() = %+v with %q; want %v with %d queries", tt.record, tt.local, got, z.Queries(), tt.want, tt.queries)
		}
	}
}

func TestResultHasTermAsWritten(t *testing.T) {
	tests := []struct{ record, term string }{
		{"v=spf1 IP4:192.0.2.0/24 -all", "IP4:192.0.2.0/24"},
		{"v=spf1 include:in.example -all", "include:in.example"},
		{"v=spf1 redirect=none.example", "redirect=none.example"},
		{"v=spf1 redirect=in.example", "a:m.example"},
		{"v=spf1 include:bad.example", "br\\*ken"},
		{"v=spf1 x", "x"},
		{"v=spf1 " + strings.Repeat("y", 1000), strings.Repeat("y", maxTerm)},
		{"v=spf1", ""},
	}
	r := &static{txt: map[string][]string{
		"in.example": {"v=spf1 a:m.example"}, "bad.example": {"v=spf1 br\\*ken"},
	}, addr: map[string][]netip.Addr{"m.example": {v4}}}
	for _, tt := range tests {
		r.txt["x.example"] = []string{tt.record}
		if got := ask(t, r, v4); got.Term != tt.term {
			t.Errorf("Check(%.40q) = %+v; want the term %q", tt.record, got, tt.term)
		}
	}
	r.txt["x.example"] = []string{"v=spf1 a:\u00fc\r\n.example"}
	if got := ask(t, r, v4); got.Term != "a:???.example" {
		t.Errorf("Check() = %+v; want a printable term", got)
	}
}

func TestExplanationIsFetchedOnFailOnly(t *testing.T) {
	const why = "!any\nwhy.example TXT \"%{i} for %{d}\"\nin.example TXT \"v=spf1 -all exp=why.example\"\n"
	tests := []struct{ record, want string }{
		{"v=spf1 -all exp=why.example", "192.0.2.1 for x.example"},
		{"v=spf1 redirect=in.example exp=other.example", "192.0.2.1 for in.example"},
		{"v=spf1 ~all exp=why.example", ""},
		{"v=spf1 include:in.example -all", ""},
		{"v=spf1 -include:in.example ~all exp=why.example", ""},
		{"v=spf1 -all exp=none.example", ""},
		{"v=spf1 -all exp=%{l}..example", ""},
	}
	for _, tt := range tests {
		z := dnstest.NewZone(t, "x.example TXT \""+tt.record+"\"\n"+why)
		if got := ask(t, z, v4); got.Explanation != tt.want {
			t.Errorf("%s: Check() = %+v; want the explanation %q", tt.record, got, tt.want)
		}
	}
}

// slowText lets a lookup for the explanation see its deadline.
type slowText struct {
	fixed
	left *time.Duration
}

func (r slowText) TXT(ctx context.Context, name string) ([]string, error) {
	if name == "why.example" {
		if at, ok := ctx.Deadline(); ok {
			*r.left = time.Until(at)
		}
		return nil, errTimeout
	}
	return r.fixed.TXT(ctx, name)
}

func TestExplanationHasOwnDeadline(t *testing.T) {
	var left time.Duration
	got := ask(t, slowText{"v=spf1 -all exp=why.example", &left}, v4)
	if got.Status != Fail || got.Err != nil || left <= 0 || left > explanationTime {
		t.Errorf("Check() = %+v with %v for the explanation; want fail, within %v", got, left, explanationTime)
	}
}

func TestCheckCostOfHostileRecords(t *testing.T) {
	long := strings.Repeat("l", 100_000)
	for _, record := range []string{
		"v=spf1" + strings.Repeat(" ip4:203.0.113.1", 4000),
		"v=spf1" + strings.Repeat(" ", 60_000),
		"v=spf1" + strings.Repeat(" exists:"+strings.Repeat("%{s}%{lr-+}%{h1r.}", 300)+".example", 10),
		"v=spf1 -all exp=" + strings.Repeat("%{S127r-}", 6000),
		"v=spf1 include:%{d}",
		"v=spf1 redirect=%{d}.",
	} {
		got := Check(t.Context(), fixed(record), Query{IP: v4, Domain: "x.example", Local: long, Helo: long, Explain: true})
		if len(got.Term) > maxTerm || len(got.Explanation) > maxExplanation {
			t.Errorf("Check(%.40q) = %d and %d bytes of text; want limits kept", record, len(got.Term), len(got.Explanation))
		}
	}
}

func TestMacroOfValidatedName(t *testing.T) {
	tests := []struct {
		name string
		ptr  []string
		want string
	}{
		{"the domain itself first", []string{"other.example", "m.x.example", "X.example"}, "X.example"},
		{"then a subdomain", []string{"other.example", "m.x.example"}, "m.x.example"},
		{"then any", []string{"lies.example", "other.example"}, "other.example"},
		{"a name that ends alike is no subdomain", []string{"other.example", "notx.example"}, "other.example"},
		{"none that is valid", []string{"lies.example", "a..b", ""}, "unknown"},
		{"none", nil, "unknown"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &checker{ip: v4, dns: &static{ptr: tt.ptr, addr: map[string][]netip.Addr{
				"other.example": {v4}, "m.x.example": {v4}, "X.example": {v4}, "notx.example": {v4}, "lies.example": {v6},
			}}}
			if got := c.validName(t.Context(), "x.example"); got != tt.want {
				t.Errorf("validName() = %q; want %q", got, tt.want)
			}
		})
	}
}
