//go:build mta

package mail

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dmarcgate/auth/dkim"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/mtatest"
	"dmarcgate/message"
	"dmarcgate/report/deliver"
)

// verifyByPython has python3-dkim verify every signature of a mail, with the key
// records of a file.
const verifyByPython = `
import dkim, json, sys
zone = json.load(open(sys.argv[1]))
mail = dkim.DKIM(sys.stdin.buffer.read())
count = sum(1 for name, _ in mail.headers if name.lower() == b'dkim-signature')
for i in range(count):
    try:
        ok = mail.verify(idx=i, dnsfunc=lambda name, timeout=5: zone[name.decode().rstrip('.')].encode())
    except dkim.ValidationError: # the body differs
        ok = False
    print(mail.selector.decode(), 'pass' if ok else 'fail')
`

func python(t *testing.T, mail []byte) string {
	t.Helper()
	records := map[string]string{}
	for _, k := range keys(t) {
		record, err := k.Record()
		if err != nil {
			t.Fatal(err)
		}
		records[k.Selector+"._domainkey."+k.Domain] = record
	}
	file := filepath.Join(t.TempDir(), "zone.json")
	text, err := json.Marshal(records)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, text)
	cmd := exec.Command("/usr/bin/python3", "-c", verifyByPython, file) // of Debian, as python3-dkim is
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stdin = bytes.NewReader(mail)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("python3-dkim: %v", err)
	}
	return strings.Join(strings.Fields(string(out)), " ")
}

// A report goes through Postfix, and its signatures verify at the other end.
func TestOwnMailVerifiesBehindPostfix(t *testing.T) {
	postfix := mtatest.StartPostfix(t, mtatest.PostfixConfig{})
	s, err := deliver.New(deliver.Config{Smarthost: postfix.Addr(), Hello: "us.example", TLS: deliver.None})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m := sample()
	m.To = "rua@receiver.example"
	for _, organization := range []string{m.Organization, "Empfänger  GmbH \u2014 Prüfstelle für Post und Fernmeldewesen, Abteilung für Berichte", ""} {
		m.Organization = organization
		mail := text(t, m, keys(t)...)
		if o := s.Send(t.Context(), "b+aaaaaaaaaaaaaaaaaaaa@reports.receiver.example", m.To, mail); o.Class != deliver.Sent {
			t.Fatalf("Send() = %+v", o)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		got, err := postfix.Delivered(ctx, func(got mtatest.Mail) bool { return bytes.Contains(got.Data, []byte("From: "+m.from()+"\r\n")) })
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasSuffix(got.Data, mail) {
			t.Errorf("Postfix changed the mail:\n%s", got.Data)
		}
		if verdict := python(t, got.Data); verdict != "ed25519 pass rsa pass" {
			t.Errorf("python3-dkim: %s; want both to pass", verdict)
		}
		if verdict := ours(t, got.Data); verdict != "ed25519 pass rsa pass" {
			t.Errorf("auth/dkim: %s; want both to pass", verdict)
		}
	}
	if verdict := python(t, bytes.Replace(text(t, m, keys(t)...), []byte("in XML"), []byte("in xml"), 1)); verdict != "ed25519 fail rsa fail" {
		t.Errorf("python3-dkim of a changed mail: %s; want both to fail", verdict)
	}
}

// ours verifies by auth/dkim.
func ours(t *testing.T, mail []byte) string {
	t.Helper()
	fields, body := message.Split(mail)
	var head message.Header
	for _, f := range fields {
		head = append(head, message.NewField(f))
	}
	run := dkim.Start(t.Context(), dnstest.NewZone(t, zone(t)), head, dkim.Options{Now: func() time.Time { return sample().Date }})
	run.Write(body)
	var out []string
	for _, r := range run.Finish() {
		out = append(out, r.Selector, r.Status.String())
	}
	return strings.Join(out, " ")
}

// The commands of the page make a key that LoadKey takes, and print the public
// half as the record has it.
func TestPageMakesAKey(t *testing.T) {
	page, err := os.ReadFile("../../docs/report-mail.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "\n```sh\n")
	block, _, closed := strings.Cut(rest, "\n```\n")
	if !found || !closed || !strings.Contains(block, "openssl genpkey") {
		t.Fatal("docs/report-mail.md has no commands that make a key")
	}
	dir := t.TempDir()
	for _, commands := range []string{block, strings.Replace(block, "-algorithm RSA -pkeyopt rsa_keygen_bits:2048", "-algorithm ed25519", 1)} {
		cmd := exec.Command("sh", "-euc", commands)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %s", err, commands)
		}
		k, err := LoadKey(filepath.Join(dir, "report-key.pem"), "reports.example.org", "r1")
		if err != nil {
			t.Fatal(err)
		}
		record, err := k.Record()
		if err != nil {
			t.Fatal(err)
		}
		_, public, _ := strings.Cut(record, "p=")
		// The record of Ed25519 has the bare key, without the 12 bytes before it.
		if got := string(out); k.kind() == "rsa" && got != public || !strings.HasSuffix(got, public[max(0, len(public)-40):]) {
			t.Errorf("the commands print %q; want %q", got, public)
		}
	}
}
