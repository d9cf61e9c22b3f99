package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dmarcgate/explain"
)

// A bundle has of maps what is about the message, every other key as it is, and
// comes to the same decision.
func TestExplainBundleHasMatchingMapItems(t *testing.T) {
	const rules = `
[[rule]]
id = "partners"
owner = "jane@receiver.example"
comment = "of jane"
created = 2026-01-01
expires = 2099-01-01
idle = "45d"
mode = "enforce"
priority = 300
action = "accept"
reason = "trusted_forwarder"
sample = 1.0
report_comment = "a partner"
[rule.match]
client = ["map:nets.txt"]
author = ["map:banks.txt"]
requested = ["reject"]
list_headers = false
history_max = 7
time = ["00:00-24:00"]
weekday = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
listener = ["mta"]
not_rcpt_domain = ["map:others.txt"]

[[rule]]
id = "others"
owner = "x"
created = 2026-01-01
mode = "enforce"
action = "quarantine"
[rule.match]
author = ["map:others.txt"]
client = ["map:few.txt"]
`
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.toml": rules, "nets.txt": "203.0.113.0/24\n198.51.100.0/24\n", "banks.txt": "bank.example\nsecret-partner.example\n",
		"others.txt": "secret-other.example\n", "few.txt": "198.51.100.0/24\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := caseOf(t, "A spoof that a rule accepts.\n\n"+`-- config --
rules_dir = "`+dir+`"
-- envelope --
client 203.0.113.66
mail_from <a@stranger.example>
-- zone --
_dmarc.bank.example. TXT "v=DMARC1; p=reject"
-- message --
From: a@bank.example

body
`)
	for _, flag := range []string{"--no-redact", "--bundle=-"} {
		var x explain.Explanation
		if err := json.Unmarshal([]byte(explained(t, c, "--json", "--bundle", "-", flag)), &x); err != nil {
			t.Fatal(err)
		}
		if x.Decision.Rule != "partners" {
			t.Fatalf("decision = %+v; want the rule", x.Decision)
		}
		for _, want := range []string{"203.0.113.66/32", "'bank.example'", "nothing.invalid", "history_max = 7", "00:00-24:00", "list_headers = false", "rule partners\n", "; of maps, only"} {
			if !strings.Contains(x.Bundle, want) {
				t.Errorf("%s: the bundle is\n%s\nwant %q in it", flag, x.Bundle, want)
			}
		}
		for _, no := range []string{"secret", "198.51.100", "map:", "txt"} {
			if strings.Contains(x.Bundle, no) {
				t.Errorf("%s: the bundle is\n%s\nwant no %q in it", flag, x.Bundle, no)
			}
		}
		if redacted := strings.Contains(x.Bundle, "jane") || strings.Contains(x.Bundle, "a partner"); redacted != (flag == "--no-redact") {
			t.Errorf("%s: the bundle is\n%s\nwant names and comments only when queried", flag, x.Bundle)
		}
		readCase(t, write(t, "bundle.txt", x.Bundle)).run(t)
	}
}
