package dkim

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"dmarcgate/internal/dkimtest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/message"
)

const letter = "From: a@example.com\r\nTo: b@receiver.example\r\nSubject: hello\r\n\r\nHello,\r\nworld.\r\n"

var keys = sync.OnceValues(func() (dkimtest.Key, error) { return dkimtest.RSA(1024) })

func rsaKey(t testing.TB) dkimtest.Key {
	t.Helper()
	k, err := keys()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t testing.TB, k dkimtest.Key, text, domain, selector string) string {
	t.Helper()
	signed, err := k.Sign([]byte(text), domain, selector)
	if err != nil {
		t.Fatal(err)
	}
	return string(signed)
}

// verify gives the message to a Run, the body in pieces.
func verify(r Resolver, text string) []Result { return verifyWith(r, text, Options{}) }

func verifyWith(r Resolver, text string, opt Options) []Result {
	_, body := message.Split([]byte(text))
	run := Start(context.Background(), r, headerOf(text), opt)
	for len(body) > 0 {
		n := min(7, len(body))
		run.Write(body[:n])
		body = body[n:]
	}
	return run.Finish()
}

func TestSignatureIsVerifiedWithItsKey(t *testing.T) {
	k := rsaKey(t)
	ed, err := dkimtest.Ed25519()
	if err != nil {
		t.Fatal(err)
	}
	zone := k.Zone("s1", "example.com") + ed.Zone("e1", "example.com") +
		"testing._domainkey.example.com. TXT \"v=DKIM1; k=rsa; t=y; p=" + strings.TrimSpace(keyText(k)) + "\"\n" +
		"revoked._domainkey.example.com. TXT \"v=DKIM1; p=\"\n!servfail lame._domainkey.example.com\n"
	signed := sign(t, k, letter, "example.com", "s1")
	tests := []struct {
		name, text string
		want       Status
		why        string
		bits       int
	}{
		{"RSA", signed, Pass, "verified", 1024},
		{"Ed25519", sign(t, ed, letter, "example.com", "e1"), Pass, "verified", 256},
		{"a key in testing mode", sign(t, k, letter, "example.com", "testing"), Pass, "verified", 1024},
		{"another body", signed + "more\r\n", Fail, "body hash", 1024},
		{"another subject", strings.Replace(signed, "Subject: hello", "Subject: hullo", 1), Fail, "did not verify", 1024},
		{"no key", sign(t, k, letter, "example.com", "nokey"), PermError, "no key record", 0},
		{"a revoked key", sign(t, k, letter, "example.com", "revoked"), PermError, "key revoked", 0},
		{"a key that cannot be fetched", sign(t, k, letter, "example.com", "lame"), TempError, "lookup failed", 0},
		{"no d=", "DKIM-Signature: v=1; a=rsa-sha256; s=s1; h=from; bh=x; b=y\r\n" + letter, PermError, "d= is missing", 0},
		{"nonsense", "DKIM-Signature: ;;=;\r\n" + letter, PermError, "cannot be read", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			z := dnstest.NewZone(t, zone+"!any\n")
			got := verify(z, tt.text)
			if len(got) != 1 {
				t.Fatalf("results = %+v; want one", got)
			}
			if got[0].Status != tt.want || !strings.Contains(got[0].Why, tt.why) || got[0].KeyBits != tt.bits {
				t.Errorf("result = %+v; want %v, because of %q, %d bits", got[0], tt.want, tt.why, tt.bits)
			}
			if (got[0].Err != nil) != (tt.want == TempError) {
				t.Errorf("Err = %v with %v; want one with temperror only", got[0].Err, got[0].Status)
			}
			if want := strings.Contains(tt.text, "s=testing"); got[0].Testing != want {
				t.Errorf("Testing = %v; want %v", got[0].Testing, want)
			}
		})
	}
}

// keyText returns p= of a key.
func keyText(k dkimtest.Key) string {
	zone := strings.NewReplacer("\"", "", " ", "").Replace(k.Zone("s", "d"))
	_, p, _ := strings.Cut(zone, "p=")
	return p
}

func TestSignatureWithTwoDomainsIsRefused(t *testing.T) {
	k := rsaKey(t)
	signed := sign(t, k, letter, "evil.example", "s1")
	// A list with a tag twice can be read in two ways, and is none.
	double := strings.Replace(signed, "d=evil.example;", "d=example.com; d=evil.example;", 1)
	for _, r := range verify(dnstest.NewZone(t, k.Zone("s1", "evil.example")+"!any\n"), double) {
		if r.Status == Pass {
			t.Errorf("result = %+v; want no pass", r)
		}
	}
}

