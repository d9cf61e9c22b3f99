package daemon

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/internal/scale"
	"dmarcgate/policy/sum"
	"dmarcgate/results"
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
client = ["map:partners.txt"]
author = ["map:banks.txt"]
`

// daemonWithMaps runs a daemon with mapRule and its maps.
func daemonWithMaps(t *testing.T) (d *Daemon, log *daemontest.Buffer, dir string) {
	t.Helper()
	dir = t.TempDir()
	daemontest.PutFile(t, filepath.Join(dir, "a.toml"), mapRule)
	daemontest.PutFile(t, filepath.Join(dir, "partners.txt"), "192.0.2.0/24 # nobody\n")
	daemontest.PutFile(t, filepath.Join(dir, "banks.txt"), "bank.example\n")
	dns := dnstest.New(t, daemontest.Zone)
	d, log = startDaemon(t, dns.Addr(), daemontest.Config{Extra: fmt.Sprintf("rules_dir = %q\n", dir)})
	return d, log, dir
}

func TestMapChangeNeedsNoReload(t *testing.T) {
	d, log, dir := daemonWithMaps(t)
	client, err := miltertest.Dial(d.Listeners()[0].Addr(), miltertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	send := func(qid string, want int) {
		t.Helper()
		if res, err := client.Send(daemontest.SpoofedMail(qid)); err != nil || res.Code != want {
			t.Fatalf("message %s = %+v, %v; want %d", qid, res, err, want)
		}
	}
	send("1", 550)
	hash := sum.Rules(d.Inputs().Rules)
	before := d.Listeners()[0].Snapshot.Load().Settings.PolicySum
	daemontest.PutFile(t, filepath.Join(dir, "partners.txt"), "203.0.113.66\n192.0.2.1\n")
	daemontest.Change(t, d.state.path, `profile = "strict"`, `profile = "monitor"`) // for the next reload
	daemontest.PutFile(t, filepath.Join(dir, "b.toml"), "not TOML")                 // the same
	d.refreshMaps()
	send("2", 0)
	rows, err := d.Store().ByQueueID(t.Context(), "2")
	if err != nil || len(rows) != 1 || rows[0].Decision.Rule != "partners" {
		t.Errorf("rows = %+v, %v; want the decision of the rule", rows, err)
	}
	now := d.Listeners()[0].Snapshot.Load().Settings
	if got := now.Policy.Profile.String(); got != "strict" {
		t.Errorf("profile = %s; want that of the last reload", got)
	}
	if now.PolicySum == before || rows[0].Settings != now.PolicySum {
		t.Errorf("sum of the settings = %s, of the row %s, before %s; want a new one, in the row, too", now.PolicySum, rows[0].Settings, before)
	}
	for _, want := range []string{"partners.txt entries=2", "rules_hash=" + sum.Rules(d.Inputs().Rules)} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	if sum.Rules(d.Inputs().Rules) == hash {
		t.Error("the hash of the rules is the same with another map")
	}
	s := d.Status(t.Context())
	if len(s.RuleMaps) != 2 || s.RuleMaps[1].Entries != 2 {
		t.Errorf("status = %+v; want the maps with their entries", s.RuleMaps)
	}
}

func TestMapErrorKeepsPreviousMapAndIsLoggedOnce(t *testing.T) {
	d, log, dir := daemonWithMaps(t)
	path := filepath.Join(dir, "banks.txt")
	daemontest.PutFile(t, path, "bank.example\nnot a domain\n")
	hash := sum.Rules(d.Inputs().Rules)
	for range 3 {
		d.refreshMaps()
	}
	if got := sum.Rules(d.Inputs().Rules); got != hash {
		t.Errorf("hash = %s; want %s as before", got, hash)
	}
	if n := strings.Count(log.String(), "banks.txt:2"); n != 1 {
		t.Errorf("the log has the line of the map %d times; want once", n)
	}
	if s := d.Status(t.Context()); !strings.Contains(s.Failure, path+":2") {
		t.Errorf("status = %+v; want the failure with file and line", s)
	}
	if !metricLine(t, d, "dmarcgate_config_last_reload_successful 0") {
		t.Error("the metric of the last reload is not 0")
	}
	daemontest.PutFile(t, path, "bank.example\nshop.example\n")
	d.refreshMaps()
	if s := d.Status(t.Context()); s.Failure != "" || !metricLine(t, d, "dmarcgate_config_last_reload_successful 1") {
		t.Errorf("status = %+v; want no failure once the map is fixed, and the metric at 1", s)
	}
	daemontest.PutFile(t, path, "not a domain\n")
	d.refreshMaps()
	if n := strings.Count(log.String(), "banks.txt:1"); n != 1 {
		t.Errorf("the log has the next failure %d times; want once", n)
	}
}

// A map that is fixed says nothing of a reload that failed.
func TestMapFixDoesNotHideFailedReload(t *testing.T) {
	d, _, dir := daemonWithMaps(t)
	daemontest.Change(t, d.state.path, `profile = "strict"`, `profil = "strict"`)
	if r := d.Reload(); r.OK {
		t.Fatal("reload() of a wrong file succeeded")
	}
	daemontest.PutFile(t, filepath.Join(dir, "banks.txt"), "bank.example\nshop.example\n")
	d.refreshMaps()
	if s := d.Status(t.Context()); !strings.Contains(s.Failure, "did you mean") || s.RuleMaps[0].Entries != 2 {
		t.Errorf("status = %+v; want the failure of the reload, and the new map", s)
	}
	if !metricLine(t, d, "dmarcgate_config_last_reload_successful 0") {
		t.Error("the metric of the last reload is not 0")
	}
}

// The two maps are changed together: with both, mail is accepted, with neither
// it is too, by the other pair. A message that saw one of each would be refused.
func TestMapChangesApplyTogetherUnderLoad(t *testing.T) {
	swaps, connections := 20*scale.Of(t), 20
	d, _, dir := daemonWithMaps(t)
	both := mapRule + strings.NewReplacer("partners.txt", "others.txt", "banks.txt", "shops.txt", `"partners"`, `"others"`).Replace(mapRule)
	files := func(client, other string) {
		daemontest.PutFile(t, filepath.Join(dir, "partners.txt"), client+"\n")
		daemontest.PutFile(t, filepath.Join(dir, "others.txt"), other+"\n")
	}
	daemontest.PutFile(t, filepath.Join(dir, "shops.txt"), "bank.example\n")
	const ours, nobody = "203.0.113.66", "192.0.2.1"
	files(ours, nobody)
	daemontest.PutFile(t, filepath.Join(dir, "a.toml"), both)
	if r := d.Reload(); !r.OK {
		t.Fatal(r.Problem)
	}
	load := startLoad(t, d, connections, func(res miltertest.Result, row results.Row) error {
		if res.Code != 0 || len(row.Decision.Also) > 0 || row.Decision.Rule == "" {
			return errors.New("want delivery by one rule, with either pair of maps")
		}
		return nil
	})
	for i := range swaps {
		if i%2 == 0 {
			files(nobody, ours)
		} else {
			files(ours, nobody)
		}
		d.refreshMaps()
		load.waitForOne(fmt.Sprint("swap ", i))
	}
	t.Logf("%d swaps, %d messages", swaps, load.end())
}
