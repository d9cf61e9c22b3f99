package dmarc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestWorkedExamples: which record applies, which Organizational Domain, how
// many queries, and who is aligned.
func TestWorkedExamples(t *testing.T) {
	tests := []struct {
		name         string
		dns          *fakeDNS
		author       string
		org, policy  string
		source       Source
		queries      int
		aligned, not []string
	}{
		{"a registered domain", zone("example.com p=none"), "example.com", "example.com", "example.com", SourceAuthor, 2,
			[]string{"example.com", "mail.example.com"}, []string{"example.net", "evilexample.com", "com"}},
		{"the organization's record, not the nearest", zone("mail.example.com p=none", "example.com p=reject"), "a.mail.example.com", "example.com", "example.com", SourceOrg, 4,
			[]string{"mail.example.com", "x.example.com"}, nil},
		{"psd=n cuts an organization", zone("mail.example.com p=none; psd=n", "example.com p=reject"), "a.mail.example.com", "mail.example.com", "mail.example.com", SourceOrg, 2,
			[]string{"mail.example.com"}, []string{"example.com", "x.example.com"}},
		{"psd=n is invisible from above", zone("mail.example.com p=none; psd=n", "example.com p=reject"), "example.com", "example.com", "example.com", SourceAuthor, 2,
			[]string{"x.example.com"}, []string{"mail.example.com", "a.mail.example.com"}},
		{"a registry's policy", zone("com p=reject; psd=y"), "a.mail.example.com", "example.com", "com", SourcePSD, 4,
			[]string{"x.example.com"}, []string{"other.com", "com"}},
		{"a record only on a subdomain", zone("a.example.com p=none"), "a.example.com", "a.example.com", "a.example.com", SourceAuthor, 3,
			[]string{"b.a.example.com"}, []string{"example.com", "b.example.com"}},
		{"a customer of a suffix", zone("giant.bank.example p=none", "bank.example p=reject; psd=y"), "giant.bank.example", "giant.bank.example", "giant.bank.example", SourceAuthor, 2,
			[]string{"mail.giant.bank.example"}, []string{"mail.mega.bank.example", "bank.example"}},
		{"a customer without a record", zone("bank.example p=reject; psd=y"), "x.giant.bank.example", "giant.bank.example", "bank.example", SourcePSD, 3,
			[]string{"giant.bank.example"}, []string{"mega.bank.example"}},
		{"a customer without a record, itself the author", zone("bank.example p=reject; psd=y"), "giant.bank.example", "giant.bank.example", "bank.example", SourcePSD, 2,
			[]string{"x.giant.bank.example"}, []string{"mega.bank.example"}},
		{"a suffix is not its own customer", zone("bank.example p=reject; psd=y"), "bank.example", "bank.example", "bank.example", SourceAuthor, 1,
			nil, []string{"giant.bank.example"}},
		{"a suffix that forgot to say so", zone("bank.example p=reject"), "www.giant.bank.example", "bank.example", "bank.example", SourceOrg, 4,
			[]string{"mega.bank.example"}, nil},
		{"a record between author and organization is skipped", zone("y.giant.bank.example p=none", "bank.example p=reject; psd=y"), "x.y.giant.bank.example", "giant.bank.example", "bank.example", SourcePSD, 4,
			[]string{"y.giant.bank.example"}, nil},
		{"below a suffix of two labels, only the author has a record", zone("shop.example.co.uk p=none"), "shop.example.co.uk", "shop.example.co.uk", "shop.example.co.uk", SourceAuthor, 4,
			nil, []string{"example.co.uk", "mail.example.co.uk"}},
		{"ten labels: a cut at eight is not seen from there", zone("b.c.d.e.f.g.example.com p=none; psd=n", "example.com p=none"), "mail.a.b.c.d.e.f.g.example.com", "example.com", "example.com", SourceOrg, 8,
			nil, []string{"b.c.d.e.f.g.example.com"}},
		{"ten labels, psd=y at seven: the organization has eight", zone("c.d.e.f.g.example.com p=reject; psd=y"), "mail.a.b.c.d.e.f.g.example.com", "b.c.d.e.f.g.example.com", "c.d.e.f.g.example.com", SourcePSD, 2,
			[]string{"b.c.d.e.f.g.example.com"}, []string{"c.d.e.f.g.example.com"}},
		{"eight labels go on with seven", zone("example.com p=none"), "a.b.c.d.e.f.example.com", "example.com", "example.com", SourceOrg, 8, []string{"example.com"}, nil},
		{"no record at all", zone(), "a.example.com", "a.example.com", "", SourceNone, 3, nil, []string{"example.com", "b.a.example.com"}},
		{"a top-level domain", zone("com p=none"), "com", "com", "com", SourceAuthor, 1, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, d := find(t, tt.dns, TreeWalk, tt.author)
			if d.Org != tt.org || d.PolicyDomain != tt.policy || d.Source != tt.source || len(d.Walk) != tt.queries || d.Err != nil || d.OrgErr != nil {
				t.Errorf("Find(%q) = org %q, policy of %q (%v), %d queries, %v, %v; want org %q, policy of %q (%v), %d queries",
					tt.author, d.Org, d.PolicyDomain, d.Source, len(d.Walk), d.Err, d.OrgErr, tt.org, tt.policy, tt.source, tt.queries)
			}
			for _, domain := range append(tt.aligned, tt.not...) {
				id := f.Identify(t.Context(), Identifier{Mechanism: DKIM, Domain: domain, Passed: true}, d)
				if got, want := id.AlignedWith(d), slices.Contains(tt.aligned, domain); got != want || id.OrgErr != nil {
					t.Errorf("%q aligned with %q = %t, %v; want %t", domain, tt.author, got, id.OrgErr, want)
				}
			}
		})
	}
}

