package main

import (
	"regexp"
	"strings"
	"testing"
)

// caseOf reads a case that a test writes itself.
func caseOf(t *testing.T, text string) *caseFile {
	t.Helper()
	return readCase(t, write(t, "case.txt", text))
}

func TestExplainForSenderNamesFix(t *testing.T) {
	const record = "_dmarc.bank.example. TXT \"v=DMARC1; p=reject\"\n"
	tests := []struct {
		name, text string
		want       []string
	}{
		{
			"SPF passed for another domain",
			"-- envelope --\nclient 203.0.113.66\nmail_from <b@bounce.esp.example>\n-- zone --\nbounce.esp.example. TXT \"v=spf1 ip4:203.0.113.66 -all\"\n",
			[]string{
				"from 203.0.113.66 failed DMARC for bank.example", "Nearest to passing was SPF: SPF passed for bounce.esp.example, which is not aligned with bank.example",
				"Use a MAIL FROM (bounce address) at bank.example", "Or sign your mail with DKIM and d=bank.example",
				`selector._domainkey.bank.example. TXT "v=DKIM1; k=rsa; p=<`,
			},
		},
		{
			"the host is not in the SPF record",
			"-- envelope --\nclient 2001:db8::7\n-- zone --\nbank.example. TXT \"v=spf1 a:mx.bank.example ~all\"\nmx.bank.example. AAAA 2001:db8::1\n",
			[]string{
				"does not allow 2001:db8::7", "add ip6:2001:db8::7 to the record", "; now\n    bank.example. TXT \"v=spf1 a:mx.bank.example ~all\"",
				"; new\n    bank.example. TXT \"v=spf1 ip6:2001:db8::7 a:mx.bank.example ~all\"", "a forwarder",
			},
		},
		{
			"the domain sends no mail by its SPF record",
			"-- zone --\nbank.example. TXT \"v=spf1 -all\"\n",
			[]string{"says that nobody sends mail for it", `bank.example. TXT "v=spf1 ip4:192.0.2.10 -all"`},
		},
		{
			"there is no SPF record", "-- zone --\nbank.example. A 192.0.2.1\n",
			[]string{"bank.example has no SPF record", `bank.example. TXT "v=spf1 ip4:192.0.2.10 -all"`},
		},
		{
			"the SPF record has an error", "-- zone --\nbank.example. TXT \"v=spf1 ip4:192.0.2.300 -all\"\n",
			[]string{"the SPF record of bank.example has an error", "The error is at: ip4:192.0.2.300"},
		},
		{
			"the body was changed", "-- sign --\nd=bank.example\nreplace \"\\r\\nbody\" \"\\r\\nmore body\"\n",
			[]string{"DKIM   fail for d=bank.example, s=s1: body hash did not verify", "the header is as it was signed", "something changed the body of the message after it was signed", "mailing list"},
		},
		{
			"the header was changed", "-- sign --\nd=bank.example\nreplace \"hello\" \"other\"\n",
			[]string{"the signed header fields were changed after signing, or the key at s1._domainkey.bank.example is not the one"},
		},
		{
			"there is no key", "-- sign --\nd=bank.example record=none\n",
			[]string{"Nearest to passing was DKIM: there is no key at s1._domainkey.bank.example", `s1._domainkey.bank.example. TXT "v=DKIM1; k=rsa; p=<`},
		},
		{
			"the key is revoked", "-- zone --\ns1._domainkey.bank.example. TXT \"v=DKIM1; p=\"\n-- sign --\nd=bank.example\n",
			[]string{"the key at s1._domainkey.bank.example is revoked"},
		},
		{"the key cannot be read", "-- zone --\ns1._domainkey.bank.example. TXT \"v=DKIM1; p=AAAA\"\n-- sign --\nd=bank.example\n", []string{"cannot be read. Publish the public key of the signer anew"}},
		{"the key is too short", "-- sign --\nd=bank.example key=rsa512\n", []string{"is too short to prove anything", "2048 bits"}},
		{"the signature has expired", "-- sign --\nd=bank.example t={now-48h} x={now-24h}\n", []string{"the signature had expired (x=)"}},
		{"the signature is of tomorrow", "-- sign --\nd=bank.example t={now+24h}\n", []string{"Set the clock of the signer"}},
		{"the signature has l=", "-- sign --\nd=bank.example l=4\nappend more\n", []string{"leave out l="}},
		{"the signature uses SHA-1", "-- sign --\nd=bank.example a=rsa-sha1\n", []string{"the signature uses SHA-1", "rsa-sha256"}},
		{"the key cannot be fetched", "-- zone --\n!servfail s1._domainkey.bank.example\n-- sign --\nd=bank.example\n", []string{"could not be evaluated by DMARC for bank.example, because DNS gave no answer"}},
		{
			"the signature is of whoever sends", "-- sign --\nd=esp.example\n",
			[]string{"Nearest to passing was SPF", "Or a signature of esp.example verified, which is not aligned with bank.example. Have whoever signs for you sign with d=bank.example too"},
		},
		{
			"strict alignment of SPF",
			"-- envelope --\nmail_from <b@mail.bank.example>\n-- zone --\nmail.bank.example. TXT \"v=spf1 ip4:192.0.2.10 -all\"\n_dmarc.bank.example. TXT \"v=DMARC1; p=reject; aspf=s\"\n",
			[]string{"Nearest to passing was SPF: SPF passed for mail.bank.example, but the DMARC record of bank.example wants strict alignment (aspf=s)"},
		},
		{
			"strict alignment of DKIM",
			"-- zone --\n_dmarc.bank.example. TXT \"v=DMARC1; p=reject; adkim=s\"\n-- sign --\nd=mail.bank.example\n",
			[]string{"Take adkim=s out of the record, or sign with d=bank.example"},
		},
		{
			"the DMARC record has errors",
			"-- zone --\n_dmarc.bank.example. TXT \"v=DMARC1; p=reject; pct=abc; sp=rejct\"\n",
			[]string{"The DMARC record for bank.example has errors", "bad_pct: write a whole number", "bad_sp: write sp=none", `_dmarc.bank.example. TXT "v=DMARC1; p=reject; pct=abc; sp=rejct"`},
		},
		{"nothing is wrong", "-- sign --\nd=bank.example\n", []string{"passed DMARC for bank.example. Nothing needs to be fixed."}},
		{"there is no DMARC record", "-- zone --\n_dmarc.bank.example. A 192.0.2.1\n", []string{"publishes no DMARC record", `_dmarc.bank.example. TXT "v=DMARC1; p=none; rua=mailto:`}},
		{"there is no From field", "-- message --\nSubject: x\n\nbody\n", []string{"has no From field", "RFC 5322, Section 3.6.2"}},
		{
			"the client behind our relay is not known",
			"-- config --\n[[trusted_relay]]\nnetworks = [\"10.9.0.1\"]\nnames = [\"relay.receiver.example\"]\n-- envelope --\nclient 10.9.0.1\n-- message --\nFrom: user@bank.example\n\nbody\n-- zone --\n" + record,
			[]string{"does not know which host sent the message", "The fault is at this site", "d=bank.example"},
		},
		{"there are two From fields", "-- message --\nFrom: a@bank.example\nFrom: b@bank.example\n\nbody\n", []string{"more than one From field"}},
		{"From cannot be read", "-- message --\nFrom: <<<\n\nbody\n", []string{"cannot be read as an address"}},
		{"the message is not evaluated", "-- envelope --\nclient 127.0.0.1\n", []string{"not evaluated"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := tt.text
			if !strings.Contains(text, "-- message --") && !strings.Contains(text, "_dmarc.bank.example.") {
				if !strings.Contains(text, "-- zone --\n") {
					text += "-- zone --\n"
				}
				text = strings.Replace(text, "-- zone --\n", "-- zone --\n"+record, 1)
			}
			out := explained(t, caseOf(t, text), "--for-sender")
			flat := words(out)
			for _, want := range tt.want {
				if !strings.Contains(flat, words(want)) {
					t.Errorf("explain --for-sender prints\n%s\nwant %q in it", out, want)
				}
			}
		})
	}
}

