package dmarc

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// mustParse reads a record that a test wrote.
func mustParse(t *testing.T, txt string) Record {
	t.Helper()
	r, _, err := ParseRecord(txt)
	if err != nil {
		t.Fatalf("ParseRecord(%q): %v", txt, err)
	}
	return r
}

func TestIsDMARC(t *testing.T) {
	tests := []struct {
		name, txt string
		want      bool
	}{
		{"the plain form", "v=DMARC1; p=none", true},
		{"a bare version is a complete record", "v=DMARC1", true},
		{"blanks around the equals sign and the semicolon", "v = DMARC1 ; p=none", true},
		{"tabs are blanks", "v\t=\tDMARC1\t;p=none", true},
		{"a blank before v", " v=DMARC1; p=none", true},
		{"the tag name in upper case", "V=DMARC1", true},
		{"a longer number is another version", "v=DMARC10; p=none", false},
		{"letters after the version", "v=DMARC1x; p=none", false},
		{"a blank instead of the semicolon", "v=DMARC1 p=none", false},
		{"the version in lower case", "v=dmarc1; p=none", false},
		{"v is not first", "p=none; v=DMARC1", false},
		{"an SPF record", "v=spf1 -all", false},
		{"a line end behind the version", "v=DMARC1\r\n; p=none", true},
		{"a line end before v", "\nv=DMARC1; p=none", true},
		{"a NUL behind the version", "v=DMARC1\x00; p=none", true},
		{"a no-break space of UTF-8 before the version", "v=\u00a0DMARC1; p=none", true},
		{"a NUL within the version", "v=DM\x00ARC1; p=none", false},
		{"a NUL before v", "\x00v=DMARC1; p=none", false},
		{"quotes that belong to a zone file", `"v=DMARC1; p=none"`, false},
		{"a semicolon first", ";v=DMARC1", false},
		{"no equals sign", "DMARC1", false},
		{"nothing", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := isDMARC(tt.txt); got != tt.want {
				t.Errorf("isDMARC(%q) = %t; want %t", tt.txt, got, tt.want)
			}
			if _, _, err := ParseRecord(tt.txt); (err == nil) != tt.want {
				t.Errorf("ParseRecord(%q) error = %v; want a record: %t", tt.txt, err, tt.want)
			}
		})
	}
}