func TestWalkDomains(t *testing.T) {
	tests := []struct{ name, domain, want string }{
		{"one label", "com", "com"},
		{"two labels", "example.com", "example.com com"},
		{"seven labels", "1.2.3.4.5.6.com", "1.2.3.4.5.6.com 2.3.4.5.6.com 3.4.5.6.com 4.5.6.com 5.6.com 6.com com"},
		{"eight labels lose one", "1.2.3.4.5.6.7.com", "1.2.3.4.5.6.7.com 2.3.4.5.6.7.com 3.4.5.6.7.com 4.5.6.7.com 5.6.7.com 6.7.com 7.com com"},
		{"nine labels lose two", "0.1.2.3.4.5.6.7.com", "0.1.2.3.4.5.6.7.com 2.3.4.5.6.7.com 3.4.5.6.7.com 4.5.6.7.com 5.6.7.com 6.7.com 7.com com"},
		{"twenty labels", strings.Repeat("x.", 12) + "0.1.2.3.4.5.6.com", strings.Repeat("x.", 12) + "0.1.2.3.4.5.6.com 1.2.3.4.5.6.com 2.3.4.5.6.com 3.4.5.6.com 4.5.6.com 5.6.com 6.com com"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			names, n := walkDomains(tt.domain)
			if got := strings.Join(names[:n], " "); got != tt.want {
				t.Errorf("walkDomains(%q) = %s; want %s", tt.domain, got, tt.want)
			}
		})
	}
}

func TestFindFiltersRecordsBeforeCounting(t *testing.T) {
	tests := []struct {
		name   string
		dns    *fakeDNS
		method Method
		policy string
	}{
		{"a wildcard's SPF record hides no parent record", zone("example.com p=reject").with("_dmarc.a.example.com", "v=spf1 -all"), TreeWalk, "example.com"},
		{"nor does it by the list", zone("example.com p=reject").with("_dmarc.a.example.com", "v=spf1 -all"), PSL, "example.com"},
		{"other TXT beside the record", zone("a.example.com p=none").with("_dmarc.a.example.com", "v=spf1 -all"), TreeWalk, "a.example.com"},
		{"another version beside the record", zone("a.example.com p=none").with("_dmarc.a.example.com", "v=DMARC2; p=reject"), TreeWalk, "a.example.com"},
		{"two records at the author: the walk goes on", zone("a.example.com p=none", "a.example.com p=none", "example.com p=reject"), TreeWalk, "example.com"},
		{"two records at the author: RFC 7489 stops", zone("a.example.com p=none", "a.example.com p=none", "example.com p=reject"), PSL, ""},
		{"two records at the organization: RFC 7489 stops", zone("example.com p=none", "example.com p=none"), PSL, ""},
		{"two records at the organization: a shorter name may be it", zone("example.com p=none", "example.com p=none", "com p=reject; psd=y"), TreeWalk, "com"},
		{"two records that say psd=n stop nothing", zone("a.example.com psd=n", "a.example.com psd=n", "example.com p=none"), TreeWalk, "example.com"},
		{"psd=u stops nothing", zone("a.example.com p=none; psd=u", "example.com p=none"), TreeWalk, "a.example.com"},
		{"a record without p takes part", zone("a.example.com aspf=s", "example.com p=none"), TreeWalk, "a.example.com"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, d := find(t, tt.dns, tt.method, "a.example.com"); d.PolicyDomain != tt.policy || d.Err != nil {
				t.Errorf("Find by %v = record of %q, %v; want %q", tt.method, d.PolicyDomain, d.Err, tt.policy)
			}
		})
	}
}

