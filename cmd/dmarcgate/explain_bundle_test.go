package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"dmarcgate/config"
	"dmarcgate/explain"
	"dmarcgate/explain/casefile"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
)

// explained runs explain on a case, and returns its output.
func explained(t *testing.T, c *caseFile, more ...string) string {
	t.Helper()
	message, keys := c.signed(t)
	dns := dnstest.New(t, c.Sections["zone"]+keys+"!any\n")
	top, tables := daemontest.CutTables(c.Sections["config"])
	dir := t.TempDir()
	if c.Sections["rules"] != "" {
		if err := os.WriteFile(filepath.Join(dir, "case.toml"), []byte(c.Sections["rules"]), 0o600); err != nil {
			t.Fatal(err)
		}
		top += fmt.Sprintf("rules_dir = %q\n", dir)
	}
	cfg := write(t, "dmarcgate.toml", fmt.Sprintf("authserv_id = \"mail.site.example\"\nstate_dir = %q\n%s\n[[listener]]\nname = \"mta\"\naddress = \"unix:/run/x.sock\"\nprofile = %q\nquarantine = %q\ntrusted_networks = [%q]\n[dns]\nservers = [%q]\nquery_timeout = \"500ms\"\ntimeout = \"500ms\"\n%s",
		t.TempDir(), top, c.One("profile", "strict"), c.One("quarantine", "tag"), c.One("trusted", "192.0.2.255"), dns.Addr(), tables))
	args := []string{
		"explain", write(t, "message.eml", string(message)), "-c", cfg, "--client", c.One("client", "192.0.2.10"),
		"--helo", c.One("helo", "[192.0.2.10]"), "--mail-from", c.One("mail_from", casefile.DefaultMail),
	}
	for _, rcpt := range c.Recipients() {
		args = append(args, "--rcpt", rcpt)
	}
	for key, flag := range map[string]string{"name": "--client-name", "tls": "--tls", "auth": "--auth"} {
		if v, ok := c.Envelope[key]; ok {
			args = append(args, flag, v[len(v)-1])
		}
	}
	code, out, stderr := command(append(args, more...)...)
	if code != 0 {
		t.Fatalf("explain = %d, %s", code, stderr)
	}
	return out
}

// bundled are cases of which bundles are made: each mechanism, failures of DNS,
// rules, relays, and what is no ordinary message.
var bundled = []string{
	"pass-by-spf", "pass-by-dkim", "pass-by-ed25519", "spoof-rejected", "rule-accepts-a-forwarder", "rule-in-shadow", "dmarc-lookup-fails",
	"resolver-answers-nobody", "answer-with-a-key-that-cannot-be-read", "behind-our-relay", "behind-our-relay-unreadable", "behind-our-relay-with-an-inner-host",
	"behind-our-relay-authenticated", "behind-our-relay-certificate-with-an-address", "trusted-network", "null-sender-uses-helo",
	"dkim-octets-are-octets", "dkim-one-failed-lookup-beside-a-pass", "conformant-quarantines-p-reject", "discovery-by-suffix-list",
	"subdomain-that-does-not-exist", "sampled-out-by-pct", "spf-macro-of-the-validated-name", "two-author-domains-strictest-wins",
	"arc-chain-of-two-hops", "hostile-text-stays-inside", "forged-results-are-removed", "record-in-many-strings", "from-two-at-signs",
	"results-forged-beyond-the-limits-monitor", "results-forged-beyond-the-byte-limit", "results-of-others-beyond-the-limits-stay",
	"dkim-signed-fields-beyond-the-limits", "dkim-signed-fields-within-the-limits", "dkim-signature-beyond-the-limits", "bimi-fields-stay-on-request",
	"bimi-fields-beyond-the-limits", "header-too-long-from-beyond-the-limits",
	"rule-beside-one-that-decides", "rule-for-every-recipient", "rule-for-every-recipient-and-one-elsewhere", "rule-for-mail-over-tls",
	"rule-for-mail-over-tls-and-a-client-without", "rule-that-keeps-a-message-out-of-reports", "rule-for-other-recipients",
}

