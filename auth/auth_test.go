package auth

import (
	"context"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"dmarcgate/auth/arc"
	"dmarcgate/auth/dkim"
	"dmarcgate/auth/dmarc"
	"dmarcgate/auth/spf"
	"dmarcgate/internal/dkimtest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/message"
)

var client = netip.MustParseAddr("192.0.2.1")

func checker(z *dnstest.Zone) *Checker {
	return &Checker{SPF: z, DKIM: z, Finder: &dmarc.Finder{Resolver: z}, Budget: time.Minute}
}

func header(text string) (message.Header, []byte) {
	raw, body := message.Split([]byte(text))
	h := make(message.Header, len(raw))
	for i, f := range raw {
		h[i] = message.NewField(f)
	}
	return h, body
}

func check(z *dnstest.Zone, q Query, text string) Results {
	h, body := header(text)
	run := checker(z).Start(context.Background(), q, h)
	run.Write(body)
	return run.Finish()
}

func TestFinishReportsEachMechanism(t *testing.T) {
	key, err := dkimtest.Ed25519()
	if err != nil {
		t.Fatal(err)
	}
	z := dnstest.NewZone(t, key.Zone("s1", "news.shop.example")+`
shop.example.        TXT "v=spf1 ip4:192.0.2.1 -all"
mx.shop.example.     TXT "v=spf1 -all"
_dmarc.shop.example. TXT "v=DMARC1; p=reject"
`)
	signed, err := key.Sign([]byte("From: a@shop.example\r\nSubject: x\r\n\r\nhello\r\n"), "news.shop.example", "s1")
	if err != nil {
		t.Fatal(err)
	}
	res := check(z, Query{Client: client, Helo: "mx.shop.example", MailFrom: "b@shop.example", Authors: []string{"shop.example"}}, string(signed))
	if res.SPF.Status != spf.Pass || res.HELO.Status != spf.Fail || len(res.DKIM) != 1 || res.DKIM[0].Status != dkim.Pass {
		t.Fatalf("results = %+v; want SPF pass, HELO fail, one DKIM pass", res)
	}
	a := res.Authors[0]
	if a.Discovery.PolicyDomain != "shop.example" || len(a.Identifiers) != 2 {
		t.Fatalf("author = %+v; want the record of shop.example and two identifiers", a)
	}
	v := dmarc.Evaluate(a.Discovery, a.Identifiers)
	if v.Status != dmarc.Pass || !v.AlignedSPF || !v.AlignedDKIM {
		t.Errorf("Evaluate() = %+v; want a pass by both", v)
	}
}

func TestSPFOfNullPathChecksHELO(t *testing.T) {
	z := dnstest.NewZone(t, "mx.shop.example. TXT \"v=spf1 ip4:192.0.2.1 -all\"\n_dmarc.shop.example. TXT \"v=DMARC1; p=reject\"\n")
	res := check(z, Query{Client: client, Helo: "mx.shop.example", Authors: []string{"shop.example"}}, "From: a@shop.example\r\n\r\n")
	if res.SPF.Status != spf.Pass || res.SPF != res.HELO {
		t.Errorf("SPF = %+v, HELO = %+v; want the same pass", res.SPF, res.HELO)
	}
	if v := dmarc.Evaluate(res.Authors[0].Discovery, res.Authors[0].Identifiers); !v.AlignedSPF {
		t.Errorf("Evaluate() = %+v; want aligned SPF", v)
	}
}

func TestSPFSkipsInvalidHELO(t *testing.T) {
	for _, helo := range []string{"", "localhost", "[192.0.2.1]", "mx .example", "-"} {
		z := dnstest.NewZone(t, "shop.example. A 192.0.2.1\n")
		res := check(z, Query{Client: client, Helo: helo, MailFrom: "a@shop.example"}, "From: a@shop.example\r\n\r\n")
		if res.HELO.Status != spf.None {
			t.Errorf("HELO %q = %v; want none", helo, res.HELO.Status)
		}
	}
}

func TestSPFNeedsClientAddress(t *testing.T) {
	z := dnstest.NewZone(t, "shop.example. TXT \"v=spf1 +all\"\n")
	if res := check(z, Query{MailFrom: "a@shop.example"}, "From: a@shop.example\r\n\r\n"); res.SPF.Status != spf.None {
		t.Errorf("SPF = %+v; want none", res.SPF)
	}
}

// Only names at or below the author's organizational domain can be aligned;
// walking any other name would be DNS traffic of a third party's choice.
func TestFinishWalksOnlyIdentifiersThatCouldAlign(t *testing.T) {
	z := dnstest.NewZone(t, `
_dmarc.shop.example. TXT "v=DMARC1; p=reject"
stranger.example.    TXT "v=spf1 +all"
x.shop.example.      TXT "v=spf1 +all"
list.example.        A   192.0.2.1
`)
	h := "DKIM-Signature: v=1; a=rsa-sha256; d=list.example; s=s; h=from; bh=x; b=x\r\nFrom: a@shop.example\r\n\r\n"
	for from, want := range map[string]bool{"stranger.example": false, "x.shop.example": true} {
		check(z, Query{Client: client, MailFrom: "a@" + from, Authors: []string{"shop.example"}}, h)
		got := strings.Contains(strings.Join(z.Queries(), "\n"), "_dmarc."+from)
		if got != want {
			t.Errorf("queried for _dmarc.%s: %v; want %v", from, got, want)
		}
	}
	if strings.Contains(strings.Join(z.Queries(), "\n"), "_dmarc.list.example") {
		t.Error("queried for _dmarc.list.example, which cannot align")
	}
}

