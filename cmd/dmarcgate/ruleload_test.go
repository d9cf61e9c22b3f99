package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dmarcgate/admin"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/term"
)

// mapRule accepts what a map of domains has.
const mapRule = `
[[rule]]
id = "partners"
owner = "x"
created = 2026-01-01
expires = 2099-01-01
mode = "enforce"
action = "accept"
reason = "trusted_forwarder"
[rule.match]
client_ip = ["map:partners.txt"]
header_from = ["map:banks.txt"]
`

// putFile replaces a file as editors and scripts do, by rename.
func putFile(t *testing.T, path, text string) {
	t.Helper()
	next := path + ".new"
	if err := os.WriteFile(next, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

// daemonWithMaps runs a daemon with mapRule and its maps.
func daemonWithMaps(t *testing.T) (d *daemon, log *syncBuffer, dir string) {
	t.Helper()
	dir = t.TempDir()
	putFile(t, filepath.Join(dir, "a.toml"), mapRule)
	putFile(t, filepath.Join(dir, "partners.txt"), "192.0.2.0/24 # nobody\n")
	putFile(t, filepath.Join(dir, "banks.txt"), "bank.example\n")
	dns := dnstest.New(t, reloadZone)
	d, log = startDaemon(t, dns.Addr(), testConfig{profile: "strict", quarantine: "tag", trusted: "192.0.2.255", extra: fmt.Sprintf("rules_dir = %q\n", dir)})
	return d, log, dir
}

func metricLine(t *testing.T, d *daemon, line string) bool {
	t.Helper()
	_, body := get(t, "http://"+d.web.socket.Addr().String()+"/metrics")
	return strings.Contains(body, line+"\n")
}

func TestAChangedMapIsPutInForceWithoutAReload(t *testing.T) {
	d, log, dir := daemonWithMaps(t)
	client, err := miltertest.Dial(d.gates[0].listener.Address.String(), miltertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	send := func(qid string, want int) {
		t.Helper()
		if res, err := client.Send(spoofMail(qid)); err != nil || res.Code != want {
			t.Fatalf("message %s = %+v, %v; want %d", qid, res, err, want)
		}
	}
	send("1", 550)
	hash := d.inputs().Rules.Hash()
	sum := d.gates[0].Snapshot.Load().Settings.PolicySum
	putFile(t, filepath.Join(dir, "partners.txt"), "203.0.113.66\n192.0.2.1\n")
	change(t, d, `profile = "strict"`, `profile = "monitor"`) // for the next reload
	putFile(t, filepath.Join(dir, "b.toml"), "not TOML")      // the same
	d.refreshMaps()
	send("2", 0)
	rows, err := d.store.ByQueueID(t.Context(), "2")
	if err != nil || len(rows) != 1 || rows[0].Decision.Rule != "partners" {
		t.Errorf("rows = %+v, %v; want the decision of the rule", rows, err)
	}
	now := d.gates[0].Snapshot.Load().Settings
	if got := now.Policy.Profile.String(); got != "strict" {
		t.Errorf("profile = %s; want that of the last reload", got)
	}
	if now.PolicySum == sum || rows[0].Settings != now.PolicySum {
		t.Errorf("sum of the settings = %s, of the row %s, before %s; want a new one, in the row, too", now.PolicySum, rows[0].Settings, sum)
	}
	for _, want := range []string{"partners.txt entries=2", "rules_hash=" + d.inputs().Rules.Hash()} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	if d.inputs().Rules.Hash() == hash {
		t.Error("the hash of the rules is the same with another map")
	}
	s := d.status(t.Context())
	if len(s.RuleMaps) != 2 || s.RuleMaps[1].Entries != 2 {
		t.Errorf("status = %+v; want the maps with their entries", s.RuleMaps)
	}
}

func TestAMapThatCannotBeUsedLeavesTheOldOneAndIsLoggedOnce(t *testing.T) {
	d, log, dir := daemonWithMaps(t)
	path := filepath.Join(dir, "banks.txt")
	putFile(t, path, "bank.example\nnot a domain\n")
	hash := d.inputs().Rules.Hash()
	for range 3 {
		d.refreshMaps()
	}
	if got := d.inputs().Rules.Hash(); got != hash {
		t.Errorf("hash = %s; want %s as before", got, hash)
	}
	if n := strings.Count(log.String(), "banks.txt:2"); n != 1 {
		t.Errorf("the log has the line of the map %d times; want once", n)
	}
	if s := d.status(t.Context()); !strings.Contains(s.Failure, path+":2") {
		t.Errorf("status = %+v; want the failure with file and line", s)
	}
	if !metricLine(t, d, "dmarcgate_config_last_reload_successful 0") {
		t.Error("the metric of the last reload is not 0")
	}
	putFile(t, path, "bank.example\nshop.example\n")
	d.refreshMaps()
	if s := d.status(t.Context()); s.Failure != "" || !metricLine(t, d, "dmarcgate_config_last_reload_successful 1") {
		t.Errorf("status = %+v; want no failure once the map is mended, and the metric at 1", s)
	}
	putFile(t, path, "not a domain\n")
	d.refreshMaps()
	if n := strings.Count(log.String(), "banks.txt:1"); n != 1 {
		t.Errorf("the log has the next failure %d times; want once", n)
	}
}

// A map that is mended says nothing of a reload that failed.
func TestAMendedMapDoesNotHideAFailedReload(t *testing.T) {
	d, _, dir := daemonWithMaps(t)
	change(t, d, `profile = "strict"`, `profil = "strict"`)
	if r := d.reload(); r.OK {
		t.Fatal("reload() of a wrong file succeeded")
	}
	putFile(t, filepath.Join(dir, "banks.txt"), "bank.example\nshop.example\n")
	d.refreshMaps()
	if s := d.status(t.Context()); !strings.Contains(s.Failure, "did you mean") || s.RuleMaps[0].Entries != 2 {
		t.Errorf("status = %+v; want the failure of the reload, and the new map", s)
	}
	if !metricLine(t, d, "dmarcgate_config_last_reload_successful 0") {
		t.Error("the metric of the last reload is not 0")
	}
}

// The two maps are changed together: with both, mail is accepted, with neither
// it is too, by the other pair. A message that saw one of each would be refused.
func TestMapsAreSwappedTogetherUnderLoad(t *testing.T) {
	swaps, connections := 20*scale(t), 20
	d, _, dir := daemonWithMaps(t)
	both := mapRule + strings.NewReplacer("partners.txt", "others.txt", "banks.txt", "shops.txt", `"partners"`, `"others"`).Replace(mapRule)
	files := func(client, other string) {
		putFile(t, filepath.Join(dir, "partners.txt"), client+"\n")
		putFile(t, filepath.Join(dir, "others.txt"), other+"\n")
	}
	putFile(t, filepath.Join(dir, "shops.txt"), "bank.example\n")
	const ours, nobody = "203.0.113.66", "192.0.2.1"
	files(ours, nobody)
	putFile(t, filepath.Join(dir, "a.toml"), both)
	if r := d.reload(); !r.OK {
		t.Fatal(r.Problem)
	}
	var stop atomic.Bool
	var sent atomic.Int64
	answered := make(chan struct{}, 1)
	var wg sync.WaitGroup
	for c := range connections {
		wg.Go(func() {
			client, err := miltertest.Dial(d.gates[0].listener.Address.String(), miltertest.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			defer client.Close()
			for i := 0; !stop.Load(); i++ {
				qid := fmt.Sprintf("4X%dy%d", c, i)
				res, err := client.Send(spoofMail(qid))
				if err != nil || res.Code != 0 {
					t.Errorf("message %s = %+v, %v; want delivery with either pair of maps", qid, res, err)
					return
				}
				rows, err := d.store.ByQueueID(context.Background(), qid)
				if err != nil || len(rows) != 1 || len(rows[0].Decision.Also) > 0 || rows[0].Decision.Rule == "" {
					t.Errorf("message %s: %+v, %v; want the decision of one rule", qid, rows, err)
					return
				}
				sent.Add(1)
				select {
				case answered <- struct{}{}:
				default:
				}
			}
		})
	}
	for i := range swaps {
		if i%2 == 0 {
			files(nobody, ours)
		} else {
			files(ours, nobody)
		}
		d.refreshMaps()
		select {
		case <-answered:
		case <-time.After(20 * time.Second):
			t.Fatalf("no message was answered for 20 s after swap %d", i)
		}
	}
	stop.Store(true)
	wg.Wait()
	t.Logf("%d swaps, %d messages", swaps, sent.Load())
}

func TestWhatIsDoubtfulIsInLogStatusAndMetric(t *testing.T) {
	expired := strings.Replace(siteRules, "2099-01-01", "2026-02-01", 1)
	dns := dnstest.New(t, reloadZone)
	d, log := startDaemon(t, dns.Addr(), testConfig{profile: "strict", quarantine: "tag", trusted: "192.0.2.255", rules: expired})
	n := len(d.inputs().RuleSet.Findings)
	if n == 0 {
		t.Fatal("an expired rule is not doubtful")
	}
	if got := strings.Count(log.String(), "rule is doubtful"); got != n {
		t.Errorf("the log has %d findings; want %d", got, n)
	}
	if !metricLine(t, d, fmt.Sprintf("dmarcgate_rules_warnings %d", n)) {
		t.Errorf("the metric is not %d", n)
	}
	code, out, _ := command("status", "-c", d.state.path)
	if want := fmt.Sprintf(", %s: see dmarcgate rules lint", term.Count(n, "warning")); code != 0 || !strings.Contains(out, want) {
		t.Errorf("status = %d, %s; want %q in it", code, out, want)
	}
	_, out, _ = command("status", "-c", d.state.path, "--json")
	var s admin.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil || s.RuleWarnings != n || len(s.RuleFindings) != n || s.RuleFindings[0].Line == 0 || s.RuleFindings[0].Mend == "" {
		t.Errorf("status --json = %s, %v; want %d findings with line and mend", out, err, n)
	}
	if !metricLine(t, d, `dmarcgate_rule_expiry_timestamp_seconds{rule="alumni"} 1.769904e+09`) {
		t.Error("the expiry of the rule is not among the metrics")
	}
}

func TestARedTestKeepsTheOldRulesInForce(t *testing.T) {
	dns := dnstest.New(t, reloadZone)
	d, log := startDaemon(t, dns.Addr(), testConfig{profile: "strict", quarantine: "tag", trusted: "192.0.2.255", rules: siteRules})
	hash, path := d.inputs().Rules.Hash(), filepath.Join(filepath.Dir(d.state.path), "rules", "case.toml")
	putFile(t, path, siteRules+redTest)
	code, _, stderr := command("reload", "-c", d.state.path)
	if want := path + ":26"; code != 1 || !strings.Contains(stderr, want) || !strings.Contains(log.String(), want) {
		t.Errorf("reload with a red test = %d, %s; want 1, and %q there and in the log", code, stderr, want)
	}
	if got := d.inputs().Rules.Hash(); got != hash || !metricLine(t, d, "dmarcgate_config_last_reload_successful 0") {
		t.Errorf("hash = %s; want %s as before, and the metric at 0", got, hash)
	}
	if s := d.status(t.Context()); !strings.Contains(s.Failure, path+":26") {
		t.Errorf("status = %+v; want the failure", s)
	}
}

func TestCheckConfigCountsAndIsStrictWhenAsked(t *testing.T) {
	cfg, dir := ruledSite(t, strings.Replace(siteRules, "2099-01-01", "2026-02-01", 1))
	code, out, stderr := command("check-config", "-c", cfg)
	for _, want := range []string{"warning: " + dir, "rules in " + dir + ": 2, hash", "; 1 test, 0 maps, ", " is good"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("check-config = %d, %s%s; want %q in it", code, out, stderr, want)
		}
	}
	if code, _, stderr := command("check-config", "--strict", "-c", cfg); code != 1 || !strings.Contains(stderr, "warning") {
		t.Errorf("check-config --strict = %d, %s; want 1", code, stderr)
	}
	code, out, _ = command("check-config", "--json", "-c", cfg)
	var got checked
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || !got.OK || got.Rules != 2 || got.Tests != 1 || len(got.Warnings) == 0 {
		t.Errorf("check-config --json = %d, %s, %v; want the counts and the warnings", code, out, err)
	}
}