func TestParseRecord(t *testing.T) {
	// want is the record as String prints it, and the defects in order.
	tests := []struct {
		name, txt, want string
		defects         []DefectKind
	}{
		{"every tag of both standards",
			"v=DMARC1; p=reject; sp=quarantine; np=none; adkim=s; aspf=s; fo=1:d:s; rua=mailto:a@example.com; ruf=mailto:f@example.com; t=y; psd=n; pct=50; rf=afrf; ri=3600",
			"v=DMARC1; p=reject; sp=quarantine; np=none; adkim=s; aspf=s; fo=1:d:s; rua=mailto:a@example.com; ruf=mailto:f@example.com; t=y; psd=n; pct=50; ri=3600", nil},
		{"defaults are not printed", "v=DMARC1; p=none; adkim=r; aspf=r; fo=0; t=n; psd=u; pct=100; rf=afrf; ri=86400", "v=DMARC1; p=none", nil},
		{"a trailing semicolon", "v=DMARC1; p=none; ", "v=DMARC1; p=none", nil},
		{"no blanks at all", "v=DMARC1;p=none;sp=reject", "v=DMARC1; p=none; sp=reject", nil},
		{"p anywhere", "v=DMARC1; aspf=s; p=reject", "v=DMARC1; p=reject; aspf=s", nil},
		{"keywords in any letter case", "v=DMARC1; p=Reject; adkim=S; t=Y; psd=N", "v=DMARC1; p=reject; adkim=s; t=y; psd=n", nil},
		{"tag names in upper case are read", "v=DMARC1; P=reject", "v=DMARC1; p=reject", []DefectKind{UpperCaseTag}},
		{"p twice: the first counts", "v=DMARC1; p=reject; p=none", "v=DMARC1; p=reject", []DefectKind{DuplicateTag}},
		{"an unreadable p first counts too", "v=DMARC1; p=bogus; p=reject", "v=DMARC1; p=invalid", []DefectKind{BadP, DuplicateTag}},
		{"v twice", "v=DMARC1; v=DMARC1; p=none", "v=DMARC1; p=none", []DefectKind{DuplicateTag}},
		{"no p", "v=DMARC1; sp=reject", "v=DMARC1; sp=reject", []DefectKind{MissingP}},
		{"an empty p is unreadable, not absent", "v=DMARC1; p=; sp=none", "v=DMARC1; p=invalid; sp=none", []DefectKind{BadP}},
		{"unreadable sp and np are remembered", "v=DMARC1; p=reject; sp=no; np=all", "v=DMARC1; p=reject; sp=invalid; np=invalid", []DefectKind{BadSP, BadNP}},
		{"other unreadable values have their default",
			"v=DMARC1; p=reject; adkim=x; aspf=strict; t=1; psd=yes; pct=101; rf=iodef; ri=-1",
			"v=DMARC1; p=reject", []DefectKind{BadAlignment, BadAlignment, BadT, BadPSD, BadPct, BadRF, BadRI}},
		{"pct=0 is kept", "v=DMARC1; p=reject; pct=0", "v=DMARC1; p=reject; pct=0", nil},
		{"pct with a sign", "v=DMARC1; p=reject; pct=+5", "v=DMARC1; p=reject", []DefectKind{BadPct}},
		{"ri beyond 32 bits", "v=DMARC1; p=none; ri=4294967296", "v=DMARC1; p=none", []DefectKind{BadRI}},
		{"an unknown tag is ignored", "v=DMARC1; policy=reject; p=none", "v=DMARC1; p=none", []DefectKind{UnknownTag}},
		{"something that is no tag", "v=DMARC1; reject; p=none", "v=DMARC1; p=none", []DefectKind{BadSyntax}},
		{"an empty element", "v=DMARC1;; p=none", "v=DMARC1; p=none", []DefectKind{BadSyntax}},
		{"fo without ruf is ignored", "v=DMARC1; p=none; fo=1:d", "v=DMARC1; p=none", nil},
		{"fo=0:1 costs only itself", "v=DMARC1; p=reject; fo=0:1; ruf=mailto:f@example.com", "v=DMARC1; p=reject; ruf=mailto:f@example.com", []DefectKind{BadFO}},
		{"fo=d alone, blanks between", "v=DMARC1; p=none; fo= s : d ; ruf=mailto:f@example.com", "v=DMARC1; p=none; fo=d:s; ruf=mailto:f@example.com", nil},
		{"fo with a letter twice", "v=DMARC1; p=none; fo=d:d; ruf=mailto:f@example.com", "v=DMARC1; p=none; ruf=mailto:f@example.com", []DefectKind{BadFO}},
		{"fo with an unknown letter", "v=DMARC1; p=none; fo=1:x; ruf=mailto:f@example.com", "v=DMARC1; p=none; ruf=mailto:f@example.com", []DefectKind{BadFO}},
		{"the letter case of addresses is kept", "v=DMARC1; p=none; rua=mailto:DMARC@Example.com", "v=DMARC1; p=none; rua=mailto:DMARC@Example.com", nil},
		{"bad destinations are dropped one by one",
			"v=DMARC1; p=none; rua=reports@example.com, mailto:a@example.com , mailto:, mailto:b@example.com",
			"v=DMARC1; p=none; rua=mailto:a@example.com,mailto:b@example.com", []DefectKind{BadURI, BadURI}},
		{"U+017F folds to s only outside ASCII", "v=DMARC1; p=none; adkim=\u017f", "v=DMARC1; p=none", []DefectKind{BadAlignment}},
		{"seen in the wild: rf runs into ruf", "v=DMARC1; p=none; rf=afrfruf=mailto:f@example.com", "v=DMARC1; p=none", []DefectKind{BadRF}},
		{"seen in the wild: an address in rf", "v=DMARC1; p=none; rf=mailto:f@example.com", "v=DMARC1; p=none", []DefectKind{BadRF}},
		{"seen in the wild: blanks for semicolons", "v=DMARC1; p=none rua=mailto:a@example.com", "v=DMARC1; p=invalid", []DefectKind{BadP}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, defects, err := ParseRecord(tt.txt)
			if err != nil || r.String() != tt.want {
				t.Errorf("ParseRecord(%q) = %q, %v; want %q", tt.txt, r, err, tt.want)
			}
			if got := kinds(defects); !slices.Equal(got, tt.defects) {
				t.Errorf("ParseRecord(%q) defects = %v; want %v", tt.txt, got, tt.defects)
			}
		})
	}
}

