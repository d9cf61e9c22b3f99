package main

import (
	"bytes"
	"strings"
	"testing"

	"dmarcgate/internal/dkimtest"
	"dmarcgate/internal/dnstest"
)

func TestExplainSecondOpinion(t *testing.T) {
	key, err := dkimtest.Ed25519()
	if err != nil {
		t.Fatal(err)
	}
	// The record of broken.example has an error behind the term that matches:
	// permerror by RFC 7208, Section 4.6, which the other implementation lacks.
	dns := dnstest.New(t, key.Zone("s1", "good.example")+`
good.example.         TXT "v=spf1 a:out.good.example -all"
out.good.example.     A 192.0.2.1
broken.example.       TXT "v=spf1 ip4:192.0.2.1 -all redirect=%"
mx.good.example.      TXT "v=spf1 mx -all"
mx.good.example.      MX 10 out.good.example.
_dmarc.good.example.  TXT "v=DMARC1; p=reject"
`)
	signed, err := key.Sign([]byte("From: a@good.example\r\nSubject: x\r\n\r\nhello\r\n"), "good.example", "s1")
	if err != nil {
		t.Fatal(err)
	}
	cfg := toolConfig(t, dns.Addr())
	explain := func(text []byte, from string) string {
		t.Helper()
		code, out, stderr := command("explain", write(t, "m.eml", string(text)), "-c", cfg, "--client", "192.0.2.1", "--helo", "mx.good.example", "--mail-from", from, "--second-opinion")
		if code != 0 {
			t.Fatalf("explain = %d, %s", code, stderr)
		}
		return out
	}
	for _, tt := range []struct {
		name, out string
		want      []string
	}{
		{"agreement", explain(signed, "b@good.example"), []string{
			"spf mailfrom of good.example: ours pass, theirs pass: agrees", "spf helo of mx.good.example: ours pass, theirs pass: agrees",
			"dkim signature 1, d=good.example: ours pass, theirs pass: agrees",
		}},
		{"a body that was changed", explain(bytes.Replace(signed, []byte("hello"), []byte("hullo"), 1), "b@good.example"), []string{
			"dkim signature 1, d=good.example: ours fail, theirs fail: agrees",
		}},
		{"a difference", explain(signed, "b@broken.example"), []string{
			"spf mailfrom of broken.example: ours permerror, theirs pass: DIFFERS",
		}},
	} {
		for _, want := range tt.want {
			if !strings.Contains(tt.out, want) {
				t.Errorf("%s: explain --second-opinion prints\n%s\nwant %q in it", tt.name, tt.out, want)
			}
		}
	}
}

func TestExplainShowsSPFExplanation(t *testing.T) {
	dns := dnstest.New(t, `
good.example.      TXT "v=spf1 -all exp=why.good.example"
why.good.example.  TXT "%{l} may not send from %{i}"
`)
	cfg := toolConfig(t, dns.Addr())
	mail := write(t, "m.eml", "From: a@good.example\n\nx\n")
	code, out, stderr := command("explain", mail, "-c", cfg, "--client", "192.0.2.1", "--helo", "mx.good.example", "--mail-from", "b@good.example")
	if code != 0 || !strings.Contains(out, "its owner says: b may not send from 192.0.2.1") {
		t.Errorf("explain = %d\n%s%s\nwant the explanation", code, out, stderr)
	}
}
