package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"dmarcgate/explain"
	"dmarcgate/internal/dnstest"
	"dmarcgate/policy"
)

// toldRule is a rule file with one rule that accepts.
func toldRule(id, more, match string) string {
	if !strings.Contains(more, "expires") {
		more += "expires = \"never\"\n"
	}
	return fmt.Sprintf("[[rule]]\nid = %q\nowner = \"jane@site.example\"\ncomment = \"c\"\ncreated = 2026-01-01\nmode = \"enforce\"\naction = \"accept\"\nreason = \"mailing_list\"\n%s[rule.match]\n%s\n", id, more, match)
}

const toldNetwork = `client = ["192.0.2.0/24"]`

func TestExplainRuleShowsEachKey(t *testing.T) {
	for _, tt := range []struct {
		name, more, match string
		args              []string
		want              []string
	}{
		{"a key that holds", "", toldNetwork, nil, []string{"rule r, mode enforce, action accept: matches", `client = ["192.0.2.0/24"]: holds`, "the message has: 192.0.2.10"}},
		{"one of two does not hold", "", toldNetwork + "\nauthor = [\"shop.example\"]", nil, []string{"does not match", `author = ["shop.example"]: does not hold`, "the message has: bank.example", ": holds"}},
		{"a denied key", "", toldNetwork + "\nnot_author = [\"bank.example\"]", nil, []string{`not_author = ["bank.example"]: does not hold`}},
		{"not known: the client's name", "", `iprev = ["mx.example"]`, nil, []string{"not known whether it matches", `iprev = ["mx.example"]: not known`}},
		{"told: the client's name", "", `iprev = ["mx.example"]`, []string{"--client-name", "MX.example."}, []string{"accept: matches", `iprev = ["mx.example"]: holds`, "rule r"}},
		{"told: no name", "", `iprev = ["mx.example"]`, []string{"--client-name", ""}, []string{`iprev = ["mx.example"]: does not hold`}},
		{"not known: TLS", "", toldNetwork + "\ntls = true", nil, []string{"not known whether it matches", "tls = true: not known"}},
		{"told: TLS", "", toldNetwork + "\ntls = true", []string{"--tls", "yes"}, []string{"accept: matches", "tls = true: holds"}},
		{"told: no TLS", "", toldNetwork + "\ntls = true", []string{"--tls=no"}, []string{"does not match", "tls = true: does not hold"}},
		{"not known: history", "", toldNetwork + "\nhistory_min = 5", nil, []string{"history_min = 5: not known"}},
		{"expired", "expires = 2026-01-02\n", toldNetwork, nil, []string{"does not match", `expires = "2026-01-02": expired`}},
		{"sample", "sample = 0.5\n", toldNetwork, nil, []string{"sample = 0.5: not known"}},
		{"off", "mode_\n", toldNetwork, nil, []string{`mode = "off": does not hold`}},
		{"every recipient", "", toldNetwork + "\nrcpt_domain = [\"receiver.example\"]", []string{"--rcpt", "<b@other.example>"}, []string{"must hold for every recipient", `rcpt_domain = ["receiver.example"]: does not hold`, "receiver.example, other.example"}},
		{"result by default", "", toldNetwork, nil, []string{`result (default) = ["fail"]: holds`, "the message has: fail"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rules := toldRule("r", strings.ReplaceAll(tt.more, "mode_\n", ""), tt.match)
			if tt.more == "mode_\n" {
				rules = strings.ReplaceAll(rules, `mode = "enforce"`, `mode = "off"`)
			}
			c := caseOf(t, "A rule is told key by key.\n\n-- rules --\n"+rules)
			out := explained(t, c, append([]string{"--rule", "r"}, tt.args...)...)
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("explain --rule prints\n%s\nwant %q in it", out, want)
				}
			}
		})
	}
}

func TestExplainRuleNamesDecidingRule(t *testing.T) {
	c := caseOf(t, "Two rules.\n\n-- rules --\n"+toldRule("a", "", toldNetwork)+toldRule("b", "", toldNetwork))
	if out := explained(t, c, "--rule", "b"); !strings.Contains(out, "rule a goes first and decides") {
		t.Errorf("explain --rule b prints\n%s\nwant the rule that goes first", out)
	}
}

func TestExplainRuleRejectsUnknownRule(t *testing.T) {
	cfg := toolConfig(t, dnstest.New(t, toolZone).Addr())
	code, _, stderr := command("explain", write(t, "m.eml", "From: a@bank.example\n\nx\n"), "-c", cfg, "--client", "192.0.2.1", "--helo", "h", "--mail-from", "<>", "--rule", "nosuch")
	if code != 2 || !strings.Contains(stderr, `--rule: there is no rule "nosuch"`) {
		t.Errorf("explain --rule nosuch = %d, %q; want 2 and the rule", code, stderr)
	}
}