func kinds(defects []Defect) []DefectKind {
	var list []DefectKind
	for _, d := range defects {
		list = append(list, d.Kind)
	}
	return list
}

func TestDefectsHavePlaceAndText(t *testing.T) {
	_, defects, _ := ParseRecord("v=DMARC1; p=rejct; rua=a@example.com")
	want := []string{`bad_p at 12: "rejct"`, `bad_uri at 23: "a@example.com"`}
	for i, d := range defects {
		if d.String() != want[i] {
			t.Errorf("defect %d = %v; want %s", i, d, want[i])
		}
	}
	if len(defects) != len(want) {
		t.Errorf("defects = %v; want %v", defects, want)
	}
}

func TestDefectKindsHaveNameAndFix(t *testing.T) {
	names := map[string]bool{}
	for k := SeveralRecords; k < endOfDefects; k++ {
		if k.String() == "unknown" || names[k.String()] || (Defect{Kind: k}).Fix() == "" {
			t.Errorf("DefectKind(%d) has name %q and fix %q; want its own name, and a fix", k, k, k.fix())
		}
		names[k.String()] = true
	}
	if got := DefectKind(0).String(); got != "unknown" {
		t.Errorf("DefectKind(0).String() = %q; want unknown", got)
	}
}

func TestParseRecordLimits(t *testing.T) {
	tests := []struct {
		name, txt string
		want      DefectKind
		record    string
	}{
		{"too long: cut between two tags", "v=DMARC1; p=reject; x=" + strings.Repeat("y", MaxRecordBytes) + "; sp=none", TooLong, "v=DMARC1; p=reject"},
		{"too many tags", "v=DMARC1; p=reject" + strings.Repeat("; x=y", MaxTags) + "; sp=none", TooManyTags, "v=DMARC1; p=reject"},
		{"too many destinations", "v=DMARC1; p=reject; rua=" + strings.Repeat("x:y,", MaxURIs) + "x:z", TooManyURIs, "v=DMARC1; p=reject; rua=" + strings.Repeat("x:y,", MaxURIs-1) + "x:y"},
		{"a destination too long", "v=DMARC1; p=reject; rua=mailto:" + strings.Repeat("y", MaxURIBytes) + "@example.com", BadURI, "v=DMARC1; p=reject"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, defects, err := ParseRecord(tt.txt)
			if err != nil || r.String() != tt.record || !slices.Contains(kinds(defects), tt.want) {
				t.Errorf("ParseRecord(%.40q…) = %q, %v, %v; want %q with %v", tt.txt, r, kinds(defects), err, tt.record, tt.want)
			}
		})
	}
}

func TestParseRecordReadsUpToLimits(t *testing.T) {
	tests := []struct{ name, txt, record string }{
		{"tags", "v=DMARC1" + strings.Repeat("; rf=afrf", MaxTags-2) + "; p=reject", "v=DMARC1; p=reject"},
		{"bytes", "v=DMARC1; p=reject; x=" + strings.Repeat("y", MaxRecordBytes-len("v=DMARC1; p=reject; x=; t=y")) + "; t=y", "v=DMARC1; p=reject; t=y"},
		{"bytes, and a semicolon", "v=DMARC1; p=reject; x=" + strings.Repeat("y", MaxRecordBytes-len("v=DMARC1; p=reject; x=; t=y")) + "; t=y;", "v=DMARC1; p=reject; t=y"},
		{"a destination", "v=DMARC1; p=none; rua=x:" + strings.Repeat("y", MaxURIBytes-2), "v=DMARC1; p=none; rua=x:" + strings.Repeat("y", MaxURIBytes-2)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if r := mustParse(t, tt.txt); r.String() != tt.record {
				t.Errorf("ParseRecord of %d bytes = %q; want %q", len(tt.txt), r, tt.record)
			}
		})
	}
	if _, defects, _ := ParseRecord(tests[0].txt + "; t=y"); !slices.Contains(kinds(defects), TooManyTags) {
		t.Errorf("one tag more has %v; want %v among them", kinds(defects), TooManyTags)
	}
	if _, defects, _ := ParseRecord(tests[1].txt); len(defects) != 1 || defects[0].Kind != UnknownTag {
		t.Errorf("a record of %d bytes has %v; want the unknown tag only", MaxRecordBytes, kinds(defects))
	}
}

