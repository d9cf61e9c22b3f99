package dkim

import (
	"context"
	"crypto/rsa"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
)

// records is DNS with one name or all names answered alike.
type records []string

func (r records) TXT(context.Context, string) ([]string, error) { return r, nil }

// bigKey returns the record of a key that nobody has the other half of.
func bigKey(bits uint) string {
	n := new(big.Int).Lsh(big.NewInt(1), bits-1)
	return rsaRecord(&rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: 65537})
}

func own() string { return rsaRecord(&private().PublicKey) }

// with adds tags to the record of our key.
func with(tags string) records {
	return records{strings.Replace(own(), "k=rsa;", "k=rsa; "+tags, 1)}
}

var noon = time.Unix(1_700_000_000, 0)

func TestSignatureRules(t *testing.T) {
	good := records{own()}
	p := strings.TrimPrefix(own(), "v=DKIM1; k=rsa; ")
	for _, tt := range []struct {
		name   string
		letter letterParts
		dns    records
		want   Status
		why    string
	}{
		{"relaxed", letterParts{}, good, Pass, "verified"},
		{"simple", letterParts{canon: "simple/simple"}, good, Pass, "verified"},
		{"relaxed header, simple body by default", letterParts{canon: "relaxed"}, good, Pass, "verified"},
		{"Ed25519", letterParts{alg: "ed25519-sha256"}, records{edRecord()}, Pass, "verified"},
		{"no body", letterParts{body: "\r\n"}, good, Pass, "verified"},

		{"b= in another tag after it", letterParts{after: "; xb=1; z=Subject:Feb=20b=x"}, good, Pass, "verified"},
		{"b= in another tag before it", letterParts{tags: "z=From:ab=40c|Date:Feb=202018; "}, good, Pass, "verified"},
		{"b= in i=", letterParts{tags: "i=bob=3Db=3Dx@example.com; "}, good, Pass, "verified"},
		{"white space around the value of b=", letterParts{after: " \r\n "}, good, Pass, "verified"},
		{"a semicolon at the end", letterParts{after: "; "}, good, Pass, "verified"},
		{"a tag twice", letterParts{tags: "t=1; t=1; "}, good, PermError, "cannot be read"},
		{"an empty tag", letterParts{tags: "; "}, good, PermError, "cannot be read"},
		{"a control character", letterParts{tags: "z=\x00; "}, good, PermError, "cannot be read"},
		{"a tag without a name", letterParts{tags: "=1; "}, good, PermError, "cannot be read"},

		{"i= in another case", letterParts{tags: "i=x@Mail.EXAMPLE.com; "}, good, Pass, "verified"},
		{"i= with its @ quoted", letterParts{tags: "i=jl=40example.com; "}, good, Pass, "verified"},
		{"i= quoted and in another case", letterParts{tags: "i=A=3Bb=40Mail=2EEXAMPLE.com; "}, good, Pass, "verified"},
		{"i= of another domain that ends alike", letterParts{tags: "i=@badexample.com; "}, good, PermError, "not below"},
		{"i= above d=", letterParts{tags: "i=@com; "}, good, PermError, "not below"},
		{"i= without @", letterParts{tags: "i=example.com; "}, good, PermError, "i= cannot be read"},
		{"i= with hexadecimal digits in lower case", letterParts{tags: "i=a=3d@example.com; "}, good, PermError, "i= cannot be read"},
		{"d= with a blank", letterParts{domain: "exam ple.com"}, good, PermError, "d= is not"},
		{"d= of one label", letterParts{domain: "com"}, good, PermError, "d= is not"},
		{"d= with a final dot", letterParts{domain: "example.com."}, good, PermError, "d= is not"},
		{"d= in U-labels", letterParts{domain: "bücher.example"}, good, Pass, "verified"},
		{"s= with an empty label", letterParts{selector: "a..b"}, good, PermError, "s= is not"},
		{"s= of several labels", letterParts{selector: "a.b"}, good, Pass, "verified"},

		{"h= without From", letterParts{names: "subject"}, good, PermError, "From is not signed"},
		{"h= with an empty name", letterParts{names: "from::to"}, good, PermError, "h= cannot be read"},
		{"h= with blanks and in another case", letterParts{names: "FROM : \r\n Subject"}, good, Pass, "verified"},
		{"h= names what is not there", letterParts{names: "from:from:x-none:subject"}, good, Pass, "verified"},
		{"h= names DKIM-Signature, which is not its own field", letterParts{names: "from:dkim-signature:dkim-signature"}, good, Pass, "verified"},
		{"h= of too many names", letterParts{names: "from" + strings.Repeat(":x", 200)}, good, Policy, "too many fields"},
		{"q= with a method nobody knows", letterParts{tags: "q=x/y:dns/txt; "}, good, Pass, "verified"},
		{"q= without DNS", letterParts{tags: "q=http; "}, good, PermError, "way to fetch"},
		{"c= nobody knows", letterParts{canon: "relaxed/nowsp"}, good, PermError, "canonicalization"},
		{"a= nobody knows", letterParts{alg: "rsa-sha512"}, good, PermError, "unknown algorithm"},
		{"a= of SHA-1", letterParts{alg: "rsa-sha1"}, good, PermError, "SHA-1"},

		{"x= just past, within the skew", letterParts{tags: "x=1699999800; "}, good, Pass, "verified"},
		{"x= past", letterParts{tags: "x=1699999600; "}, good, PermError, "expired"},
		{"x= of many digits", letterParts{tags: "x=99999999999999999999; "}, good, Pass, "verified"},
		{"x= before t=", letterParts{tags: "t=1699999990; x=1699999990; "}, good, PermError, "expires before"},
		{"t= ahead, within the skew", letterParts{tags: "t=1700000200; "}, good, Pass, "verified"},
		{"t= in the future", letterParts{tags: "t=1700000400; "}, good, PermError, "future"},
		{"t= no number", letterParts{tags: "t=-1; "}, good, PermError, "not a time"},

		{"l= of the whole body", letterParts{limit: 1 + len(text)}, good, Pass, "verified"},
		{"l= of a part", letterParts{limit: 6}, good, Policy, "unsigned"},
		{"l= of nothing", letterParts{limit: 1}, good, Policy, "unsigned"},
		{"l= beyond the body", letterParts{limit: 100}, good, PermError, "larger"},
		{"l= of 77 digits", letterParts{tags: "l=" + strings.Repeat("0", 77) + "; "}, good, PermError, "l= is not"},

		{"key of 512 bits", letterParts{}, records{bigKey(512)}, PermError, "too short"},
		{"key of 1024 bits", letterParts{}, good, Pass, "verified"},
		{"key of 1023 bits", letterParts{}, records{bigKey(1023)}, PermError, "too short"},
		{"key of 4096 bits, but another one", letterParts{}, records{bigKey(4096)}, Fail, "did not verify"},
		{"key of 8192 bits", letterParts{}, records{bigKey(8192)}, Policy, "too long"},
		{"key with a tab and without its padding", letterParts{}, records{"p=\t" + strings.TrimRight(strings.Replace(p[2:], "M", "M\t ", 1), "=")}, Pass, "verified"},
		{"key with empty tags", letterParts{}, records{"v=DKIM1;; k=rsa;;" + p}, Pass, "verified"},
		{"key of the next version", letterParts{}, records{"v=DKIM2; " + p}, PermError, "version of the key"},
		{"key with v= in another place", letterParts{}, records{p + "; v=DKIM1"}, PermError, "version of the key"},
		{"key with a tag twice", letterParts{}, records{own() + "; t=y; t=y"}, PermError, "record cannot be read"},
		{"key revoked", letterParts{}, records{"v=DKIM1; p="}, PermError, "revoked"},
		{"key of a kind nobody knows", letterParts{}, records{"k=foo; " + p}, PermError, "unknown kind"},
		{"key of another kind", letterParts{}, records{edRecord()}, PermError, "another kind"},
		{"key for other hashes", letterParts{}, with("h=sha1:sha512;"), PermError, "SHA-256"},
		{"key for this hash, too", letterParts{}, with("h=sha1 : sha256;"), Pass, "verified"},
		{"key for other services", letterParts{}, with("s=chat;"), PermError, "not for mail"},
		{"key for mail", letterParts{}, with("s=chat:email;"), Pass, "verified"},
		{"key with g= of old drafts", letterParts{}, with("g=nobody;"), Pass, "verified"},
		{"key with t=s and i= below", letterParts{tags: "i=@mail.example.com; "}, with("t=y:s;"), PermError, "i= below"},
		{"key with t=s and i= the same", letterParts{tags: "i=@Example.com; "}, with("t=s;"), Pass, "verified"},
		{"key among other records", letterParts{}, records{"v=spf1 -all", bigKey(2048), "v=DKIM1; p=", own()}, Pass, "verified"},
		{"key behind too many others", letterParts{}, records{bigKey(2048), bigKey(2048), bigKey(2048), bigKey(2048), own()}, Fail, "did not verify"},
		{"no key among the records", letterParts{}, records{"v=spf1 -all"}, PermError, "cannot be read"},
		{"no record", letterParts{}, nil, PermError, "no key record"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := verifyWith(tt.dns, tt.letter.signed(t), Options{Now: func() time.Time { return noon }, BodyLength: AcceptWhole})
			if len(got) != 1 || got[0].Status != tt.want || !strings.Contains(got[0].Why, tt.why) {
				t.Errorf("verify() = %+v; want one, %v, because of %q", got, tt.want, tt.why)
			}
		})
	}
}

