package dmarc

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// severities lists defects as "kind" and remarks as "(kind)".
func severities(defects []Defect) string {
	var list []string
	for _, d := range defects {
		name := d.Kind.String()
		if d.Severity == Remark {
			name = "(" + name + ")"
		}
		list = append(list, name)
	}
	return strings.Join(list, " ")
}

func TestDefectsThatChangeMeaning(t *testing.T) {
	const ruf = "; ruf=mailto:f@example.com"
	tests := []struct{ name, txt, want string }{
		{"nothing wrong", "v=DMARC1; p=reject", ""},
		{"an unknown tag is allowed", "v=DMARC1; p=reject; x=1", "(unknown_tag)"},
		{"upper case is read", "V=DMARC1; P=reject", "(tag_case) (tag_case)"},
		{"white space first is let pass", " v=DMARC1; p=reject", "(leading_space)"},
		{"a tab too", "\tv=DMARC1; p=reject", "(leading_space)"},
		{"white space elsewhere is no oddity", "v = DMARC1 ;\tp = reject ", ""},
		{"line ends around a value", "v=DMARC1; p=\nreject\r\n; sp=none\n", "(stray_bytes) (stray_bytes)"},
		{"a line end behind the last semicolon", "v=DMARC1; p=reject;\n", ""},
		{"a no-break space of Latin-1", "v=DMARC1; p=reject\xa0", "(stray_bytes)"},
		{"no-break spaces of UTF-8 on both sides", "v=DMARC1; p=\u00a0reject\u00a0", "(stray_bytes)"},
		{"control bytes around a value", "v=DMARC1; p=\x01reject\x00\x7f", "(stray_bytes)"},
		{"historic tags say nothing any more", "v=DMARC1; p=reject; rf=iodef; ri=x", "(bad_rf) (bad_ri)"},
		{"but pct is honoured", "v=DMARC1; p=reject; pct=x", "bad_pct"},
		{"an empty element", "v=DMARC1;; p=reject", "(tag_syntax)"},
		{"text that is no tag", "v=DMARC1; reject; p=none", "tag_syntax"},
		{"the same tag twice", "v=DMARC1; p=reject; p= reject", "(dup_tag)"},
		{"with another value", "v=DMARC1; p=reject; p=none", "dup_tag"},
		{"twice, and unreadable", "v=DMARC1; p=x; p=x", "bad_p (dup_tag)"},
		{"no p, for reports alone", "v=DMARC1; rua=mailto:a@example.com", "(missing_p)"},
		{"no p, and no reports either", "v=DMARC1", "missing_p"},
		{"no p, and an sp that will not be obeyed", "v=DMARC1; sp=reject; rua=mailto:a@example.com", "missing_p"},
		{"no p, and an np", "v=DMARC1; np=reject; rua=mailto:a@example.com", "missing_p"},
		{"a bad fo without ruf", "v=DMARC1; p=none; fo=x", "(bad_fo)"},
		{"a bad fo with ruf", "v=DMARC1; p=none; fo=x" + ruf, "bad_fo"},
		{"a bad fo and another defect", "v=DMARC1; p=none; t=x; fo=x", "bad_t (bad_fo)"},
		{"a comma too many", "v=DMARC1; p=none; rua=mailto:a@example.com,", "(bad_uri)"},
		{"a destination lost", "v=DMARC1; p=none; rua=mailto:a@example.com,b@example.com", "bad_uri"},
		{"an empty list", "v=DMARC1; p=none; rua=", "bad_uri"},
		{"a mode that cannot be read", "v=DMARC1; p=none; aspf=strict", "bad_alignment"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, defects, err := ParseRecord(tt.txt)
			if got := severities(defects); err != nil || got != tt.want {
				t.Errorf("ParseRecord(%q) = %s, %v; want %s", tt.txt, got, err, tt.want)
			}
		})
	}
}

func TestDefectsBesideRecord(t *testing.T) {
	tests := []struct {
		name string
		txts []string
		want string
	}{
		{"the record alone", []string{"v=DMARC1; p=none"}, ""},
		{"other TXT alone", []string{"v=spf1 -all", "x"}, ""},
		{"other TXT beside", []string{"v=spf1 -all", "v=DMARC1; p=none", "x"}, "(other_txt) (other_txt)"},
		{"another version beside", []string{"v=DMARC2; p=none", "v=DMARC1; p=none"}, "(bad_version)"},
		{"another version alone", []string{"v=DMARC2; p=none"}, "bad_version"},
		{"two records and other TXT", []string{"v=DMARC1; p=none", "x", "v=DMARC1; p=none"}, "(other_txt) multiple"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStep("example.com", tt.txts)
			if got := severities(s.Defects); got != tt.want || s.Others+len(s.Records) != len(tt.txts) {
				t.Errorf("newStep(%q) = %s, %d others; want %s", tt.txts, got, s.Others, tt.want)
			}
			for _, d := range s.Defects {
				if d.Pos != 0 || !slices.Contains(tt.txts, d.Text) {
					t.Errorf("%v; want a whole text, at 0", d)
				}
			}
			if got := severities((Discovery{Walk: []Step{s}}).Defects()); strings.Contains(got, "(") {
				t.Errorf("Defects() = %s; want no remarks", got)
			}
		})
	}
}

func TestDefectsOfANameAreBounded(t *testing.T) {
	s := newStep("example.com", slices.Repeat([]string{"v=dmarc1"}, maxDefects+1))
	if len(s.Defects) != maxDefects || s.Others != maxDefects+1 {
		t.Errorf("%d defects of %d texts; want %d", len(s.Defects), s.Others, maxDefects)
	}
}

func TestDefectKindsAndRemarkKindsAreComplete(t *testing.T) {
	remarks := RemarkKinds()
	for k := SeveralRecords; k < endOfDefects; k++ {
		want := Harmful
		if slices.Contains(remarks, k) {
			want = Remark
		}
		if d := newDefect(k, 0, ""); d.Severity != want || want == Harmful && !slices.Contains(DefectKinds(), k) {
			t.Errorf("%v is a %v; want a %v", k, d.Severity, want)
		}
	}
	if got := fmt.Sprint(remarks); got != "[tag_case unknown_tag bad_rf bad_ri stray_bytes leading_space other_txt]" {
		t.Errorf("RemarkKinds() = %s", got)
	}
	if got := fmt.Sprint([]Severity{Harmful, Remark}); got != "[defect remark]" {
		t.Errorf("severities print as %s; want [defect remark]", got)
	}
}

func TestDefectOffset(t *testing.T) {
	const txt = "\tV=DMARC1 ;  P = rejct ;; reject ; x=1; p=none;  rua= a@example.com , mailto:b@example.com, c ,"
	_, defects, _ := ParseRecord(txt)
	got := ""
	for _, d := range defects {
		got += fmt.Sprintln(d)
		if !strings.HasPrefix(txt[d.Pos:], d.Text) {
			t.Errorf("at %d stands %q; want %q", d.Pos, txt[d.Pos:], d.Text)
		}
	}
	want := `leading_space at 0: "\t"
tag_case at 1: "V"
tag_case at 13: "P"
bad_p at 17: "rejct"
tag_syntax at 24: ""
tag_syntax at 26: "reject"
unknown_tag at 35: "x"
dup_tag at 40: "p=none"
bad_uri at 54: "a@example.com"
bad_uri at 92: "c"
bad_uri at 95: ""
`
	if got != want {
		t.Errorf("defects:\n%swant\n%s", got, want)
	}
}
