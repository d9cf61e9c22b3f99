package spf

import (
	"strings"
	"testing"

	"dmarcgate/internal/dnstest"
)

func TestStatusWords(t *testing.T) {
	want := "none neutral pass fail softfail temperror permerror"
	var got []string
	for s := None; s <= PermError; s++ {
		got = append(got, s.String())
	}
	if words := strings.Join(got, " "); words != want {
		t.Errorf("the results are %q; want %q", words, want)
	}
	if got := MailFrom.String() + " " + Helo.String(); got != "mailfrom helo" {
		t.Errorf("the identities are %q; want mailfrom and helo", got)
	}
}

func TestResultNamesIdentity(t *testing.T) {
	z := dnstest.NewZone(t, `
		x.example     TXT "v=spf1 include:list.example -all"
		y.example     TXT "v=spf1 redirect=list.example"
		list.example  TXT "v=spf1 ip4:192.0.2.0/24 -all"
		in.list.example TXT "v=spf1 -all"`)
	for _, domain := range []string{"x.example", "y.example"} {
		for _, id := range []Identity{MailFrom, Helo} {
			got := Check(t.Context(), z, Query{IP: v4, Domain: domain, Helo: "mx.sender.example", Identity: id})
			if got.Status != Pass || got.Domain != domain || got.Identity != id {
				t.Errorf("Check(%s) = %+v; want pass of %v %s, not of a domain that it names", domain, got, id, domain)
			}
		}
	}
	got := Check(t.Context(), z, Query{IP: v4, Domain: "x\r\n.example"})
	if got.Status != None || got.Domain != "x??.example" {
		t.Errorf("Check() = %+v; want none, and a domain that can be printed", got)
	}
}

func TestExplanationIsOptional(t *testing.T) {
	for explain, want := range map[bool]string{false: "", true: "because"} {
		z := dnstest.NewZone(t, "x.example TXT \"v=spf1 -all exp=why.x.example\"\nwhy.x.example TXT because")
		got := Check(t.Context(), z, Query{IP: v4, Domain: "x.example", Explain: explain})
		if got.Status != Fail || got.Explanation != want || (z.Queried() == 2) != explain {
			t.Errorf("Check() with Explain %t = %+v after %q; want fail and %q", explain, got, z.Queries(), want)
		}
	}
}

// The table of RFC 7208, Section 5.2, and what redirect makes of the same
// results (Section 6.1).
func TestCheckIncludeAndRedirect(t *testing.T) {
	const records = `
		pass.example     TXT "v=spf1 +all"
		fail.example     TXT "v=spf1 -all"
		softfail.example TXT "v=spf1 ~all"
		neutral.example  TXT "v=spf1 ?all"
		perm.example     TXT "v=spf1 error"
		!servfail temp.example
		!any
		`
	tests := []struct {
		domain            string
		include, redirect Status
	}{
		{"pass.example", SoftFail, Pass}, {"fail.example", Neutral, Fail}, {"softfail.example", Neutral, SoftFail}, {"neutral.example", Neutral, Neutral},
		{"temp.example", TempError, TempError}, {"perm.example", PermError, PermError}, {"none.example", PermError, PermError},
	}
	for _, tt := range tests {
		for record, want := range map[string]Status{"v=spf1 ~include:" + tt.domain + " ?all": tt.include, "v=spf1 redirect=" + tt.domain: tt.redirect} {
			z := dnstest.NewZone(t, records+"x.example TXT \""+record+"\"")
			if got := ask(t, z, v4); got.Status != want {
				t.Errorf("%s: Check() = %+v; want %v", record, got, want)
			}
		}
	}
}

// RFC 7208, Section 7.2: d is the domain whose record it is, o and s stay.
func TestMacroDFollowsRecord(t *testing.T) {
	for _, first := range []string{"include:in.example -all", "redirect=in.example"} {
		z := dnstest.NewZone(t, `
			x.example  TXT "v=spf1 `+first+`"
			in.example TXT "v=spf1 exists:%{d}.%{o}.%{s1}.d.example -all"
			in.example.x.example.example.d.example A 127.0.0.2`)
		if got := ask(t, z, v4); got.Status != Pass {
			t.Errorf("%s: Check() = %+v after %q; want pass", first, got, z.Queries())
		}
	}
}

// RFC 7208, Section 7.3.
func TestMacroKeepsEmptyParts(t *testing.T) {
	c := sample("192.0.2.3")
	c.local = "-a--b-"
	for spec, want := range map[string]string{"%{l-}": ".a..b.", "%{l2-}": "b.", "%{lr-}": ".b..a.", "%{l4r-}": "b..a.", "%{l.}": "-a--b-"} {
		if got := expandName(spec, func(l byte) string { return c.value(t.Context(), l, "x.example") }); got != strings.TrimSuffix(want, ".") {
			t.Errorf("expandName(%q) = %q; want %q", spec, got, want)
		}
	}
}

// RFC 7208, Sections 5.5 and 4.6.4.
func TestCheckPTRFailureMatchesNothing(t *testing.T) {
	for record, want := range map[string]Status{"v=spf1 ptr ~all": SoftFail, "v=spf1 ptr ptr ptr ptr ?all": Neutral, "v=spf1 exists:%{p}.none.example -all": Fail} {
		z := dnstest.NewZone(t, "x.example TXT \""+record+"\"\n!servfail 1.2.0.192.in-addr.arpa\n!any")
		if got := ask(t, z, v4); got.Status != want {
			t.Errorf("%s: Check() = %+v; want %v", record, got, want)
		}
	}
}