func TestFindByList(t *testing.T) {
	tests := []struct {
		name, author string
		dns          *fakeDNS
		org, policy  string
		queried      []string
	}{
		{"the author's record is enough", "a.example.co.uk", zone("a.example.co.uk p=none", "example.co.uk p=reject"), "example.co.uk", "a.example.co.uk", []string{"TXT _dmarc.a.example.co.uk"}},
		{"then the organization's", "a.b.example.co.uk", zone("b.example.co.uk p=none", "example.co.uk p=reject"), "example.co.uk", "example.co.uk", []string{"TXT _dmarc.a.b.example.co.uk", "TXT _dmarc.example.co.uk"}},
		{"the organization is not queried twice", "example.co.uk", zone(), "example.co.uk", "", []string{"TXT _dmarc.example.co.uk"}},
		{"a suffix has no organization", "co.uk", zone("uk p=reject"), "", "", []string{"TXT _dmarc.co.uk"}},
		{"psd means nothing", "a.example.com", zone("com p=reject; psd=y"), "example.com", "", []string{"TXT _dmarc.a.example.com", "TXT _dmarc.example.com"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, d := find(t, tt.dns, PSL, tt.author)
			if queried := tt.dns.queried(); d.Org != tt.org || d.Widest != tt.org || d.PolicyDomain != tt.policy || !slices.Equal(queried, tt.queried) {
				t.Errorf("Find(%q) = org %q, record of %q, queried %v; want %q, %q, %v", tt.author, d.Org, d.PolicyDomain, queried, tt.org, tt.policy, tt.queried)
			}
		})
	}
}

func TestIdentifyAlignsSuffixOnlyWithItself(t *testing.T) {
	f, d := find(t, zone("github.io p=reject"), PSL, "github.io")
	for domain, want := range map[string]Status{"github.io": Pass, "evil.github.io": Fail, "io": Fail, "co.uk": Fail} {
		id := f.Identify(t.Context(), Identifier{Mechanism: DKIM, Domain: domain, Passed: true}, d)
		if v := Evaluate(d, []Identifier{id}); v.Status != want {
			t.Errorf("github.io with a DKIM pass of %q = %v (%s); want %v", domain, v.Status, v.Why, want)
		}
	}
}

// A suffix below a registered domain belongs to the suffix's customers, not to
// the domain: it has no organization, and nothing failed.
func TestIdentifyDoesNotAlignSuffixBelowOrganization(t *testing.T) {
	f, d := find(t, zone("amazonaws.com p=reject"), PSL, "amazonaws.com")
	id := f.Identify(t.Context(), dkim("s3.amazonaws.com", true), d)
	if v := Evaluate(d, []Identifier{id}); d.Org != "amazonaws.com" || id.Org != "" || v.Status != Fail {
		t.Errorf("organizations %q and %q, %v (%s); want amazonaws.com, none, fail", d.Org, id.Org, v.Status, v.Why)
	}
}

