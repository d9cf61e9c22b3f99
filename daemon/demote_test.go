package daemon

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"dmarcgate/config"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/policy"
	"dmarcgate/policy/sum"
	"dmarcgate/site"
)

// openRule accepts by what anybody can write: an error that the attack alone finds.
const openRule = `
[[rule]]
id = "open"
owner = "x"
created = 2026-01-01
expires = 2099-01-01
idle = "90d"
mode = "enforce"
action = "accept"
reason = "trusted_forwarder"
[rule.match]
mail_from = ["bank.example"]
`

// safeRule is one that nothing is to be said against.
const safeRule = `
[[rule]]
id = "safe"
owner = "x"
created = 2026-01-01
mode = "enforce"
action = "as_published"
[rule.match]
author = ["shop.example"]
`

// spoof sends a spoofed message that openRule matches, and returns the reply.
func spoof(t *testing.T, d *Daemon, qid string) int {
	t.Helper()
	client, err := miltertest.Dial(d.Listeners()[0].Addr(), miltertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	res, err := client.Send(daemontest.SpoofedMail(qid))
	if err != nil {
		t.Fatal(err)
	}
	return res.Code
}

func TestStartDemotesRuleThatDataRefuses(t *testing.T) {
	dns := dnstest.New(t, daemontest.Zone)
	d, log := startDaemon(t, dns.Addr(), daemontest.Config{Rules: openRule + safeRule})
	if got := spoof(t, d, "1"); got != 550 {
		t.Errorf("reply to a spoof that the rule accepts = %d; want 550, as without the rule", got)
	}
	rows, err := d.Store().ByQueueID(t.Context(), "1")
	if err != nil || len(rows) != 1 || rows[0].Decision.Rule != "" || len(rows[0].Decision.Shadow) != 1 || rows[0].Decision.Shadow[0].Rule != "open" {
		t.Errorf("rows = %+v, %v; want one, that the rule in shadow would have decided", rows, err)
	}
	for _, r := range d.Inputs().Rules.List() {
		if want := map[string]policy.Mode{"open": policy.Shadow, "safe": policy.Enforce}[r.ID]; r.Mode != want {
			t.Errorf("mode of %s = %v; want %v", r.ID, r.Mode, want)
		}
	}
	file := filepath.Join(filepath.Dir(d.state.path), "rules", "case.toml")
	for _, want := range []string{"rule refused by this version and not enforced", "code=opens_anybody rule=open", file + ":"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	if !metricLine(t, d, "dmarcgate_rules_demoted 1") {
		t.Error("the metric of demoted rules is not 1")
	}
	s := d.Status(t.Context())
	if len(s.DemotedRules) != 1 || s.RulesDemoted != 1 || s.DemotedRules[0].Rule != "open" || s.DemotedRules[0].File != file || s.DemotedRules[0].Fix == "" {
		t.Errorf("status = %+v; want the demoted rule", s)
	}
}

func TestStartWithNothingButDemotedRules(t *testing.T) {
	dns := dnstest.New(t, daemontest.Zone)
	d, _ := startDaemon(t, dns.Addr(), daemontest.Config{Rules: openRule})
	if got := spoof(t, d, "1"); got != 550 || !metricLine(t, d, "dmarcgate_rules_demoted 1") {
		t.Errorf("reply = %d; want 550, and a demoted rule", got)
	}
}

func TestStartRefusesRuleThatIsWrongInItself(t *testing.T) {
	path := daemontest.Config{Rules: openRule + strings.Replace(safeRule, "2026-01-01", "2098-01-01", 1)}.Write(t, "192.0.2.1")
	var errs *config.Errors
	if _, err := site.Load(path, StartParts); !errors.As(err, &errs) || len(errs.Problems) != 2 {
		t.Errorf("Load = %v; want the error of both rules", err)
	}
}

func TestReloadRefusesWhatAStartDemotes(t *testing.T) {
	dns := dnstest.New(t, daemontest.Zone)
	d, _ := startDaemon(t, dns.Addr(), daemontest.Config{Rules: safeRule})
	hash := sum.Rules(d.Inputs().Rules)
	file := filepath.Join(filepath.Dir(d.state.path), "rules", "case.toml")
	daemontest.PutFile(t, file, openRule+safeRule)
	if r := d.Reload(); r.OK || !strings.Contains(r.Problem, file+":") {
		t.Errorf("Reload = %+v; want the error of the rule", r)
	}
	if got := sum.Rules(d.Inputs().Rules); got != hash || spoof(t, d, "1") != 550 || !metricLine(t, d, "dmarcgate_rules_demoted 0") {
		t.Errorf("hash = %s; want %s: the rules as before", got, hash)
	}
	if _, err := site.Load(d.state.path, site.AllParts); err == nil {
		t.Error("check-config accepts the rule")
	}
}

// Until the file is fixed, a reload changes nothing; then the rule counts again.
func TestReloadEndsDemotionOnceTheRuleIsFixed(t *testing.T) {
	dns := dnstest.New(t, daemontest.Zone)
	d, _ := startDaemon(t, dns.Addr(), daemontest.Config{Rules: openRule + safeRule})
	if r := d.Reload(); r.OK {
		t.Error("Reload of the same file succeeded; want the error that the start passed over")
	}
	if s := d.Status(t.Context()); s.RulesDemoted != 1 || s.Failure == "" {
		t.Errorf("status = %+v; want the demoted rule, and the failure", s)
	}
	file := filepath.Join(filepath.Dir(d.state.path), "rules", "case.toml")
	daemontest.PutFile(t, file, openRule+"client = [\"203.0.113.66\"]\nauthor = [\"bank.example\"]\n"+safeRule)
	if r := d.Reload(); !r.OK {
		t.Fatal(r.Problem)
	}
	if got := spoof(t, d, "2"); got != 0 || !metricLine(t, d, "dmarcgate_rules_demoted 0") {
		t.Errorf("reply = %d; want delivery by the rule, and no demoted rule", got)
	}
	if s := d.Status(t.Context()); s.RulesDemoted != 0 || len(s.DemotedRules) != 0 {
		t.Errorf("status = %+v; want no demoted rule", s)
	}
}