func TestSignatureAfterAddedText(t *testing.T) {
	good := records{own()}
	once := letterParts{}.signed(t)
	over := letterParts{names: "from:from:subject:subject"}.signed(t)
	loose := letterParts{canon: "simple/relaxed", body: "a \t b \rc\r\n\r\n"}.signed(t)
	second := "From: c@example.net\r\n"
	for _, tt := range []struct {
		name, text string
		want       Status
	}{
		{"a From on top, signed once", second + once, Pass},
		{"a From below, signed once", strings.Replace(once, "\r\n\r\n", "\r\n"+second+"\r\n", 1), Fail},
		{"a From on top, over-signed", second + over, Fail},
		{"a From below, over-signed", strings.Replace(over, "\r\n\r\n", "\r\n"+second+"\r\n", 1), Fail},
		{"a field that is not signed", "X-Spam: no\r\n" + over, Pass},
		{"another space in a relaxed field", strings.Replace(once, "Subject: hello", "SUBJECT : \t\r\n hello ", 1), Pass},
		{"another space in a simple field", strings.Replace(loose, "Subject: ", "Subject:", 1), Fail},
		{"lines at the end of the body", once + "\r\n \r\n\t\r\n", Pass},
		{"another run of white space", strings.Replace(loose, " \t b", "\tb ", 1), Pass},
		{"a run of white space less", strings.Replace(loose, " \t b", "b", 1), Fail},
		{"white space at the end of a line", strings.Replace(loose, "c\r\n", "c \t\r\n", 1), Pass},
		{"white space before a bare CR, one run for another", strings.Replace(loose, "b \rc", "b\t\t\rc", 1), Pass},
		{"white space before a bare CR taken away", strings.Replace(loose, "b \rc", "b\rc", 1), Fail},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := verify(good, tt.text); len(got) != 1 || got[0].Status != tt.want {
				t.Errorf("verify() = %+v; want one, %v", got, tt.want)
			}
		})
	}
}

