package dnscheck

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/auth/spf"
	"dmarcgate/config"
	"dmarcgate/dnscache"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/patterntest"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
	"dmarcgate/site"
)

var zone = `
!any
. NS ns.example.
good.example.      TXT "v=spf1 ip4:192.0.2.0/28 include:mail.good.example -all"
mail.good.example. TXT "v=spf1 a -all"
mail.good.example. A 192.0.2.99
open.example.      TXT "v=spf1 +all"
halves.example.    TXT "v=spf1 ip4:0.0.0.0/1 ip4:128.0.0.0/1 -all"
half.example.      TXT "v=spf1 include:spf.half.example -all"
spf.half.example.  TXT "v=spf1 ip4:128.0.0.0/1 -all"
six.example.       TXT "v=spf1 ip6:2000::/8 -all"
soft.example.      TXT "v=spf1 ip4:192.0.2.1 ?all"
named.example.     TXT "v=spf1 ptr -all"
shared.example.    TXT "v=spf1 include:sendgrid.net include:u1.sendgrid.net -all"
sendgrid.net.      TXT "v=spf1 ip4:198.51.100.0/24 -all"
u1.sendgrid.net.   TXT "v=spf1 ip4:198.51.100.7 -all"
flat.example.      TXT "v=spf1 ip4:209.85.220.0/24 -all"
own-ip.example.    TXT "v=spf1 ip4:167.89.1.2 -all"
dangling.example.  TXT "v=spf1 include:_spf.bankrupt.example -all"
silent.example.    TXT "v=spf1 include:lame.example -all"
hostile.example.   TXT "v=spf1 include:\027[2J\007x.sendgrid.net include:\155\155.sendgrid.net -all"
hosts.example.     TXT "v=spf1 mx -all"
hosts.example.     MX 10 \027[2J\007x.sendgrid.net.
empty.example.     A 192.0.2.1
7.2.0.192.in-addr.arpa.  PTR mail.good.example.
8.2.0.192.in-addr.arpa.  PTR ec2-192-0-2-8.compute-1.amazonaws.com.
9.2.0.192.in-addr.arpa.  PTR 9.ip-51-68-1.eu.
10.2.0.192.in-addr.arpa. PTR \027[31mred\007.amazonaws.com.
12.2.0.192.in-addr.arpa. PTR ` + strings.Repeat("long.", 30) + `amazonaws.com.
!servfail lame.example
!servfail broken.example
!servfail 11.2.0.192.in-addr.arpa
`

func checker(t *testing.T, text string) Checker {
	t.Helper()
	dns, err := dnscache.New(dnscache.Config{Servers: []string{dnstest.New(t, text).Addr()}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dns.Close)
	return Checker{DNS: dns, Now: time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)}
}

func rule(change func(*policy.Match)) policy.Rule {
	r := policy.Rule{ID: "r", Mode: policy.Enforce, Action: policy.RuleAccept, File: "a.toml", Line: 7}
	change(&r.Match)
	return r
}

var domains, nets = patterntest.Domains, patterntest.Networks

