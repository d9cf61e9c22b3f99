package dmarc

import (
	"context"
	"slices"
	"strings"
	"testing"
)

// FuzzParseRecord: a record printed and read again is the same record, and has
// no defects but a policy that stays missing or unreadable.
func FuzzParseRecord(f *testing.F) {
	for _, seed := range []string{
		"v=DMARC1", "v = DMARC1 ;p=reject;", "v=DMARC1; p=none; rua=mailto:a@example.com!10m,mailto:b%21@example.com; pct=0",
		"v=DMARC1; p=reject; sp=; np=x; adkim=S; aspf=\u017f; fo=0:1:d:s; ruf=mailto:f@example.com; t=Y; psd=y; ri=4294967295",
		"v=DMARC1; p=none; rf=afrfruf=mailto:f@example.com", "v=DMARC1 p=none rua=mailto:a@example.com", "v=DMARC1; p=none; rf=mailto:f@example.com",
		"v=DMARC1;;;;=;==;p", "v=DMARC1;rua=,,!,:!!,x:y!0,x:y!18446744073709551616t", "p=none;v=DMARC1", "v=DMARC1; p=\x00\xff\r\n", "",
	} {
		f.Add(seed)
	}
	still := []DefectKind{MissingP, BadP, BadSP, BadNP}
	f.Fuzz(func(t *testing.T, txt string) {
		r, defects, err := ParseRecord(txt)
		if (err == nil) != isDMARC(txt) {
			t.Fatalf("ParseRecord(%q) error = %v; isDMARC is %t", txt, err, isDMARC(txt))
		}
		for _, d := range defects {
			if d.Pos > len(txt) || !strings.HasPrefix(txt[d.Pos:], d.Text) {
				t.Fatalf("ParseRecord(%q) has %v; that does not stand there", txt, d)
			}
		}
		if len(defects) > maxDefects || len(r.RUA) > MaxURIs || len(r.RUF) > MaxURIs || len(r.String()) > MaxRecordBytes {
			t.Fatalf("ParseRecord(%.100q) exceeds the limits", txt)
		}
		if err != nil {
			return
		}
		again, defects, err := ParseRecord(r.String())
		if err != nil || !again.Equal(r) {
			t.Errorf("ParseRecord(%q) = %+v, %v; want %+v", r.String(), again, err, r)
		}
		for _, d := range defects {
			if !slices.Contains(still, d.Kind) {
				t.Errorf("ParseRecord(%q) has the defect %v", r.String(), d)
			}
		}
		if strings.ContainsAny(r.String(), "\r\n\x00") {
			t.Errorf("String() = %q; want printable text", r.String())
		}
	})
}

// FuzzWalkNames: at most eight names, the domain first, each shorter than the
// one before, the top-level domain last.
// What is kept of a record is of the registry, whatever its owner wrote, and stays
// as it is when it is cleaned again.
func FuzzCleanPolicyTags(f *testing.F) {
	for _, seed := range []string{
		"v=DMARC1", "v=DMARC1; p=reject; rua=mailto:jane.doe@example.com; fo=1", "v=DMARC1; p=none; ruaa=mailto:jane@x", "v=DMARC1;jane@x;p=jane@x;sp=reject",
		"v=DMARC1; p=none; rua=mailto:a@b; rua=mailto:c@d; ruf=x:y; pct=99; ri=1; t=y; psd=n", "v=DMARC1; rf=mailto:f@x; adkim=jane@x; np=none", "jane@x", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, txt string) {
		tags := CleanPolicyTags(txt)
		if again := CleanPolicyTags(tags); again != tags {
			t.Errorf("CleanPolicyTags(%q) = %q, and again %q", txt, tags, again)
		}
		if len(tags) > 160 || strings.ContainsAny(tags, "@,!") {
			t.Errorf("CleanPolicyTags(%q) = %q", txt, tags)
		}
		r, _, err := ParseRecord(txt)
		if err != nil {
			if tags != "" {
				t.Errorf("CleanPolicyTags(%q) = %q; want nothing: it is no record", txt, tags)
			}
			return
		}
		kept, _, err := ParseRecord(tags)
		if err != nil || kept.P != r.P || kept.SP != r.SP || kept.NP != r.NP || kept.ADKIM != r.ADKIM || kept.ASPF != r.ASPF ||
			kept.T != r.T || kept.PSD != r.PSD || kept.Pct != r.Pct || kept.RI != r.RI {
			t.Errorf("CleanPolicyTags(%q) = %q, which is %+v; want the policy of %+v", txt, tags, kept, r)
		}
		if len(r.RUF) > 0 && CleanPolicyTags(r.String()) != r.PolicyTags() {
			t.Errorf("CleanPolicyTags(%q) = %q; want %q", r.String(), CleanPolicyTags(r.String()), r.PolicyTags())
		}
	})
}