// What is written to a third party has nothing of this site in it, and nothing of
// the message that could do harm where it is read.
func TestExplainForSenderHasNoInternals(t *testing.T) {
	c := caseOf(t, "Text of all kinds in one message.\n\n"+`-- rules --
[[rule]]
id = "secret-rule"
owner = "postmaster@receiver.example"
comment = "secret-comment"
created = 2026-01-01
mode = "enforce"
action = "quarantine"
[rule.match]
client = ["203.0.113.66"]
author = ["bank.example"]
-- envelope escaped --
client 203.0.113.66
helo \x1b[2Jhelo
mail_from <\xc3\xa9vil\x1b@bank.example>
-- zone --
bank.example. TXT "v=spf1 \027[2J\195\169 -all"
_dmarc.bank.example. TXT "v=DMARC1; p=reject; pct=\027[2J"
-- message escaped --
DKIM-Signature: v=1; a=rsa-sha256; d=bank.example; s=\x1b[2J\xc3\xa9; h=from; bh=AAAA; b=AAAA
From: Bank <service@bank.example>
X-Odd: \x1b[2J\xc3\xa9

body
`)
	out := explained(t, c, "--for-sender")
	if !strings.Contains(out, "failed DMARC for bank.example") {
		t.Errorf("explain --for-sender prints\n%s\nwant that it failed", out)
	}
	if bad := regexp.MustCompile(`[^\n -~]`).FindString(out); bad != "" {
		t.Errorf("explain --for-sender prints %q:\n%s", bad, out)
	}
	for _, internal := range []string{"secret", "rule", "mta", "quarantine", "strict", "/", "profile"} {
		if strings.Contains(out, internal) {
			t.Errorf("explain --for-sender prints %q:\n%s", internal, out)
		}
	}
	for line := range strings.Lines(out) {
		if len(line) > 77 && !strings.HasPrefix(line, "    ") && strings.Contains(line, " ") {
			t.Errorf("line of %d columns: %q", len(line), line)
		}
	}
}