func TestResultMarksBodyChangedOnly(t *testing.T) {
	signed := letterParts{tags: "t=1690000000; i=@mail.example.com; ", canon: "relaxed/simple"}.signed(t)
	for _, tt := range []struct {
		name, text string
		status     Status
		headerOK   bool
	}{
		{"untouched", signed, Pass, true},
		{"a footer", signed + "-- \r\nlist\r\n", Fail, true},
		{"a footer and another subject", strings.Replace(signed, "hello", "[list] hello", 1) + "-- \r\n", Fail, false},
		{"another subject", strings.Replace(signed, "hello", "[list] hello", 1), Fail, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := verify(with("t=y;"), tt.text)[0]
			if got.Status != tt.status || got.HeaderOK != tt.headerOK {
				t.Errorf("verify() = %v, HeaderOK %v; want %v, %v", got.Status, got.HeaderOK, tt.status, tt.headerOK)
			}
			if got.SignedAt.Unix() != 1690000000 || got.Identity != "mail.example.com" || got.Canon != "relaxed/simple" || !got.Testing || got.Strict || got.KeyBits != 1024 {
				t.Errorf("verify() = %+v; want all of the signature and its key", got)
			}
		})
	}
}

func TestResultOfChangedBodyIsNoTempError(t *testing.T) {
	zone := zoneFile{"s1._domainkey.example.com": {RCode: "SERVFAIL"}}
	signed := letterParts{}.signed(t)
	if got := verify(zone, signed)[0]; got.Status != TempError || got.Err != errDNS {
		t.Errorf("verify() = %+v; want temperror with its error", got)
	}
	if got := verify(zone, signed+"more\r\n")[0]; got.Status != Fail || got.Err != nil {
		t.Errorf("verify() = %+v; want fail", got)
	}
}

