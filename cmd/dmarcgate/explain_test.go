package main

import (
	"encoding/json"
	"strings"
	"testing"

	"dmarcgate/explain"
	"dmarcgate/internal/dnstest"
)

func TestExplainPrintsTree(t *testing.T) {
	dns := dnstest.New(t, toolZone)
	cfg := toolConfig(t, dns.Addr())
	mail := write(t, "message.eml", "Authentication-Results: mx.receiver.example; dmarc=pass\nFrom: Bank <x@bank.example>\nSubject: \x1b[2Jhello\n\nbody\n")
	args := []string{"explain", mail, "-c", cfg, "--client", "203.0.113.1", "--helo", "mx.stranger.example", "--mail-from", "<y@stranger.example>", "--rcpt", "<u@receiver.example>"}
	code, out, stderr := command(args...)
	if code != 0 {
		t.Fatalf("explain = %d, %s", code, stderr)
	}
	for _, want := range []string{
		"client 203.0.113.1", "spf mailfrom: none for stranger.example", "dkim: 0 signatures", "dmarc bank.example: fail",
		"record at bank.example (author)", "defects: bad_pct", "decision, profile strict: reject", "answer to the MTA: 550 5.7.1",
		"DNS lookups", "TXT _dmarc.bank.example",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("explain prints\n%s\nwant %q in it", out, want)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("explain prints a control character of the message")
	}
	code, out, _ = command(append(args, "--profile", "monitor")...)
	if code != 0 || !strings.Contains(out, "profile monitor: accept") || !strings.Contains(out, "delete Authentication-Results 1") {
		t.Errorf("explain --profile monitor = %d\n%s\nwant accept and the forged field deleted", code, out)
	}
	code, out, _ = command(append(args, "--json")...)
	var x explain.Explanation
	if err := json.Unmarshal([]byte(out), &x); err != nil || code != 0 || x.Decision.Author != "bank.example" || len(x.Lookups) == 0 {
		t.Errorf("explain --json = %d, %+v, %v; want the decision for bank.example", code, x, err)
	}
}

func TestExplainShowsUnknownClientBehindRelay(t *testing.T) {
	out := explained(t, caseOf(t, `A relay without a field.

-- config --
[[trusted_relay]]
networks = ["10.9.0.1"]
names = ["relay.receiver.example"]
-- envelope --
client 10.9.0.1
-- zone --
_dmarc.bank.example. TXT "v=DMARC1; p=reject"
-- message --
From: user@bank.example

body
`))
	for _, want := range []string{"message from client unknown", "client behind our relay 10.9.0.1 not known (no_field)", "dmarc bank.example: temperror", "profile strict: tag"} {
		if !strings.Contains(out, want) {
			t.Errorf("explain prints\n%s\nwant %q in it", out, want)
		}
	}
}

