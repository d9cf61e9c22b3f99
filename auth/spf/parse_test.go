package spf

import (
	"reflect"
	"strconv"
	"strings"
	"testing"
)

func TestParseTerms(t *testing.T) {
	tests := []struct {
		term string
		want defect
	}{
		{"all", ""}, {"-ALL", ""}, {"?All", ""}, {"all:x.example", unwantedArgument}, {"all/8", unwantedArgument}, {"--all", unknownMechanism}, {"-", unknownMechanism},
		{"a", ""}, {"a/0", ""}, {"a/32//128", ""}, {"a//0", ""}, {"a:x.example/24//64", ""}, {"a:a/b.example", ""}, {"a:a:b.example", ""},
		{"a:x.example//24", ""}, {"a:x.1-2", ""}, {"a:_x.example.", ""}, {"a:%{d}", ""}, {"a:%{d}.example", ""}, {"a:%{d}/24", ""}, {"a:x%%", ""},
		{"a/", badDomain}, {"a//", badDomain}, {"a/33", badPrefix}, {"a//129", badPrefix}, {"a/024", badPrefix}, {"a/24/64", badPrefix}, {"a/24/24", badDomain}, {"a//24//64", badDomain},
		{"a/99999999999999999999", badPrefix}, {"a:", badDomain}, {"a:/24", badDomain}, {"a:x", badDomain}, {"a:x.", badDomain}, {"a:x..", badDomain}, {"a:x.example..", badDomain},
		{"a:192.0.2.1", badDomain}, {"a:x.-y", badDomain}, {"a:x.y-", badDomain}, {"a:x.y_z", badDomain}, {"a:%{d}.", badDomain}, {"a:%{d}x", badDomain}, {"a:%{d}..x", ""},
		{"mx", ""}, {"mx/24", ""}, {"mx:", badDomain}, {"mx2", unknownMechanism}, {"m", unknownMechanism},
		{"ptr", ""}, {"ptr:x.example", ""}, {"ptr:", badDomain}, {"ptr/24", badDomain}, {"ptr:x.example/24", badDomain},
		{"include:x.example", ""}, {"include", badDomain}, {"include:", badDomain}, {"include=x.example", ""}, // an unknown modifier of that name
		{"exists:%{ir}.x.example", ""}, {"exists", badDomain}, {"exists:x.example/24", badDomain},
		{"ip4:192.0.2.1", ""}, {"ip4:0.0.0.0/0", ""}, {"ip4:192.0.2.1/33", badPrefix}, {"ip4:192.0.2.1/", badPrefix}, {"ip4:192.0.2", badNetwork}, {"ip4:192.0.2.01", badNetwork},
		{"ip4:::1", badNetwork}, {"ip4", badNetwork}, {"ip4:", badNetwork}, {"ip4/24", badNetwork}, {"ip4:192.0.2.1//24", badPrefix}, {"ip4:192.0.2.1:25", badNetwork}, {"ip4:%{i}", badNetwork},
		{"ip6:::", ""}, {"ip6:2001:DB8::/32", ""}, {"ip6:::ffff:192.0.2.1", ""}, {"ip6:::1/129", badPrefix}, {"ip6:192.0.2.1", badNetwork}, {"ip6:fe80::1%eth0", badNetwork}, {"ip6:::1/1_0", badPrefix},
		{"redirect=x.example", ""}, {"REDIRECT=x.example", ""}, {"redirect=", badDomain}, {"redirect:x.example", unknownMechanism}, {"-redirect=x.example", unknownMechanism},
		{"exp=x.example", ""}, {"exp=", badDomain}, {"exp=%{c}.example", badMacro}, {"exp=-all", badDomain},
		{"x=", ""}, {"x-_.9=%{c}%%", ""}, {"x=%", badMacro}, {"x=%{y}", badMacro}, {"9x=y", unknownMechanism}, {"=y", unknownMechanism}, {"x/=y", unknownMechanism},
		{"a:x.example\x00", foreignByte}, {"a:\u00fc.example", foreignByte}, {"all\t-all", foreignByte}, {"x=\x7f", foreignByte},
	}
	for _, tt := range tests {
		// A bad term behind one that always matches is an error too.
		_, f := parse("v=spf1 +all " + tt.term)
		switch {
		case tt.want == "" && f != nil:
			t.Errorf("parse(%q) = %+v; want no failure", tt.term, *f)
		case tt.want != "" && (f == nil || f.status != PermError || f.term != tt.term || f.why != "syntax error: "+string(tt.want)):
			t.Errorf("parse(%q) = %+v; want permerror, %s", tt.term, f, tt.want)
		}
	}
}

func TestParseRejectsRepeatedModifiers(t *testing.T) {
	for text, want := range map[string]bool{
		"v=spf1 exp=a.example exp=a.example":           false,
		"v=spf1 redirect=a.example Redirect=b.example": false,
		"v=spf1 exp=a.example redirect=a.example":      true,
		"v=spf1 x=1 x=2": true,
	} {
		if _, f := parse(text); (f == nil) != want {
			t.Errorf("parse(%q) = %v; want success %t", text, f, want)
		}
	}
}

// write prints a record in one spelling.
func write(rec record) string {
	var b strings.Builder
	b.WriteString(version)
	for _, t := range rec.terms {
		b.WriteString(" " + map[Status]string{Pass: "", Fail: "-", SoftFail: "~", Neutral: "?"}[t.result] + t.mechanism.String())
		if t.domain != "" {
			b.WriteString(":" + t.domain)
		}
		switch t.mechanism {
		case mIP4, mIP6:
			b.WriteString(":" + t.network.String())
		case mA, mMX:
			b.WriteString("/" + strconv.Itoa(int(t.bits4)) + "//" + strconv.Itoa(int(t.bits6)))
		}
	}
	if rec.redirect != "" {
		b.WriteString(" redirect=" + rec.redirect)
	}
	if rec.exp != "" {
		b.WriteString(" exp=" + rec.exp)
	}
	return b.String()
}

func FuzzParse(f *testing.F) {
	f.Add("v=spf1 a/24//64 mx:x.example/8 include:%{d2r-.}.example exists:%{ir}.%{v}.x.example ptr ip4:192.0.2.1/24 ip6:::1 -all")
	f.Add("V=SPF1  +A:foo:bar/baz.example?all redirect=_spf.%{d} exp=%{l}%%%_%-.example unknown=%{c} ")
	f.Add("v=spf1 ip6:::ffff:1.2.3.4/96 ip6:fe80::1%eth0 a:%{d0} a:%{d99999999999999999999r} a:x.example//0/0")
	f.Fuzz(func(t *testing.T, text string) {
		if !isRecord(text) {
			return
		}
		rec, fail := parse(text)
		if fail != nil {
			if fail.status != PermError || fail.term == "" || !strings.Contains(text, fail.term) {
				t.Errorf("parse(%q) = %+v; want permerror with a term of the record", text, fail)
			}
			return
		}
		again, fail := parse(write(rec))
		if fail != nil {
			t.Fatalf("parse(%q) = %+v; it was printed from %q", write(rec), fail, text)
		}
		for i := range again.terms {
			again.terms[i].text = rec.terms[i].text
		}
		if !reflect.DeepEqual(rec, again) {
			t.Errorf("%q reads as %+v, printed and read again as %+v", text, rec, again)
		}
	})
}