func TestExplainBundleReproducesDecision(t *testing.T) {
	for _, name := range bundled {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := readCase(t, "testdata/cases/"+name+".txt")
			var x explain.Explanation
			if err := json.Unmarshal([]byte(explained(t, c, "--json", "--bundle", "-", "--no-redact")), &x); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(x.Bundle, "; redacted") || strings.Contains(x.Bundle, " is ") && strings.Contains(x.Bundle, " here\n") {
				t.Errorf("the bundle differs from the original:\n%s", x.Bundle)
			}
			if x.Facts.Skip == "" && !strings.Contains(x.Bundle, "\naction "+x.Decision.Action.String()+"\n") {
				t.Errorf("the bundle does not want %s:\n%s", x.Decision.Action, x.Bundle)
			}
			readCase(t, write(t, "bundle.txt", x.Bundle)).run(t)
			if t.Failed() {
				t.Logf("bundle:\n%s", x.Bundle)
			}
		})
	}
}

func TestExplainBundleRedactedExpectsOwnDecision(t *testing.T) {
	for _, name := range bundled {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := readCase(t, "testdata/cases/"+name+".txt")
			text := explained(t, c, "--bundle", "-")
			if !regexp.MustCompile(`^\S[^\n]{20,200}\.\n\n-- `).MatchString(text) {
				t.Errorf("the bundle begins with %q; want a sentence", text[:min(len(text), 100)])
			}
			readCase(t, write(t, "bundle.txt", text)).run(t)
			if t.Failed() {
				t.Logf("bundle:\n%s", text)
			}
		})
	}
}

func TestExplainBundleHasARCChain(t *testing.T) {
	c := caseOf(t, "A chain of one hop that does not verify is recorded.\n\n"+`-- config --
[arc]
check = "all"
-- zone --
bank.example. TXT "v=spf1 ip4:192.0.2.10 -all"
_dmarc.bank.example. TXT "v=DMARC1; p=reject"
-- message --
ARC-Seal: i=1; a=rsa-sha256; cv=none; d=lists.example; s=s1; t=1700000000; b=AAAA
ARC-Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed; d=lists.example; s=s1; h=from; bh=Ck5SoRNWUpSR4X0COv7R5ub2pUTtl6xz4dTFz++ji4M=; b=AAAA
ARC-Authentication-Results: i=1; lists.example; spf=pass smtp.mailfrom=jane@bank.example
From: jane@bank.example

body
`)
	for _, flag := range []string{"--no-redact", ""} {
		args := []string{"--bundle", "-"}
		if flag != "" {
			args = append(args, flag)
		}
		text := explained(t, c, args...)
		if !strings.Contains(text, "\nresults arc=fail\n") || strings.Contains(text, "jane") != (flag != "") {
			t.Errorf("explain %q gives\n%s\nwant a chain that failed", args, text)
		}
		readCase(t, write(t, "bundle.txt", text)).run(t)
	}
}

func TestExplainBundleListsRedactions(t *testing.T) {
	text := explained(t, readCase(t, "testdata/cases/pass-by-dkim.txt"), "--bundle", "-")
	for _, want := range []string{
		"; redacted: ", "; DKIM signature 1 was pass (d=example.com, signature verified), and is fail (d=example.com, body hash did not verify) here",
		"; DMARC result 1 was pass for example.com, and is fail for example.com here", "\nFrom: x <local-3@example.com>\n", "\nSubject: redacted\n",
		"\nmail_from <local-1@example.com>\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the bundle is\n%s\nwant %q in it", text, want)
		}
	}
}

// Names that were queried for a local part must not tell it.
func TestExplainBundleRedactsNamesFromLocalParts(t *testing.T) {
	c := caseOf(t, "A macro puts the local part into a name.\n\n"+`-- envelope --
mail_from <jane@bank.example>
-- zone --
bank.example. TXT "v=spf1 exists:%{l}._spf.bank.example -all"
jane._spf.bank.example. A 127.0.0.2
_dmarc.bank.example. TXT "v=DMARC1; p=reject"
-- message --
From: jane@bank.example

body
`)
	text := explained(t, c, "--bundle", "-")
	if strings.Contains(text, "jane") || !strings.Contains(text, "; SPF was pass, and is fail here") {
		t.Errorf("the bundle is\n%s\nwant it without jane, and with what changed", text)
	}
	readCase(t, write(t, "bundle.txt", text)).run(t)
	if text = explained(t, c, "--bundle", "-", "--no-redact"); !strings.Contains(text, "\njane._spf.bank.example. 300 A 127.0.0.2\n") {
		t.Errorf("with --no-redact the bundle is\n%s\nwant the name in it", text)
	}
}