func TestExplainShowsEveryStep(t *testing.T) {
	c := caseOf(t, "Two signatures, an included record, strict alignment of one kind.\n\n"+`-- envelope --
mail_from <b@mail.news.bank.example>
helo mx.bank.example
rcpt <u@other.example>
-- zone --
mail.news.bank.example. TXT "v=spf1 include:_spf.bank.example ~all"
_spf.bank.example. TXT "v=spf1 ip4:192.0.2.10 -all"
mx.bank.example. TXT "v=spf1 -all"
_dmarc.news.bank.example. TXT "some other text"
_dmarc.bank.example. TXT "v=DMARC1; p=reject; sp=quarantine; adkim=s; pct=0; t=y; xx=1"
stranger._domainkey.esp.example. TXT "v=DKIM1; t=y; p={key:rsa}"
-- sign --
d=bank.example s=list t={now-1h}
d=esp.example s=stranger
-- message --
From: a@news.bank.example
Subject: hello

body
`)
	out := explained(t, c)
	for _, want := range []string{
		"spf mailfrom: pass for mail.news.bank.example", "TXT mail.news.bank.example: [\"v=spf1 include:_spf.bank.example ~all\"] (miss, age 0s, TTL 5m0s)",
		"TXT _spf.bank.example: [", "spf helo: fail for mx.bank.example", "not used for alignment", "dkim: 2 signatures",
		"a=rsa-sha256 c=relaxed/relaxed b=", "key of 1024 bits", "made at 20", "(t=)", "the key has t=y", "header hash and body hash verify",
		"arc: no chain", "search by treewalk, 3 names, stopped at _dmarc.example, the last name", "no DMARC record, 1 other TXT", "defect: ",
		"organizational domain bank.example", "SPF pass for mail.news.bank.example: aligned: the organizational domain of both is bank.example",
		"mode relaxed", "queried beside: TXT _dmarc.mail.news.bank.example", "DKIM pass for bank.example (s=list): not aligned: strict: only news.bank.example itself is",
		"mode strict", "DKIM pass for esp.example (s=stranger): not aligned", "policy: published quarantine", "by sp: the record stands above the author domain",
		"t=y: the owner is testing", "pct=0, drawn ", "why: aligned SPF pass", "spf, MAIL FROM and HELO", "dkim, keys of signatures and of ARC",
		"dmarc, records and organizational domains", "one answer for recipients of 2 domains", "TXT list._domainkey.bank.example", "TXT _dmarc.example: no such name",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("explain prints\n%s\nwant %q in it", out, want)
		}
	}
	var x struct {
		Lookups []struct{ Purpose, Type, Name, Outcome string }
		SPF     []struct{ Queried []string } `json:"spf_checks"`
		Authors []struct {
			Walk        []any
			Identifiers []struct{ Aligned bool }
		} `json:"authors"`
	}
	if err := json.Unmarshal([]byte(explained(t, c, "--json")), &x); err != nil {
		t.Fatal(err)
	}
	if len(x.Lookups) < 8 || x.Lookups[0].Purpose == "" || len(x.SPF) != 2 || len(x.SPF[0].Queried) != 2 || len(x.Authors) != 1 ||
		len(x.Authors[0].Walk) != 3 || len(x.Authors[0].Identifiers) != 3 || !x.Authors[0].Identifiers[0].Aligned {
		t.Errorf("explain --json = %+v; want every step", x)
	}
}

func TestExplainShowsEndOfTreeWalk(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"psd=n", "-- zone --\n_dmarc.bank.example. TXT \"v=DMARC1; p=reject; psd=n\"\n", "1 names, stopped at _dmarc.bank.example, by psd=n"},
		{"the last name", "-- zone --\n_dmarc.bank.example. TXT \"v=DMARC1; p=none\"\n", "2 names, stopped at _dmarc.example, the last name"},
		{"a failure", "-- zone --\n!servfail _dmarc.bank.example\n", "stopped not known: a name did not answer"},
		{"the suffix list", "-- config --\n[discovery]\nmethod = \"psl\"\n-- zone --\n_dmarc.bank.example. TXT \"v=DMARC1; p=none\"\n", "search by psl, 1 names, stopped at _dmarc.bank.example, by the public suffix list"},
		{"np", "-- zone --\n_dmarc.bank.example. TXT \"v=DMARC1; p=none; np=reject\"\n-- message --\nFrom: a@none.bank.example\n\nx\n", "by np: the author domain does not exist"},
		{"p above", "-- zone --\nsub.bank.example. A 192.0.2.1\n_dmarc.bank.example. TXT \"v=DMARC1; p=reject\"\n-- message --\nFrom: a@sub.bank.example\n\nx\n", "has no sp"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if out := explained(t, caseOf(t, tt.text)); !strings.Contains(out, tt.want) {
				t.Errorf("explain prints\n%s\nwant %q in it", out, tt.want)
			}
		})
	}
}

func TestExplainRefusesFlagsThatDoNotGoTogether(t *testing.T) {
	envelope := []string{"--client", "192.0.2.1", "--helo", "", "--mail-from", "<>"}
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"nothing", nil, "missing MESSAGE, --client, --helo, --mail-from; or --qid"},
		{"no reverse path", []string{"m.eml", "--client", "192.0.2.1", "--helo", "h"}, "missing --mail-from"},
		{"a queue id and a message", []string{"m.eml", "--qid", "4X"}, "not allowed with --qid"},
		{"a queue id and a bundle", []string{"--qid", "4X", "--bundle", "-"}, "the store has no message"},
		{"--no-redact of nothing", append([]string{"m.eml", "--no-redact"}, envelope...), "needs --bundle"},
		{"two texts", append([]string{"m.eml", "--bundle", "-", "--for-sender"}, envelope...), "room for one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, _, stderr := command(append([]string{"explain"}, tt.args...)...)
			if code != 2 || !strings.Contains(stderr, tt.want) {
				t.Errorf("explain %q = %d, %q; want 2 and %q", tt.args, code, stderr, tt.want)
			}
		})
	}
}