func TestExplainQIDRefusesAndTriesRules(t *testing.T) {
	d := daemonWithARow(t)
	if code, _, stderr := command("explain", "--qid", "4XyZ1", "-c", d.path, "--rule", "nosuch"); code != 2 || !strings.Contains(stderr, "nosuch") {
		t.Errorf("explain --qid --rule nosuch = %d, %q; want 2 and the rule", code, stderr)
	}
	for _, more := range [][]string{{"--client-name", "a"}, {"--tls", "yes"}, {"--auth", "a"}} {
		if code, _, stderr := command(append([]string{"explain", "--qid", "4XyZ1", "-c", d.path}, more...)...); code != 2 || !strings.Contains(stderr, more[0]) {
			t.Errorf("explain --qid %s = %d, %q; want 2 and the option", more, code, stderr)
		}
	}
}

func TestExplainNamesTheRuleThatKeepsAMessageOutOfReports(t *testing.T) {
	rules := strings.NewReplacer(`"accept"`, `"skip_report"`, "reason = \"mailing_list\"\n", "").Replace(toldRule("quiet", "", toldNetwork))
	out := explained(t, caseOf(t, "A rule skips reports.\n\n-- rules --\n"+rules))
	if !strings.Contains(out, "rule quiet keeps the message out of reports") {
		t.Errorf("explain prints\n%s\nwant the rule quiet", out)
	}
}

func TestExplainNamesMissingFacts(t *testing.T) {
	for _, tt := range []struct {
		name, rules, config string
		args                []string
		want, not           []string
	}{
		{"without rules", "", "", []string{"--auth", ""}, []string{"not told", "name of the client (--client-name): makes no difference", "TLS (--tls): makes no difference", "history of the author domains, which only the daemon has: makes no difference"}, []string{"depends on it", "recipients (--rcpt)"}},
		{"everything", "", "", []string{"--client-name", "a.example", "--tls", "no"}, []string{"site's secret"}, []string{"--client-name", "--tls"}},
		{"authentication", "", "", nil, []string{"authenticated (--auth): the decision depends on it"}, nil},
		{"authentication of mail that a rule accepts", toldRule("r", "", toldNetwork), "", nil, []string{"authenticated (--auth): the decision depends on it"}, nil},
		{"name", toldRule("r", "", `iprev = ["mx.example"]`), "", nil, []string{"(--client-name): the decision depends on it"}, nil},
		{"TLS", toldRule("r", "", toldNetwork+"\ntls = true"), "", nil, []string{"TLS (--tls): the decision depends on it"}, nil},
		{"TLS of a rule for others", toldRule("r", "", toldNetwork+"\ntls = true\nauthor = [\"shop.example\"]"), "", nil, []string{"TLS (--tls): makes no difference"}, nil},
		{"history", toldRule("r", "", toldNetwork+"\nhistory_min = 7"), "", nil, []string{"only the daemon has: the decision depends on it"}, nil},
		{"draw of a rule", toldRule("r", "sample = 0.5\n", toldNetwork), "", nil, []string{"each draw: the decision depends on it"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := "What was not told.\n\n"
			if tt.rules != "" {
				text += "-- rules --\n" + tt.rules
			}
			out := explained(t, caseOf(t, text+"-- envelope --\nclient 192.0.2.10\n"), tt.args...)
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("explain prints\n%s\nwant %q in it", out, want)
				}
			}
			for _, not := range tt.not {
				if strings.Contains(out, not) {
					t.Errorf("explain prints\n%s\nwant no %q in it", out, not)
				}
			}
		})
	}
}

func TestExplainAuthMakesNoDifferenceForPass(t *testing.T) {
	out := explained(t, readCase(t, "testdata/cases/pass-by-spf.txt"))
	if want := "authenticated (--auth): makes no difference"; !strings.Contains(out, want) {
		t.Errorf("explain prints\n%s\nwant %q in it", out, want)
	}
}

func TestExplainShowsLimits(t *testing.T) {
	c := caseOf(t, "A header beyond the limit.\n\n-- config --\n[limits]\nheader_fields = 100\n-- message --\nFrom: a@bank.example\n"+strings.Repeat("X-A: b\n", 110)+"\nx\n")
	out := explained(t, c)
	for _, want := range []string{"limits.header_fields: 111 of at most 100: BEYOND the limit", "limits.header_bytes: 791 of at most 4194304\n", "limits.recipients: 1 of at most 1000", "ARC sets: 0 of at most 50"} {
		if !strings.Contains(out, want) {
			t.Errorf("explain prints\n%s\nwant %q in it", out, want)
		}
	}
}

func TestExplainTakesAnAuthenticatedClient(t *testing.T) {
	var x explain.Explanation
	text := explained(t, caseOf(t, "A client has authenticated.\n\n-- envelope --\nclient 192.0.2.10\n"), "--auth", "jane", "--json")
	if err := json.Unmarshal([]byte(text), &x); err != nil || x.Facts.Skip != policy.Authenticated || len(x.NotTold) != 0 {
		t.Errorf("explain --auth = %s, %v; want it not evaluated", text, err)
	}
}