func TestFindAfterFailedLookup(t *testing.T) {
	tests := []struct {
		name        string
		dns         *fakeDNS
		author      string
		policy, org string
		widest      string
		err, orgErr bool
	}{
		{"at the author: nothing is known", zone("example.com p=reject").failing(theirs, "a.example.com"), "a.example.com", "", "", "example.com", true, false},
		{"above an author without a record: it may be the organization", zone("example.com p=reject").failing(theirs, "b.example.com"), "a.b.example.com", "", "", "example.com", true, false},
		{"above the author's own record: only the organization is open", zone("a.example.com p=reject").failing(theirs, "example.com"), "a.example.com", "a.example.com", "", "example.com", false, true},
		{"past a psd=n it counts for nothing", zone("a.example.com p=none; psd=n").failing(theirs, "example.com", "com"), "a.example.com", "a.example.com", "a.example.com", "a.example.com", false, false},
		{"a registry cannot undo a policy below it", zone("example.com p=reject").failing(theirs, "com"), "example.com", "example.com", "example.com", "example.com", false, false},
		{"nor that of a subdomain", zone("example.com p=reject").failing(theirs, "com"), "a.example.com", "example.com", "example.com", "example.com", false, false},
		{"but it may make the parent the organization", zone("a.example.com p=reject").failing(theirs, "com"), "a.example.com", "a.example.com", "", "example.com", false, true},
		{"and may have a policy for those without", zone().failing(theirs, "com"), "example.com", "", "", "example.com", true, false},
		{"a top-level domain itself", zone().failing(theirs, "com"), "com", "", "", "com", true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, d := find(t, tt.dns, TreeWalk, tt.author)
			if d.PolicyDomain != tt.policy || d.Org != tt.org || d.Widest != tt.widest || (d.Err != nil) != tt.err || (d.OrgErr != nil) != tt.orgErr {
				t.Errorf("Find(%q) = record of %q, org %q (at most %q), errors %v, %v; want %q, %q (%q), %t, %t",
					tt.author, d.PolicyDomain, d.Org, d.Widest, d.Err, d.OrgErr, tt.policy, tt.org, tt.widest, tt.err, tt.orgErr)
			}
		})
	}
}

func TestFindByListAfterFailedLookup(t *testing.T) {
	for _, failing := range []string{"a.example.com", "example.com"} {
		_, d := find(t, zone().failing(theirs, failing), PSL, "a.example.com")
		if !errors.Is(d.Err, theirs) || d.Source != SourceNone {
			t.Errorf("Find with no answer for %s = %v, %v; want no record, %v", failing, d.Source, d.Err, theirs)
		}
	}
}

func TestFindDoesNotWaitForNamesPastStop(t *testing.T) {
	dns := zone("a.example.com p=reject; psd=n")
	dns.hang["_dmarc.com"] = true
	_, d := find(t, dns, TreeWalk, "a.example.com") // would not return
	if d.Err != nil || d.OrgErr != nil || !slices.Equal(walkNames(d), []string{"_dmarc.a.example.com"}) {
		t.Errorf("Find = %v, %v, queried %v; want the author's record and no more", d.Err, d.OrgErr, walkNames(d))
	}
}

func TestFindWithDoneContextIsTempError(t *testing.T) {
	dns := zone("example.com p=reject")
	dns.hang["_dmarc.example.com"] = true
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := (&Finder{Resolver: dns}).Find(ctx, "example.com")
	if v := Evaluate(d, nil); !errors.Is(d.Err, context.Canceled) || v.Status != TempError || v.Cause != CauseDomain {
		t.Errorf("Find = %v, Evaluate = %+v; want temperror of the domain", d.Err, v)
	}
}

func TestFindQueriesNoInvalidNames(t *testing.T) {
	long := strings.Repeat("a23456789.", 24) + "example.com" // 251 bytes, _dmarc. makes it 258
	tests := []struct{ name, domain string }{
		{"a name too long", long},
		{"a label too long", strings.Repeat("a", 64) + ".example.com"},
		{"an empty label", "a..example.com"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dns := zone("example.com p=reject").failing(theirs, tt.domain)
			_, d := find(t, dns, TreeWalk, tt.domain)
			if d.PolicyDomain != "example.com" || d.Err != nil || slices.Contains(dns.queried(), "TXT _dmarc."+tt.domain) {
				t.Errorf("Find(%q) = record of %q, %v; want that of example.com without a query for the author's", tt.domain, d.PolicyDomain, d.Err)
			}
		})
	}
}

