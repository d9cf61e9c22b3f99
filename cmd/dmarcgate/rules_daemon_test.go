package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
)

// keptRule lets in what would be refused, so that mail shows whether it is in
// active.
const keptRule = `[[rule]]
id = "kept"
owner = "x"
created = 2026-01-01
expires = 2099-01-01
mode = "enforce"
action = "accept"
reason = "local_policy"
[rule.match]
client = ["192.0.2.0/24"]
author = ["map:maps/domains.txt"]
`

// Whatever is wrong with rules at a reload: what is active stays, mail goes on
// by it, and exit code, log, metric and status say where to fix what.
func TestReloadWithInvalidRulesKeepsRules(t *testing.T) {
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr()})
	put := func(name, text string) string {
		path := filepath.Join(h.dir, "rules.d", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	rules, domains := put("kept.toml", keptRule), put("maps/domains.txt", "bad.example\n")
	text, err := os.ReadFile(h.config())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.config(), append([]byte("rules_dir = \""+filepath.Dir(rules)+"\"\n"), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	p := h.start()
	c := h.session()
	active := func(what string) {
		t.Helper()
		if res, err := c.Send(processMail("bad.example", "4X"+what)); err != nil || res.Action != miltertest.Continue {
			t.Errorf("%s: mail of the rule gets %v %d %s, %v; want delivery", what, res.Action, res.Code, res.Text, err)
		}
	}
	active("first")
	for _, tt := range []struct{ name, rules, domains, at, fix string }{
		{"a failed test", keptRule + "[[rule.test]]\ngiven = { author = \"bad.example\", policy = \"reject\" }\nexpect = { rule = \"kept\" }\n", "bad.example\n", rules + ":12", "expect"},
		{"an error of lint", strings.Replace(keptRule, `client = ["192.0.2.0/24"]`, `null_path = false`, 1), "bad.example\n", rules + ":", "add"},
		{"an unknown key", strings.Replace(keptRule, "client", "clients", 1), "bad.example\n", rules + ":10", "did you mean"},
		{"a broken map", keptRule, "bad.example\n\nnot a domain\n", domains + ":3", "write"},
		{"no TOML", keptRule + "[[", "bad.example\n", rules + ":12", ""},
	} {
		put("kept.toml", tt.rules)
		put("maps/domains.txt", tt.domains)
		code, _, stderr := command("reload", "-c", h.config())
		if code != exitFailed || !strings.Contains(stderr, tt.at) || !strings.Contains(stderr, tt.fix) {
			t.Errorf("%s: reload = %d, %s; want 1, %q and %q", tt.name, code, stderr, tt.at, tt.fix)
		}
		if !p.logged("level=ERROR", "stay active", tt.at) {
			t.Errorf("%s: the log does not say %q, and that the old rules stay active:\n%s", tt.name, tt.at, tail(p.log()))
		}
		p.metricIs(0, "dmarcgate_config_last_reload_successful")
		if code, out, _ := command("status", "-c", h.config()); code != 0 || !strings.Contains(out, tt.at) {
			t.Errorf("%s: status = %d, %s; want %q in it", tt.name, code, out, tt.at)
		}
		active(strings.ReplaceAll(tt.name, " ", "-"))
	}
	put("kept.toml", strings.Replace(keptRule, `"enforce"`, `"shadow"`, 1))
	put("maps/domains.txt", "bad.example\n")
	if code, _, stderr := command("reload", "-c", h.config()); code != 0 {
		t.Fatalf("reload of fixed rules = %d, %s", code, stderr)
	}
	p.metricIs(1, "dmarcgate_config_last_reload_successful")
	if err := sendDomain(c, "bad.example", "4Xmended"); err != nil {
		t.Errorf("after the fixing, with the rule in shadow: %v", err)
	}
	c.Close()
	p.stop()
}
