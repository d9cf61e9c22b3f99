package dkim

import (
	"fmt"
	"strings"
	"testing"
)

// TestBodyLengthSignatureIsRefused has the default, under which
// nothing else that is wrong with such a signature matters, a failure of DNS
// neither.
func TestBodyLengthSignatureIsRefused(t *testing.T) {
	servfail := zoneFile{"s1._domainkey.example.com": {RCode: "SERVFAIL"}}
	part := letterParts{limit: 6}.signed(t)
	for _, tt := range []struct {
		name     string
		dns      Resolver
		text     string
		headerOK bool
	}{
		{"of the whole body", records{own()}, letterParts{limit: 1 + len(text)}.signed(t), true},
		{"of a part", records{own()}, part, true},
		{"of nothing", records{own()}, letterParts{limit: 1}.signed(t), true},
		{"beyond the body", records{own()}, letterParts{limit: 100}.signed(t), true},
		{"with another body", records{own()}, strings.Replace(part, "Hello", "Hullo", 1), true},
		{"with another subject", records{own()}, strings.Replace(part, "hello", "hullo", 1), false},
		{"without a key", records{}, part, false},
		{"with a key that cannot be fetched", servfail, part, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := verify(tt.dns, tt.text)[0]
			if got.Status != Policy || got.Why != "l= is not accepted" || got.Err != nil || got.HeaderOK != tt.headerOK {
				t.Errorf("verify() = %+v; want policy because of l=, HeaderOK %v", got, tt.headerOK)
			}
		})
	}
	if got := verify(nil, letterParts{tags: "l=x; "}.signed(t))[0]; got.Status != PermError {
		t.Errorf("verify() = %+v; want permerror for a signature that is none", got)
	}
}

func TestBodyLengthMustCoverWholeBody(t *testing.T) {
	for _, tt := range []struct {
		name string
		text string
		want Status
		why  string
	}{
		{"the whole body", letterParts{limit: 1 + len(text)}.signed(t), Pass, "verified"},
		{"the whole body, before empty lines", letterParts{limit: 1 + len(text)}.signed(t) + "\r\n\r\n", Pass, "verified"},
		{"the whole body, before a footer", letterParts{limit: 1 + len(text)}.signed(t) + "-- \r\n", Policy, "unsigned"},
		{"nothing of no body", letterParts{body: "\r\n", limit: 1}.signed(t), Pass, "verified"},
		{"the whole body, which is another", strings.Replace(letterParts{limit: 1 + len(text)}.signed(t), "Hello", "Hullo", 1), Fail, "body hash"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := verifyWith(records{own()}, tt.text, Options{BodyLength: AcceptWhole})[0]
			if got.Status != tt.want || !strings.Contains(got.Why, tt.why) {
				t.Errorf("verify() = %+v; want %v, because of %q", got, tt.want, tt.why)
			}
		})
	}
}

func TestMaxKeyBits(t *testing.T) {
	signed := letterParts{}.signed(t)
	for _, tt := range []struct {
		most int
		bits uint
		want Status
	}{
		{0, 4096, Fail}, {0, 4097, Policy}, {0, 8192, Policy}, {4096, 4097, Policy},
		{8192, 8192, Fail}, {8192, 8193, Policy}, {1 << 20, 16384, Policy}, {2048, 4096, Policy}, {2048, 2048, Fail},
	} {
		got := verifyWith(records{bigKey(tt.bits)}, signed, Options{MaxKeyBits: tt.most})[0]
		if got.Status != tt.want || got.KeyBits != int(tt.bits) || (got.Why == "key too long") != (tt.want == Policy) {
			t.Errorf("with MaxKeyBits %d a key of %d bits gives %+v; want %v", tt.most, tt.bits, got, tt.want)
		}
	}
	if got := verifyWith(records{bigKey(8192), own()}, signed, Options{})[0]; got.Status != Pass {
		t.Errorf("verify() = %+v; want pass with the other key", got)
	}
}

// TestNearIgnoresDomainsUnderSamePublicSuffix has signatures that could not
// be aligned with the author, though they share its last two labels.
func TestNearIgnoresDomainsUnderSamePublicSuffix(t *testing.T) {
	var top strings.Builder
	for i := range MaxSignatures {
		field, _, _ := strings.Cut(letterParts{domain: fmt.Sprintf("stranger%d.co.example", i)}.signed(t), "From:")
		top.WriteString(field)
	}
	for _, d := range []string{"mail.author.co.example", "author.co.example", "news.author.co.example", "a.b.news.author.co.example"} {
		got := verifyWith(records{own()}, top.String()+letterParts{domain: d}.signed(t), Options{Authors: []string{"news.author.co.example"}})
		if last := got[len(got)-1]; last.Status != Pass || last.Domain != d {
			t.Errorf("last result = %+v; want a pass of %s", last, d)
		}
	}
}

func TestNearRanksDomains(t *testing.T) {
	authors := []string{"news.example.co.uk", "example.org"}
	order := []string{"", "other.com", "uk", "evil.co.uk", "mail.example.co.uk", "a.news.example.co.uk", "news.example.co.uk"}
	for i := 1; i < len(order); i++ {
		if a, b := near(order[i-1], authors), near(order[i], authors); a > b || a == b && i != 1 {
			t.Errorf("near(%q) = %d, near(%q) = %d; want the second nearer", order[i-1], a, order[i], b)
		}
	}
	for _, tt := range []struct {
		a, b string
		want int
	}{{"a.b.c", "a.b.c", 3}, {"x.b.c", "a.b.c", 2}, {"b.c", "a.b.c", 2}, {"xb.c", "a.b.c", 1}, {"c", "c", 1}, {"", "c", 0}, {"d", "c", 0}, {"c.", "c", 0}} {
		if got := common(tt.a, tt.b); got != tt.want {
			t.Errorf("common(%q, %q) = %d; want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