func FuzzWalkNames(f *testing.F) {
	for _, seed := range []string{"com", "example.com", "a.b.c.d.e.f.g.h.i.j.k.example.com", "", ".", "..", strings.Repeat(".", 300)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, domain string) {
		all, n := walkDomains(domain)
		names := all[:n]
		if len(names) != min(labels(domain), MaxWalk) || names[0] != domain {
			t.Fatalf("walkDomains(%q) = %q", domain, names)
		}
		for i, name := range names[1:] {
			if labels(name) >= labels(names[i]) || !strings.HasSuffix(domain, "."+name) {
				t.Errorf("walkDomains(%q)[%d] = %q; want a shorter ancestor of %q", domain, i+1, name, names[i])
			}
		}
		if last := names[len(names)-1]; strings.Contains(last, ".") {
			t.Errorf("walkDomains(%q) ends with %q; want one label", domain, last)
		}
	})
}

// FuzzEvaluate: whatever is published and fails, nobody passes without an
// aligned identifier that passed; a third party changes neither status nor cause;
// and what a failed lookup leaves settled is what it would have been.
func FuzzEvaluate(f *testing.F) {
	f.Add("p=reject", "p=none; psd=n", "p=reject; psd=y", uint8(0), uint8(1), true)
	f.Add("p=reject; adkim=s", "sp=x", "rua=mailto:a@b", uint8(3), uint8(0), false)
	f.Fuzz(func(t *testing.T, author, org, top string, failing, which uint8, passed bool) {
		domains := []string{"a.example.test", "example.test", "test", "b.example.test", "c.b.example.test"}
		dns := zone(domains[0]+" "+author, domains[1]+" "+org, domains[2]+" "+top)
		finder := &Finder{Resolver: dns}
		whole := finder.Find(context.Background(), domains[0])
		for i, domain := range domains {
			if failing&(1<<i) != 0 {
				dns.failing(theirs, domain)
			}
		}
		d := finder.Find(context.Background(), domains[0])
		if d.Err == nil && (d.PolicyDomain != whole.PolicyDomain || d.Source != whole.Source) && dns.fail["_dmarc.test"] == nil {
			t.Errorf("failures %05b change the record from that of %q to that of %q", failing, whole.PolicyDomain, d.PolicyDomain)
		}
		id := finder.Identify(context.Background(), dkim(domains[int(which)%len(domains)], passed), d)
		v := Evaluate(d, []Identifier{id})
		if v.Status == Pass && !(passed && id.AlignedWith(d)) {
			t.Errorf("%+v for %+v; want no pass", v, id)
		}
		thirdParties := []Identifier{id, dkim("example.net", true), broken(SPF, "example.net", ours)}
		if w := Evaluate(d, thirdParties); w.Status != v.Status || w.Cause != v.Cause || w.Policy != v.Policy {
			t.Errorf("a third party turns %+v into %+v", v, w)
		}
	})
}
