package main

import (
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/dnstest"
	aggregate "dmarcgate/report"
	reportmail "dmarcgate/report/mail"
)

// A receiver that explains our own report mail sees an aligned signature, although the
// mail comes from a client that SPF knows nothing about.
func TestOwnMailPassesInExplain(t *testing.T) {
	key := &reportmail.Key{Domain: "reports.receiver.example", Selector: "r1", Signer: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))}
	record, err := key.Record()
	if err != nil {
		t.Fatal(err)
	}
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	if _, err := z.Write([]byte("<feedback/>")); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	day := aggregate.DayOf(time.Now().AddDate(0, 0, -1))
	text, err := reportmail.Message{
		Organization: "Prüfstelle", From: "dmarc@reports.receiver.example", To: "rua@bank.example", Submitter: "receiver.example", PolicyDomain: "bank.example",
		Begin: day.Begin, End: day.End, ID: strings.Repeat("0af1", 8), Body: body.Bytes(), Date: time.Now(),
	}.Text(key)
	if err != nil {
		t.Fatal(err)
	}
	dns := dnstest.New(t, `
_dmarc.receiver.example.                TXT "v=DMARC1; p=reject; adkim=s"
reports.receiver.example.               TXT "v=spf1 -all"
mx.stranger.example.                     TXT "v=spf1 -all"
r1._domainkey.reports.receiver.example. TXT "`+record+`"
`)
	args := []string{"explain", write(t, "report.eml", string(text)), "-c", toolConfig(t, dns.Addr()), "--client", "203.0.113.1", "--helo", "mx.stranger.example",
		"--mail-from", "<b+aaaaaaaaaaaaaaaaaaaa@reports.receiver.example>", "--rcpt", "<rua@bank.example>"}
	code, out, stderr := command(args...)
	if code != 0 {
		t.Fatalf("explain = %d, %s", code, stderr)
	}
	for _, want := range []string{"DKIM pass for reports.receiver.example (s=r1): aligned", "dmarc reports.receiver.example: pass", "why: aligned DKIM pass"} {
		if !strings.Contains(out, want) {
			t.Errorf("explain prints\n%s\nwant %q in it", out, want)
		}
	}
}