func TestFindQueriesLongestNames(t *testing.T) {
	label := strings.Repeat("a", maxLabelBytes)
	longest := strings.Repeat("b", MaxNameBytes-len(prefix)-3*64-len("example.com")-1) + "." + strings.Repeat(label+".", 3) + "example.com"
	if len(prefix+longest) != MaxNameBytes {
		t.Fatalf("a name of %d bytes; want %d", len(prefix+longest), MaxNameBytes)
	}
	dns := zone()
	find(t, dns, TreeWalk, longest)
	if got := dns.queried(); !slices.Contains(got, "TXT _dmarc."+longest) {
		t.Errorf("queried %v; want a query for the longest name", got)
	}
	find(t, dns, TreeWalk, "b"+longest)
	if got := dns.queried(); slices.Contains(got, "TXT _dmarc.b"+longest) {
		t.Errorf("queried %v; want no query for a name one byte longer", got)
	}
}

func TestLimitsAreThoseOfTheirSources(t *testing.T) {
	got := []int{MaxWalk, MaxNameBytes, maxLabelBytes, MaxRecordBytes, MaxTags, MaxURIs, MaxURIBytes, defaultPct, defaultRI, maxDefectText, maxDefects, minSuffixes, maxSuffixFile, maxReasonIdentifiers}
	want := []int{8, 253, 63, 16384, 64, 10, 512, 100, 86400, 64, 100, 1000, 16777216, 3}
	if !slices.Equal(got, want) {
		t.Errorf("limits = %v; want %v", got, want)
	}
}

func TestFindChecksExistenceOnlyWhenNeeded(t *testing.T) {
	const question = "EXISTS a.example.com"
	tests := []struct {
		name, tags string
		at         string
		method     Method
		missing    bool
		err        error
		queried    bool
		want       Policy
	}{
		{"np for a domain that is missing", "p=none; sp=quarantine; np=reject", "example.com", TreeWalk, true, nil, true, Reject},
		{"sp for one that exists", "p=none; sp=quarantine; np=reject", "example.com", TreeWalk, false, nil, true, Quarantine},
		{"p for one that exists, without sp", "p=none; np=reject", "example.com", TreeWalk, false, nil, true, None},
		{"np may be milder than sp", "p=reject; sp=reject; np=none", "example.com", TreeWalk, true, nil, true, None},
		{"an error is no proof of absence", "p=none; sp=quarantine; np=reject", "example.com", TreeWalk, true, theirs, true, Quarantine},
		{"np in a registry's record", "p=none; np=reject; psd=y", "com", TreeWalk, true, nil, true, Reject},
		{"no np: sp, and no question", "p=none; sp=quarantine", "example.com", TreeWalk, true, nil, false, Quarantine},
		{"np equal to sp: no question", "p=none; sp=reject; np=reject", "example.com", TreeWalk, true, nil, false, Reject},
		{"np at the author itself means nothing", "p=none; sp=reject; np=reject", "a.example.com", TreeWalk, true, nil, false, None},
		{"np that cannot be read", "p=reject; np=x; rua=mailto:a@example.com", "example.com", TreeWalk, true, nil, false, None},
		{"np in a record that is broken", "sp=reject; np=reject; rua=mailto:a@example.com", "example.com", TreeWalk, true, nil, false, None},
		{"RFC 7489 knows no np", "p=none; sp=quarantine; np=reject", "example.com", PSL, true, nil, false, Quarantine},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dns := zone(tt.at + " " + tt.tags)
			dns.missing["a.example.com"] = tt.missing
			dns.fail["a.example.com"] = tt.err
			_, d := find(t, dns, tt.method, "a.example.com")
			if queried := slices.Contains(dns.queried(), question); queried != tt.queried {
				t.Errorf("%q queried = %t; want %t", question, queried, tt.queried)
			}
			if v := Evaluate(d, nil); v.Policy != tt.want || v.Status != Fail {
				t.Errorf("Evaluate = %v, policy %v; want fail, %v", v.Status, v.Policy, tt.want)
			}
		})
	}
}