func TestStartFindsAuthorSignatureBelowJunk(t *testing.T) {
	junk := func(domain string) string {
		field, _, _ := strings.Cut(letterParts{domain: domain}.signed(t), "From:")
		return field
	}
	var top strings.Builder
	for i := range MaxResults {
		top.WriteString(junk(fmt.Sprintf("stranger%d.example", i)))
	}
	for i := range MaxSignatures {
		top.WriteString(junk(fmt.Sprintf("x%d.org.example", i)))
	}
	for i := range 50 {
		top.WriteString(fmt.Sprintf("DKIM-Signature: v=1; a=rsa-sha1; d=org.example; s=s%d\r\n", i))
	}
	signed := top.String() + letterParts{domain: "mail.org.example"}.signed(t)
	got := verifyWith(records{own()}, signed, Options{Authors: []string{"org.example"}})
	if len(got) != MaxResults {
		t.Fatalf("results = %d; want %d", len(got), MaxResults)
	}
	verified := 0
	for _, r := range got {
		switch {
		case r.Status == Neutral && strings.HasPrefix(r.Why, "not verified"):
		case strings.HasSuffix(r.Domain, "org.example"):
			verified++
		default:
			t.Errorf("result = %+v; want a signature near the author, or none", r)
		}
	}
	if verified != MaxSignatures {
		t.Errorf("%d verified; want %d", verified, MaxSignatures)
	}
	exact := verifyWith(records{own()}, top.String()+letterParts{domain: "org.example"}.signed(t), Options{Authors: []string{"org.example"}})
	if last := exact[len(exact)-1]; last.Status != Pass || last.Domain != "org.example" {
		t.Errorf("last result = %+v; want a pass of the author", last)
	}
}

func TestStartFetchesNoKeyOfRefusedSignature(t *testing.T) {
	for _, l := range []letterParts{{alg: "rsa-sha1"}, {names: "to"}, {tags: "x=1; "}} {
		run := Start(context.Background(), nil, headerOf(l.signed(t)), Options{})
		if run.Wanted() || len(run.Domains()) != 0 {
			t.Errorf("%+v: Wanted() = %v, Domains() = %q; want nothing", l, run.Wanted(), run.Domains())
		}
		run.Finish()
	}
}