func TestSignatureLimit(t *testing.T) {
	k := rsaKey(t)
	text := letter
	var zone strings.Builder
	for i := range MaxSignatures + 4 {
		selector := fmt.Sprint("s", i)
		text = sign(t, k, text, "example.com", selector)
		zone.WriteString(k.Zone(selector, "example.com"))
	}
	z := dnstest.NewZone(t, zone.String())
	got := verify(z, text)
	if len(got) != MaxSignatures+4 || len(z.Queries()) != MaxSignatures {
		t.Fatalf("results = %d with %d lookups; want %d and %d", len(got), len(z.Queries()), MaxSignatures+4, MaxSignatures)
	}
	for i, r := range got {
		status := Pass
		if i >= MaxSignatures {
			status = Neutral
		}
		if want := fmt.Sprint("s", MaxSignatures+3-i); r.Selector != want || r.Status != status {
			t.Errorf("result %d = %+v; want %v of %s", i, r, status, want)
		}
	}
}

func TestStartFetchesEachKeyOnce(t *testing.T) {
	k := rsaKey(t)
	text := sign(t, k, sign(t, k, letter, "example.com", "s1"), "example.com", "s1")
	z := dnstest.NewZone(t, k.Zone("s1", "example.com"))
	got := verify(z, text)
	if len(got) != 2 || got[0].Status != Pass || got[1].Status != Pass {
		t.Errorf("results = %+v; want two passes", got)
	}
	if q := z.Queries(); len(q) != 1 {
		t.Errorf("lookups = %q; want one", q)
	}
}

func TestSignatureBesideOverlongFieldsIsVerified(t *testing.T) {
	k := rsaKey(t)
	z := dnstest.NewZone(t, k.Zone("s1", "example.com")+"!any\n")
	long := "X-Long: " + strings.Repeat("x", 64<<10) + "\r\n"
	folded := "X-Folded: x" + strings.Repeat("\r\n x", 500) + "\r\n"
	signed := sign(t, k, letter, "example.com", "s1")
	// Unsigned fields of that kind cost nothing and change nothing.
	if got := verify(z, long+folded+signed); len(got) != 1 || got[0].Status != Pass {
		t.Errorf("results = %+v; want one pass", got)
	}
	// A signature field of that kind is not evaluated, and those that follow it
	// still are.
	junk := "DKIM-Signature: v=1; d=example.com" + strings.Repeat("\r\n ;", maxField/4) + "\r\n"
	got := verify(z, junk+signed)
	if len(got) != 2 || got[0].Status != Neutral || got[1].Status != Pass {
		t.Errorf("results = %+v; want neutral, then pass", got)
	}
}

func TestWantedNeedsSignature(t *testing.T) {
	if Start(context.Background(), nil, headerOf(letter), Options{}).Wanted() {
		t.Error("Wanted() = true without a signature")
	}
	if got := Start(context.Background(), nil, headerOf(letter), Options{}).Finish(); len(got) != 0 {
		t.Errorf("results = %+v; want none", got)
	}
}

func headerOf(text string) message.Header {
	raw, _ := message.Split([]byte(text))
	h := make(message.Header, len(raw))
	for i, f := range raw {
		h[i] = message.NewField(f)
	}
	return h
}

func FuzzVerify(f *testing.F) {
	f.Add("v=1; a=rsa-sha256; d=example.com; s=s1; h=from:subject; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AA==", "v=DKIM1; p=AA==")
	f.Add("d=a;d=b; s=\x00; b=\r\n x; bh==;", "v=DKIM1; k=ed25519; t=y:s; p=!!")
	f.Fuzz(func(t *testing.T, field, record string) {
		text := "DKIM-Signature: " + strings.NewReplacer("\r", "", "\n", "").Replace(field) + "\r\n" + letter
		for _, r := range verify(oneKey(record), text) {
			if r.Status == Pass {
				t.Errorf("verify(%q) passes", field)
			}
			if strings.ContainsAny(r.Why+r.Domain, "\r\n\x00") || len(r.B) > 8 {
				t.Errorf("verify(%q) = %+v; want no control characters", field, r)
			}
		}
	})
}

type oneKey string

func (k oneKey) TXT(context.Context, string) ([]string, error) { return []string{string(k)}, nil }