func TestIdentifyQueries(t *testing.T) {
	const author = "a.example.com"
	tests := []struct {
		name, tags string
		id         Identifier
		queried    []string
	}{
		{"the author domain itself", "p=none", Identifier{Domain: author, Passed: true}, nil},
		{"strict for its mechanism", "p=none; aspf=s", Identifier{Domain: "b.example.com", Passed: true}, nil},
		{"strict for the other mechanism", "p=none; aspf=s", Identifier{Mechanism: DKIM, Domain: "b.example.com", Passed: true}, []string{"TXT _dmarc.b.example.com"}},
		{"a stranger", "p=none", Identifier{Domain: "example.net", Passed: true}, nil},
		{"a third party whose name ends alike", "p=none", Identifier{Domain: "evilexample.com", Passed: true}, nil},
		{"one that failed", "p=none", Identifier{Domain: "b.example.com"}, nil},
		{"one that failed temporarily", "p=none", Identifier{Domain: "b.example.com", Err: errTimeout}, []string{"TXT _dmarc.b.example.com"}},
		{"names known from the author's walk are not queried again", "p=none", Identifier{Domain: "c.b.example.com", Passed: true}, []string{"TXT _dmarc.b.example.com", "TXT _dmarc.c.b.example.com"}},
		{"nor is the author's", "p=none", Identifier{Domain: "x.a.example.com", Passed: true}, []string{"TXT _dmarc.x.a.example.com"}},
		{"the organization itself", "p=none", Identifier{Domain: "example.com", Passed: true}, nil},
		{"a record that cannot be used", "sp=none", Identifier{Domain: "b.example.com", Passed: true}, nil},
		{"the zero value", "p=none", Identifier{}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dns := zone("example.com " + tt.tags)
			f, d := find(t, dns, TreeWalk, author)
			dns.queried()
			f.Identify(t.Context(), tt.id, d)
			if got := dns.queried(); !slices.Equal(got, tt.queried) {
				t.Errorf("Identify(%+v) queried %v; want %v", tt.id, got, tt.queried)
			}
		})
	}
}

func TestIdentifyQueriesNothingWithoutRecord(t *testing.T) {
	for name, dns := range map[string]*fakeDNS{"none": zone(), "failed": zone().failing(theirs, "example.com")} {
		f, d := find(t, dns, TreeWalk, "example.com")
		dns.queried()
		f.Identify(t.Context(), Identifier{Domain: "a.example.com", Passed: true}, d)
		if got := dns.queried(); len(got) > 0 {
			t.Errorf("record %s: Identify queried %v; want nothing", name, got)
		}
	}
}

func TestFindTracesSteps(t *testing.T) {
	dns := zone("a.example.com p=none", "a.example.com p=reject", "example.com p=rejct; rua=mailto:a@example.com").
		with("_dmarc.com", "v=dmarc1; p=none").failing(theirs, "b.a.example.com")
	_, d := find(t, dns, TreeWalk, "b.a.example.com")
	got := ""
	for _, s := range d.Walk {
		got += fmt.Sprintln(s.Name(), len(s.Records), s.Others, s.Err, kinds(s.Defects))
	}
	want := `_dmarc.b.a.example.com 0 0 no answer []
_dmarc.a.example.com 2 0 <nil> [multiple]
_dmarc.example.com 1 0 <nil> [bad_p]
_dmarc.com 0 1 <nil> [bad_version]
`
	if got != want {
		t.Errorf("walk:\n%swant\n%s", got, want)
	}
	if got := kinds(d.Defects()); !slices.Equal(got, []DefectKind{SeveralRecords, BadP, BadVersion}) {
		t.Errorf("Defects() = %v; want those of all names", got)
	}
}

func TestFindBoundsTextOfRecord(t *testing.T) {
	dns := zone("example.com p=none; x=" + strings.Repeat("y", 2*MaxRecordBytes))
	if _, d := find(t, dns, TreeWalk, "example.com"); len(d.Text) != MaxRecordBytes {
		t.Errorf("len(Text) = %d; want %d", len(d.Text), MaxRecordBytes)
	}
}

// brokenResolver panics, as a bug in a resolver would.
type brokenResolver struct{ fakeDNS }

func (*brokenResolver) TXT(context.Context, string) ([]string, error) { panic("bug") }

func TestFindRaisesPanicOfResolver(t *testing.T) {
	defer func() {
		if got := recover(); got != "bug" {
			t.Errorf("recover() = %v; want the resolver's panic", got)
		}
	}()
	(&Finder{Resolver: &brokenResolver{}}).Find(t.Context(), "example.com")
}
