package dmarc

import (
	"fmt"
	"testing"
)

func opinion(t *testing.T, dns *fakeDNS, m Method, author string, ids ...Identifier) Opinion {
	t.Helper()
	f, d := find(t, dns, m, author)
	for i, id := range ids {
		ids[i] = f.Identify(t.Context(), id, d)
	}
	return Opinion{d, Evaluate(d, ids)}
}

func TestCompareMethods(t *testing.T) {
	tests := []struct {
		name   string
		dns    *fakeDNS
		author string
		pass   string // a signature of this domain passed
		want   string
	}{
		{"nowhere", zone("example.com p=reject"), "mail.example.com", "example.com", "[]"},
		{"no record at all, at a registered domain", zone(), "example.com", "", "[]"},
		{"no record at all, below one: the walk ends where it began", zone(), "a.example.com", "", "[org]"},
		{"a record only on a subdomain, whose parent signs", zone("a.example.com p=reject"), "a.example.com", "example.com", "[org verdict]"},
		{"the same, and it signs itself", zone("a.example.com p=reject"), "a.example.com", "a.example.com", "[org]"},
		{"a registry's record", zone("com p=reject; psd=y"), "example.com", "", "[record verdict]"},
		{"two records at the author", zone("a.example.com p=none", "a.example.com p=none", "example.com p=reject"), "a.example.com", "", "[record verdict]"},
		{"np of a name that is missing", missing("gone.example.com", zone("example.com p=none; np=reject")), "gone.example.com", "", "[verdict]"},
		{"np, when the message passes", missing("gone.example.com", zone("example.com p=none; np=reject")), "gone.example.com", "gone.example.com", "[]"},
		{"a name that only the walk asks does not answer", zone("example.com p=reject").failing(theirs, "b.example.com"), "a.b.example.com", "", "[verdict]"},
		{"neither has an answer, for different reasons", zone().failing(theirs, "b.example.com").failing(ours, "example.com"), "a.b.example.com", "", "[]"},
		{"the walk finds the record and not the organization", zone("a.b.example.com p=reject").failing(theirs, "b.example.com"), "a.b.example.com", "", "[]"},
		{"the same, and a sibling signs", zone("a.b.example.com p=reject").failing(theirs, "b.example.com"), "a.b.example.com", "x.example.com", "[verdict]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ids := func() []Identifier { return []Identifier{dkim(tt.pass, tt.pass != "")} }
			walk, list := opinion(t, tt.dns, TreeWalk, tt.author, ids()...), opinion(t, tt.dns, PSL, tt.author, ids()...)
			if got := fmt.Sprint(Compare(walk, list)); got != tt.want {
				t.Errorf("Compare = %s; want %s\nwalk %+v\nlist %+v", got, tt.want, walk.Verdict, list.Verdict)
			}
			if got := fmt.Sprint(Compare(list, walk)); got != tt.want {
				t.Errorf("Compare, turned round = %s; want %s", got, tt.want)
			}
			if got := Compare(walk, walk); got != nil {
				t.Errorf("Compare with itself = %v; want nothing", got)
			}
		})
	}
}

func missing(name string, dns *fakeDNS) *fakeDNS {
	dns.missing[name] = true
	return dns
}

func TestCompareOutcomes(t *testing.T) {
	base := Verdict{Status: Fail, Policy: Reject, Pct: 100}
	tests := []struct {
		name string
		a, b Verdict
		want string
	}{
		{"cause and reason explain only", Verdict{Status: TempError, Cause: CauseOurs, Why: "x"}, Verdict{Status: TempError, Cause: CauseDomain}, "[]"},
		{"the policy of a failure", base, Verdict{Status: Fail, Policy: Quarantine, Pct: 100}, "[verdict]"},
		{"t of a failure", base, Verdict{Status: Fail, Policy: Reject, Pct: 100, Testing: true}, "[verdict]"},
		{"pct of a failure", base, Verdict{Status: Fail, Policy: Reject}, "[verdict]"},
		{"policy, t and pct of a pass", Verdict{Status: Pass, Policy: Reject, Testing: true, Pct: 3}, Verdict{Status: Pass}, "[]"},
		{"which mechanism gave the pass", Verdict{Status: Pass, AlignedSPF: true}, Verdict{Status: Pass, AlignedDKIM: true}, "[verdict]"},
		{"the status", base, Verdict{Status: TempError, Policy: Reject, Pct: 100}, "[verdict]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := fmt.Sprint(Compare(Opinion{Verdict: tt.a}, Opinion{Verdict: tt.b})); got != tt.want {
				t.Errorf("Compare(%+v, %+v) = %s; want %s", tt.a, tt.b, got, tt.want)
			}
		})
	}
}

func TestCompareRecordsByPlaceAndText(t *testing.T) {
	a := Opinion{Discovery: Discovery{PolicyDomain: "example.com", Record: mustParse(t, "v=DMARC1; p=none")}}
	place, words := a, a
	place.Discovery.PolicyDomain = "example.net"
	words.Discovery.Record = mustParse(t, "v=DMARC1; p=reject")
	for _, b := range []Opinion{place, words} {
		if got := fmt.Sprint(Compare(a, b)); got != "[record]" {
			t.Errorf("Compare = %s; want [record]", got)
		}
	}
	for _, unknown := range []Opinion{{Discovery: Discovery{Err: theirs, Org: "x"}}, {Discovery: Discovery{Err: theirs}}} {
		if got := Compare(a, unknown); got != nil {
			t.Errorf("Compare with what is not known = %v; want nothing", got)
		}
	}
}

func TestDifferencesHaveNames(t *testing.T) {
	if got := fmt.Sprint(Differences()); got != "[org record verdict]" {
		t.Errorf("Differences() = %s; want [org record verdict]", got)
	}
}