func check(t *testing.T, c Checker, rules ...policy.Rule) []site.Remark {
	t.Helper()
	found, err := c.Check(t.Context(), rules)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// codesOf returns the codes of findings, which have to be warnings about one line,
// in printable ASCII.
func codesOf(t *testing.T, found []site.Remark) []string {
	t.Helper()
	codes := []string{}
	for _, f := range found {
		if f.Level != site.LevelWarning || f.File == "" || f.Line == 0 || f.Key == "" || f.Text == "" || f.Fix == "" || !slices.Contains(policy.Codes(), f.Code) {
			t.Errorf("%+v; want a warning with its place, a code and a fix", f)
		}
		if strings.ContainsFunc(f.String(), func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q is not printable", f)
		}
		codes = append(codes, f.Code)
	}
	return codes
}

func TestCheckFindsWhatTheDNSLetsIn(t *testing.T) {
	c := checker(t, zone)
	bySPF := func(names ...string) func(*policy.Match) {
		return func(m *policy.Match) { m.SPFPass = domains(names...) }
	}
	client := func(list ...string) func(*policy.Match) {
		return func(m *policy.Match) { m.Client = nets(list...) }
	}
	const gone, failed, shared = policy.CodeDNSNoDomain, policy.CodeDNSFailed, policy.CodeDNSSharedSender
	tests := []struct {
		name  string
		match func(*policy.Match)
		want  []string
		text  string
	}{
		{"a record of few addresses", bySPF("good.example"), nil, ""},
		{"a domain without a record", bySPF("empty.example"), nil, ""},
		{"?all is not a pass", bySPF("soft.example"), nil, ""},
		{"+all", bySPF("open.example"), []string{policy.CodeDNSEverybody}, `"open.example" lets in everybody`},
		{"+all in two halves", bySPF("halves.example"), []string{policy.CodeDNSEverybody}, ""},
		{"half of the Internet, in an include", bySPF("half.example"), []string{policy.CodeDNSWide}, "2147483648 addresses"},
		{"a wide network of IPv6", bySPF("six.example"), []string{policy.CodeDNSWide}, ""},
		{"ptr", bySPF("named.example"), []string{policy.CodeDNSPTR}, ""},
		{"a shared holder, told once", bySPF("shared.example"), []string{shared}, `lets in "sendgrid.net", of a service`},
		{"networks of a shared holder", bySPF("flat.example"), []string{shared}, "209.85.220.0/24"},
		{"one address at a shared holder", bySPF("own-ip.example"), nil, ""},
		{"an include that anybody can register", bySPF("dangling.example"), []string{gone}, "bankrupt.example"},
		{"an include without an answer", bySPF("silent.example"), []string{failed}, "could not be looked up"},
		{"a record with terminal escapes, which is none", bySPF("hostile.example"), nil, ""},
		{"mail hosts with terminal escapes, which are no hosts", bySPF("hosts.example"), nil, ""},
		{"the names below, which have records of their own", bySPF(".open.example"), nil, ""},
		{"a shared holder, which is no news", bySPF("sendgrid.net"), nil, ""},
		{"a domain that lapsed", bySPF("a.gone.example"), []string{gone}, `"gone.example" does not exist: whoever registers it passes for "a.gone.example"`},
		{"names below one that lapsed, told once", bySPF(".gone.example", "gone.example"), []string{gone}, ""},
		{"a signer that lapsed", func(m *policy.Match) { m.DKIMPass = domains("gone.example") }, []string{gone}, ""},
		{"a sealer that lapsed", func(m *policy.Match) { m.ARCPass = domains("gone.example") }, []string{gone}, ""},
		{"a client name that lapsed", func(m *policy.Match) { m.IPRev = domains("mx.gone.example") }, []string{gone}, ""},
		{"an unused name of a domain that exists", func(m *policy.Match) { m.DKIMPass = domains("new.good.example") }, nil, ""},
		{"SPF of a signer does not matter", func(m *policy.Match) { m.DKIMPass = domains("open.example") }, nil, ""},
		{"no answer", func(m *policy.Match) { m.DKIMPass = domains("broken.example") }, []string{failed}, `"broken.example" could not be looked up`},
		{"an address of one party", client("192.0.2.7/32"), nil, ""},
		{"an address without a name", client("203.0.113.1/32"), nil, ""},
		{"an address in a cloud", client("192.0.2.8/32"), []string{policy.CodeDNSSharedClient}, "amazonaws.com"},
		{"a rented server", client("192.0.2.9/32"), []string{policy.CodeDNSSharedClient}, "a rented server"},
		{"a network with addresses in a cloud", client("192.0.2.8/31"), []string{policy.CodeDNSSharedClient, policy.CodeDNSSharedClient}, ""},
		{"a name of a client with terminal escapes, which is none", client("192.0.2.10/32"), nil, ""},
		{"a long name of a client", client("192.0.2.12/32"), []string{policy.CodeDNSSharedClient}, "..."},
		{"a client without an answer", client("192.0.2.11/32"), []string{failed}, "192.0.2.11 could not be looked up"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			found := check(t, c, rule(tt.match))
			if got := codesOf(t, found); !slices.Equal(got, tt.want) && len(got)+len(tt.want) > 0 {
				t.Fatalf("Check() = %v; want %v", found, tt.want)
			}
			if tt.text != "" && !strings.Contains(found[0].Text, tt.text) {
				t.Errorf("Check() = %q; want %q in it", found[0].Text, tt.text)
			}
		})
	}
}

func TestCheckLeavesOutRulesThatExemptNothing(t *testing.T) {
	c := checker(t, "!any\n. NS ns.example.")
	gone := func(change func(*policy.Rule)) policy.Rule {
		r := rule(func(m *policy.Match) { m.DKIMPass = domains("gone.example") })
		change(&r)
		return r
	}
	found := check(t, c,
		gone(func(r *policy.Rule) { r.Mode = policy.Off }),
		gone(func(r *policy.Rule) { r.Action = policy.RuleReject }),
		gone(func(r *policy.Rule) { r.Expires = c.Now }),
		gone(func(r *policy.Rule) { r.ID, r.Mode = "shadow", policy.Shadow }),
	)
	if len(found) != 1 || found[0].Rule != "shadow" {
		t.Errorf("Check() = %v; want the rule in shadow alone", found)
	}
}