func TestParseRecordBoundsDefects(t *testing.T) {
	_, defects, _ := ParseRecord("v=DMARC1; rua=" + strings.Repeat(",", MaxRecordBytes-20))
	if len(defects) != maxDefects {
		t.Errorf("ParseRecord gave %d defects; want %d", len(defects), maxDefects)
	}
}

func TestParseURI(t *testing.T) {
	tests := []struct {
		name, text string
		want       URI
		ok         bool
	}{
		{"a mailbox", "mailto:a@example.com", URI{"mailto:a@example.com", 0}, true},
		{"a size in megabytes", "mailto:a@example.com!10m", URI{"mailto:a@example.com", 10 << 20}, true},
		{"a size in bytes", "mailto:a@example.com!512", URI{"mailto:a@example.com", 512}, true},
		{"units in upper case", "mailto:a@example.com!1T", URI{"mailto:a@example.com", 1 << 40}, true},
		{"a size beyond 64 bits", "mailto:a@example.com!99999999999999999999g", URI{"mailto:a@example.com", math.MaxUint64}, true},
		{"a size that the unit takes beyond 64 bits", "mailto:a@example.com!18446744073709551615k", URI{"mailto:a@example.com", math.MaxUint64}, true},
		{"a size that just fits", "x:y!9007199254740992k", URI{"x:y", 1 << 63}, true},
		{"a size that just does not", "x:y!18014398509481984k", URI{"x:y", math.MaxUint64}, true},
		{"every mark that may stand there", "x:-._~:/?#[]@$&'()*+=", URI{"x:-._~:/?#[]@$&'()*+=", 0}, true},
		{"every digit of an escape", "x:%09%aF%fA", URI{"x:%09%aF%fA", 0}, true},
		{"the borders of letters and digits", "aZ0+-.:azAZ09", URI{"aZ0+-.:azAZ09", 0}, true},
		{"a mark beside the letters", "x:`", URI{}, false},
		{"a digit too many in an escape", "x:%0g", URI{}, false},
		{"a digit too many first in an escape", "x:%g0", URI{}, false},
		{"an escape cut short at the end", "x:%2", URI{}, false},
		{"an escape without digits at the end", "x:%", URI{}, false},
		{"a blank after an escape", "x:%21 ", URI{}, false},
		{"nothing after the scheme", "x:", URI{}, false},
		{"a mark in the scheme", "x_y:z", URI{}, false},
		{"a scheme that is empty", ":z", URI{}, false},
		{"another scheme is kept", "https://example.com/dmarc?x=%2C", URI{"https://example.com/dmarc?x=%2C", 0}, true},
		{"an escaped exclamation mark", "mailto:a%21b@example.com", URI{"mailto:a%21b@example.com", 0}, true},
		{"a bare exclamation mark in the address", "mailto:a!b@example.com", URI{}, false},
		{"a size without digits", "mailto:a@example.com!m", URI{}, false},
		{"an empty size", "mailto:a@example.com!", URI{}, false},
		{"a size with a sign", "mailto:a@example.com!-1", URI{}, false},
		{"no scheme", "a@example.com", URI{}, false},
		{"no mailbox", "mailto:example.com", URI{}, false},
		{"nothing after the at sign", "mailto:a@", URI{}, false},
		{"an at sign only in the query", "mailto:?cc=a@example.com", URI{}, false},
		{"a blank inside", "mailto:a b@example.com", URI{}, false},
		{"a broken escape", "mailto:a%2@example.com", URI{}, false},
		{"letters beyond ASCII", "mailto:ä@example.com", URI{}, false},
		{"a scheme that starts with a digit", "1x:y", URI{}, false},
		{"nothing", "", URI{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := parseURI(tt.text)
			if ok != tt.ok || ok && got != tt.want {
				t.Errorf("parseURI(%q) = %v, %t; want %v, %t", tt.text, got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestEqualComparesAllOfRecord(t *testing.T) {
	const all = "v=DMARC1; p=none; sp=none; np=none; adkim=r; aspf=r; fo=0; rua=mailto:a@example.com; ruf=mailto:a@example.com; t=n; psd=u; pct=100; ri=86400"
	r := mustParse(t, all)
	for _, change := range []string{
		"p=reject", "sp=reject", "np=reject", "adkim=s", "aspf=s", "fo=1", "rua=mailto:b@example.com", "ruf=mailto:b@example.com",
		"t=y", "psd=y", "psd=n", "pct=99", "ri=1", "p=x", "sp=x", "np=x", "rua=mailto:a@example.com!1", "rua=mailto:a@example.com,x:y",
	} {
		// Of two equal tags the first counts.
		o := mustParse(t, strings.Replace(all, "v=DMARC1", "v=DMARC1; "+change, 1))
		if r.Equal(o) || o.Equal(r) || !o.Equal(o) {
			t.Errorf("%q: Equal to %q; want it different", o, r)
		}
		if again := mustParse(t, o.String()); !again.Equal(o) {
			t.Errorf("ParseRecord(%q) = %+v; want %+v", o, again, o)
		}
	}
}

func TestLowerFoldsASCIIOnly(t *testing.T) {
	for in, want := range map[string]string{"azAZ@[`{09": "azaz@[`{09", "Ä": "Ä", "": "", "Z": "z", "A": "a", "x@": "x@", "x[": "x["} {
		if got := lower(in); got != want {
			t.Errorf("lower(%q) = %q; want %q", in, got, want)
		}
	}
}

func TestIsAlpha(t *testing.T) {
	for s, want := range map[string]bool{"azAZ": true, "z": true, "": false, "@": false, "[": false, "`": false, "{": false, "a1": false, "a-": false, "\xe1": false} {
		if got := isAlpha(s); got != want {
			t.Errorf("isAlpha(%q) = %t; want %t", s, got, want)
		}
	}
}

func TestDefectQuotesSecondRecord(t *testing.T) {
	s := newStep("example.com", []string{"v=DMARC1; p=none", "v=DMARC1; p=reject"})
	if want := `multiple at 0: "v=DMARC1; p=reject"`; len(s.Defects) != 1 || s.Defects[0].String() != want {
		t.Errorf("newStep = %v; want %s", s.Defects, want)
	}
}

func TestBrokenAndUsable(t *testing.T) {
	const rua = "; rua=mailto:a@example.com"
	tests := []struct {
		name, tags     string
		method         Method
		broken, usable bool
	}{
		{"a good record", "p=reject", TreeWalk, false, true},
		{"no p, no rua", "sp=reject", TreeWalk, true, false},
		{"no p, with rua", "sp=reject" + rua, TreeWalk, true, true},
		{"no p, with a rua that cannot be read", "sp=reject; rua=a@example.com", TreeWalk, true, false},
		{"a bad sp drags p down", "p=reject; sp=x" + rua, TreeWalk, true, true},
		{"a bad sp without rua", "p=reject; sp=x", PSL, true, false},
		{"a bad np in RFC 9989", "p=reject; np=x", TreeWalk, true, false},
		{"a bad np means nothing in RFC 7489", "p=reject; np=x", PSL, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := mustParse(t, "v=DMARC1; "+tt.tags)
			if b, u := r.Broken(tt.method), r.Usable(tt.method); b != tt.broken || u != tt.usable {
				t.Errorf("%q: Broken, Usable = %t, %t; want %t, %t", r, b, u, tt.broken, tt.usable)
			}
		})
	}
}

func TestLowerGoesOneStepDown(t *testing.T) {
	for p, want := range map[Policy]Policy{Reject: Quarantine, Quarantine: None, None: None} {
		if got := Lower(p); got != want {
			t.Errorf("Lower(%v) = %v; want %v", p, got, want)
		}
	}
}

func TestEnumerationsPrintAsTheFieldSpellsThem(t *testing.T) {
	got := fmt.Sprint(
		[]Policy{None, Quarantine, Reject}, []Status{StatusNone, Pass, Fail, TempError, PermError},
		[]Cause{CauseNone, CauseOurs, CauseDomain, CausePressure}, []Method{TreeWalk, PSL}, []Mechanism{SPF, DKIM},
		[]Source{SourceNone, SourceAuthor, SourceOrg, SourcePSD}, []Existence{ExistenceUnknown, Existing, Missing})
	want := "[none quarantine reject] [none pass fail temperror permerror] [none ours domain pressure] " +
		"[treewalk psl] [SPF DKIM] [none author org psd] [unknown existing missing]"
	if got != want {
		t.Errorf("enumerations print as\n%s; want\n%s", got, want)
	}
}