func TestBudgetEndsLookupsAsTempError(t *testing.T) {
	c := &Checker{SPF: silent{}, DKIM: silent{}, Finder: &dmarc.Finder{Resolver: silent{}}, Budget: time.Millisecond}
	h, _ := header("DKIM-Signature: v=1; a=rsa-sha256; d=shop.example; s=s; h=from; bh=x; b=x\r\nFrom: a@shop.example\r\n\r\n")
	res := c.Start(context.Background(), Query{Client: client, MailFrom: "a@shop.example", Authors: []string{"shop.example"}}, h).Finish()
	if res.SPF.Status != spf.TempError || res.Authors[0].Discovery.Err == nil {
		t.Errorf("results = %+v; want temporary errors", res)
	}
	if v := dmarc.Evaluate(res.Authors[0].Discovery, res.Authors[0].Identifiers); v.Status != dmarc.TempError {
		t.Errorf("Evaluate() = %+v; want temperror", v)
	}
}

// silent answers when the context ends.
type silent struct{}

func (silent) wait(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func (s silent) TXT(ctx context.Context, _ string) ([]string, error)      { return nil, s.wait(ctx) }
func (s silent) A(ctx context.Context, _ string) ([]netip.Addr, error)    { return nil, s.wait(ctx) }
func (s silent) AAAA(ctx context.Context, _ string) ([]netip.Addr, error) { return nil, s.wait(ctx) }
func (s silent) MX(ctx context.Context, _ string) ([]string, error)       { return nil, s.wait(ctx) }
func (s silent) PTR(ctx context.Context, _ netip.Addr) ([]string, error)  { return nil, s.wait(ctx) }
func (s silent) Exists(ctx context.Context, _ string) (bool, error)       { return false, s.wait(ctx) }

// A panic beside the message must reach the session, which survives it.
func TestFinishRaisesPanicOfLookup(t *testing.T) {
	z := dnstest.NewZone(t, "!any\n")
	c := checker(z)
	c.SPF = explosive{}
	h, _ := header("From: a@shop.example\r\n\r\n")
	run := c.Start(context.Background(), Query{Client: client, MailFrom: "a@shop.example"}, h)
	defer func() {
		if p := recover(); p == nil || !strings.Contains(p.(string), "boom") {
			t.Errorf("Finish() panics with %v; want boom and its stack", p)
		}
	}()
	run.Finish()
	t.Error("Finish() returned; want a panic")
}

type explosive struct{ silent }

func (explosive) TXT(context.Context, string) ([]string, error) { panic("boom") }

func TestLocalPart(t *testing.T) {
	for in, want := range map[string]string{
		"a@b.example": "a", `"x@y"@b.example`: `"x@y"`, "b.example": "postmaster", "@b.example": "postmaster", "": "postmaster",
	} {
		if got := localPart(in); got != want {
			t.Errorf("localPart(%q) = %q; want %q", in, got, want)
		}
	}
}

func TestRecordedKeepsSealersResultsOfAuthor(t *testing.T) {
	key, err := dkimtest.Ed25519()
	if err != nil {
		t.Fatal(err)
	}
	z := dnstest.NewZone(t, key.Zone("arc", "lists.example")+`
_dmarc.shop.example. TXT "v=DMARC1; p=reject"
`)
	text := []byte("From: a@news.shop.example\r\nSubject: x\r\n\r\nhello\r\n")
	for _, results := range []string{
		`first.example; dmarc=PASS (p=reject) header.from=News.Shop.Example.; spf=pass smtp.mailfrom=bounce@shop.example; dkim=pass header.i=@mail.shop.example header.b=abc; spf=pass smtp.mailfrom=other.example; iprev=pass policy.iprev=192.0.2.1`,
		`lists.example; dmarc=fail header.from="news.shop.example"; dkim=pass header.d=evilshop.example; dmarc=pass; dmarc=pass header.from=example`,
	} {
		if text, err = key.Seal(text, dkimtest.Hop{Domain: "lists.example", Selector: "arc", Results: results}); err != nil {
			t.Fatal(err)
		}
	}
	got := check(z, Query{Client: client, Helo: "mx.lists.example", MailFrom: "b@lists.example", Authors: []string{"news.shop.example"}}, string(text)).ARC
	want := Chain{Status: arc.Pass, Why: "all seals verified", Sealers: []Sealer{
		{"lists.example", "arc", []Recorded{{"dmarc", "pass", "news.shop.example"}, {"spf", "pass", "shop.example"}, {"dkim", "pass", "mail.shop.example"}}},
		{"lists.example", "arc", []Recorded{{"dmarc", "fail", "news.shop.example"}}},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("chain = %+v; want %+v", got, want)
	}
}

func TestOtherMethodRunsWithoutDelay(t *testing.T) {
	const zone = `
_dmarc.shop.example. TXT "v=DMARC1; p=reject; psd=n"
_dmarc.example.      TXT "v=DMARC1; p=none"
`
	q := Query{Client: client, Helo: "mx.shop.example", MailFrom: "b@news.shop.example", Authors: []string{"shop.example"}}
	z := dnstest.NewZone(t, zone+"news.shop.example. TXT \"v=spf1 ip4:192.0.2.1 -all\"\n")
	c := checker(z)
	c.Other = &dmarc.Finder{Resolver: z, Method: dmarc.PSL}
	h, _ := header("From: a@shop.example\r\n\r\n")
	got := c.Start(context.Background(), q, h)
	for _, a := range got.others {
		<-a.done // as if the body took its time
	}
	res := got.Finish()
	if o := res.Authors[0].Other; o == nil || o.Discovery.Method != dmarc.PSL || o.Discovery.PolicyDomain != "shop.example" || len(o.Identifiers) != 1 || o.Identifiers[0].Org != "shop.example" {
		t.Errorf("other = %+v; want what the list says", o)
	}

	never := stuck{z}
	c.Other = &dmarc.Finder{Resolver: never, Method: dmarc.PSL}
	c.CacheOnly = func() CacheOnly { return CacheOnly{Complete: func() bool { return false }, SPF: z, DKIM: z, DMARC: z} }
	run := c.Start(context.Background(), q, h)
	if a := run.Finish().Authors[0]; a.Discovery.PolicyDomain != "shop.example" || a.Other != nil {
		t.Errorf("author = %+v; want its record, and nothing of the other method", a)
	}
}

// stuck answers when the message is over.
type stuck struct{ *dnstest.Zone }

func (s stuck) TXT(ctx context.Context, _ string) ([]string, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestStandingOfDomainThatSendsNoMail(t *testing.T) {
	const record = `_dmarc.shop.example. TXT "v=DMARC1; p=reject"` + "\n"
	for _, tt := range []struct {
		name, zone string
		want       SendsMail
	}{
		{"a domain that is silent", `shop.example. MX 10 mx.shop.example.`, SendsMail{Queried: true}},
		{"an SPF record that permits no host", `shop.example. TXT "v=spf1 -all"`, SendsMail{Queried: true, NoSPF: true}},
		{"the same in other letters", `shop.example. TXT "V=SPF1  -ALL "`, SendsMail{Queried: true, NoSPF: true}},
		{"an SPF record of somebody", `shop.example. TXT "v=spf1 ip4:203.0.113.1 -all"`, SendsMail{Queried: true}},
		{"a soft one", `shop.example. TXT "v=spf1 ~all"`, SendsMail{Queried: true}},
		{"two SPF records", "shop.example. TXT \"v=spf1 -all\"\nshop.example. TXT \"v=spf1 a -all\"", SendsMail{Queried: true}},
		{"one beside other text", "shop.example. TXT \"v=spf1 -all\"\nshop.example. TXT \"site=1\"", SendsMail{Queried: true, NoSPF: true}},
		{"a null MX", `shop.example. MX 0 .`, SendsMail{Queried: true, NullMX: true}},
		{"a failure", `!servfail shop.example`, SendsMail{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			z := dnstest.NewZone(t, record+tt.zone+"\n")
			got := check(z, Query{Client: client, Helo: "x", Authors: []string{"shop.example"}}, "From: a@shop.example\r\n\r\n").Authors[0].SendsMail
			if failed := got.Err != nil; failed == got.Queried {
				t.Errorf("standing = %+v; want an error when it is not known", got)
			}
			if got.Err = nil; got != tt.want {
				t.Errorf("standing = %+v; want %+v", got, tt.want)
			}
		})
	}
	z := dnstest.NewZone(t, `_dmarc.example. TXT "v=DMARC1; p=reject; psd=y"`+"\n!any\n")
	if got := check(z, Query{Client: client, Helo: "x", Authors: []string{"no.example"}}, "From: a@no.example\r\n\r\n").Authors[0].SendsMail; got != (SendsMail{Queried: true, Missing: true}) {
		t.Errorf("standing of a name that does not exist = %+v; want missing", got)
	}
	z = dnstest.NewZone(t, `_dmarc.shop.example. TXT "v=DMARC1; p=quarantine"`+"\n")
	if got := check(z, Query{Client: client, Helo: "x", Authors: []string{"shop.example"}}, "From: a@shop.example\r\n\r\n").Authors[0].SendsMail; got.Queried {
		t.Errorf("standing under p=quarantine = %+v; want that nothing is queried", got)
	}
}