func TestCheckLooksUpListsOfTheConfiguration(t *testing.T) {
	c := checker(t, zone)
	path := filepath.Join(t.TempDir(), "dmarcgate.toml")
	text := `authserv_id = "mx.receiver.example"
[[listener]]
name = "mta"
address = "unix:/run/x.sock"
profile = "conformant"
trusted_networks = ["192.0.2.9"]
[conformant]
trusted_sealers = ["gone.example"]
forwarder_networks = ["192.0.2.8/32"]
forwarder_domains = ["shared.example", ".gone.example"]
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if c.Config, err = config.Load(path); err != nil {
		t.Fatal(err)
	}
	var got []string
	found := check(t, c)
	codesOf(t, found)
	for _, f := range found {
		got = append(got, fmt.Sprintf("%d %s %s", f.Line, f.Key, f.Code))
	}
	want := []string{
		"6 listener.trusted_networks dns_shared_client", "8 conformant.trusted_sealers dns_no_domain",
		"9 conformant.forwarder_networks dns_shared_client", "10 conformant.forwarder_domains dns_shared_sender", "10 conformant.forwarder_domains dns_no_domain",
	}
	if !slices.Equal(got, want) {
		t.Errorf("Check() = %q; want %q", got, want)
	}
}

func TestCheckBoundsMapsAndFindings(t *testing.T) {
	c := checker(t, "!any\n. NS ns.example.")
	var names []pattern.Domain
	var networks []netip.Prefix
	for i := range maxMapItems + 20 {
		names = append(names, domains(fmt.Sprintf("d%d.example", i))...)
		networks = append(networks, netip.PrefixFrom(netip.AddrFrom4([4]byte{192, byte(i / 100), byte(i % 100 * 2), 1}), 32))
	}
	r := rule(func(m *policy.Match) {
		m.DKIMPass = []pattern.Domain{pattern.NewDomainMap("names", names).Pattern()}
		m.Client = []pattern.Network{pattern.NewNetMap("networks", networks).Pattern()}
	})
	found := check(t, c, r)
	want := []string{
		policy.CodeDNSLimit, policy.CodeDNSNoDomain, policy.CodeDNSNoDomain, policy.CodeDNSNoDomain, policy.CodeDNSNoDomain, policy.CodeDNSNoDomain,
		policy.CodeDNSNoDomain, policy.CodeDNSLimit,
	}
	if got := codesOf(t, found); !slices.Equal(got, want) {
		t.Fatalf("Check() = %v; want %v", found, want)
	}
	for i, text := range map[int]string{0: "20 items were not looked up: of a map, the first 1000 are", 6: "995 more items", 7: "20 items were not"} {
		if !strings.Contains(found[i].Text, text) {
			t.Errorf("finding %d is %q; want %q in it", i, found[i].Text, text)
		}
	}
}

func TestPlanBoundsNames(t *testing.T) {
	p := newPlan()
	for i := range maxNames/500 + 1 {
		var names []pattern.Domain
		for j := range 500 {
			names = append(names, domains(fmt.Sprintf("d%d.e%d.example", j, i))...)
		}
		p.addRule(rule(func(m *policy.Match) { m.DKIMPass = names }))
	}
	last := p.anchors[len(p.anchors)-1]
	if len(p.subjects) != maxNames || len(p.anchors) != maxNames/500+1 || last.beyondNames != 500 {
		t.Errorf("%d subjects of %d anchors, %d left out at the last; want %d, and the rest counted", len(p.subjects), len(p.anchors), last.beyondNames, maxNames)
	}
	if found := last.findings(); len(found) != 1 || found[0].Code != policy.CodeDNSLimit || !strings.Contains(found[0].Text, "500 items") {
		t.Errorf("findings() = %v; want what was left out", found)
	}
}

func TestCheckSaysWhatThereWasNoTimeFor(t *testing.T) {
	c := checker(t, "!any\n!delay 2s\n. NS ns.example.")
	c.limit = 50 * time.Millisecond
	calls := 0
	c.Progress = func(done, all int) {
		if calls++; done != 0 || all != 2 {
			t.Errorf("Progress(%d, %d); want none of 2", done, all)
		}
	}
	found := check(t, c, rule(func(m *policy.Match) { m.DKIMPass = domains("a.example", "b.example") }))
	if len(found) != 1 || found[0].Code != policy.CodeDNSLimit || !strings.Contains(found[0].Text, "2 items were not looked up within") || calls == 0 {
		t.Errorf("Check() = %v after %d calls of Progress; want one finding for both names", found, calls)
	}
}

func TestCheckEndsWithItsContext(t *testing.T) {
	c := checker(t, "!any\n!down")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if found, err := c.Check(ctx, []policy.Rule{rule(func(m *policy.Match) { m.DKIMPass = domains("a.example") })}); err == nil {
		t.Errorf("Check() = %v, nil; want the error of the context", found)
	}
}

func TestFindingsArePrintableWhateverTheDNSSays(t *testing.T) {
	const escape = "\x1b[2J\x07\u009b\r\n"
	client := &subject{client: netip.MustParseAddr("192.0.2.1"), asked: true, names: []string{escape + ".amazonaws.com"}, err: errors.New(escape)}
	domain := &subject{
		domain: "a.example", asked: true, spf: true, lapsed: []string{escape}, err: errors.New(escape),
		reach: &spf.Reach{Names: []string{escape + ".sendgrid.net"}},
	}
	a := &anchor{place: site.Remark{Problem: config.Problem{File: "a.toml", Line: 7, Key: "match.spf_pass"}}, items: []item{{subject: client}, {domain, true}}}
	got := codesOf(t, a.findings())
	want := []string{policy.CodeDNSFailed, policy.CodeDNSSharedClient, policy.CodeDNSFailed, policy.CodeDNSSharedSender, policy.CodeDNSNoDomain}
	if !slices.Equal(got, want) {
		t.Errorf("findings have the codes %v; want %v", got, want)
	}
}