func TestExplainBundleHasMatchedRules(t *testing.T) {
	rule := func(id, network string) string {
		return fmt.Sprintf("[[rule]]\nid = %q\nowner = \"jane@site.example\"\ncomment = \"for jane\"\ncreated = 2026-01-01\nexpires = 2099-01-01\nmode = \"enforce\"\npriority = 7\naction = \"accept\"\nreason = \"mailing_list\"\n[rule.match]\nclient = [%q]\n", id, network)
	}
	c := caseOf(t, "Two rules, of which one matches.\n\n-- rules --\n"+rule("ours", "192.0.2.0/24")+rule("other", "203.0.113.0/24"))
	text := explained(t, c, "--bundle", "-")
	if !strings.Contains(text, "'ours'") || strings.Contains(text, "'other'") || strings.Contains(text, "jane") {
		t.Errorf("the bundle is\n%s\nwant the rule that matched, without its owner", text)
	}
	readCase(t, write(t, "bundle.txt", text)).run(t)
	text = explained(t, c, "--bundle", "-", "--no-redact")
	if !strings.Contains(text, "'ours'") || !strings.Contains(text, "'other'") || !strings.Contains(text, "for jane") {
		t.Errorf("with --no-redact the bundle is\n%s\nwant both rules", text)
	}
	readCase(t, write(t, "bundle.txt", text)).run(t)
}

func TestExplainBundleEscapesText(t *testing.T) {
	c := caseOf(t, "A body with a title of a section, a backslash and bytes.\n\n"+`-- sign --
d=bank.example
-- message escaped --
From: user@bank.example
Subject: \\x41 "quoted"

\x2d- want --
\xff\x01 \\ {x} \x1b
`)
	text := explained(t, c, "--bundle", "-", "--no-redact")
	if !strings.Contains(text, "\ndkim=pass ") {
		t.Errorf("the bundle is\n%s\nwant the signature to verify", text)
	}
	readCase(t, write(t, "bundle.txt", text)).run(t)
	dns := dnstest.New(t, toolZone)
	code, _, stderr := command("explain", write(t, "m.eml", "From: a@bank.example\n\n{now}\n"), "-c", toolConfig(t, dns.Addr()), "--client", "192.0.2.1", "--helo", "h", "--mail-from", "<>", "--bundle", "-", "--no-redact")
	if code != 1 || !strings.Contains(stderr, "{now}") {
		t.Errorf("a message with a placeholder = %d, %q; want 1 and the placeholder", code, stderr)
	}
}

func TestExplainBundleFileIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bundle.txt")
	out := explained(t, readCase(t, "testdata/cases/spoof-rejected.txt"), "--bundle", path)
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), "-- want --") || strings.Contains(out, "-- want --") || !strings.Contains(out, "decision, profile") {
		t.Errorf("--bundle %s wrote %q, %v, and printed\n%s\nwant the bundle in the file and the tree printed", path, text, err, out)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v; want 0600", info.Mode(), err)
	}
}

func TestExplainBundleHasSettings(t *testing.T) {
	const settings = `[dkim]
body_length = "whole"
max_key_bits = 8192
[discovery]
method = "psl"
pct = "ignore"
[temperror]
ours = "tempfail"
domain = "quarantine"
max_defer = "2h"
unknown_client = "accept"
[from]
missing = "reject"
null_path_missing = "quarantine"
[conformant]
trusted_sealers = ["lists.example"]
forwarder_networks = ["198.51.100.0/24", "2001:db8::/32"]
forwarder_domains = ["relay.example", ".lists.example"]
[header]
tag = "X-Suspect"
[[trusted_relay]]
networks = ["10.0.0.0/8"]
names = ["relay.receiver.example"]
inner_networks = ["192.0.2.0/28"]
`
	text := explained(t, caseOf(t, "Everything is set.\n\n-- config --\n"+settings), "--bundle", "-")
	bundled := readCase(t, write(t, "bundle.txt", text))
	read := func(text string) *config.Config {
		t.Helper()
		cfg, err := config.Parse("x", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	const listener = "[[listener]]\nname = \"mta\"\naddress = \"unix:/x\"\nprofile = \"strict\"\n"
	got, want := read(bundled.Sections["config"]+listener), read(settings+listener)
	for _, pair := range [][2]any{
		{got.DKIM, want.DKIM}, {got.Discovery, want.Discovery}, {got.TempError, want.TempError}, {got.From, want.From},
		{got.Conformant, want.Conformant}, {got.Header, want.Header}, {got.TrustedRelays, want.TrustedRelays},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("the bundle has the settings %+v; want %+v", pair[0], pair[1])
		}
	}
	bundled.run(t)
}
