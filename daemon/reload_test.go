package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/internal/scale"
	"dmarcgate/results"
)

func TestReloadAppliesSettingsAndNamesOthers(t *testing.T) {
	dns := dnstest.New(t, daemontest.Zone)
	d, log := startDaemon(t, dns.Addr(), daemontest.Config{})
	client, err := miltertest.Dial(d.Listeners()[0].Addr(), miltertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	send := func(qid string) int {
		t.Helper()
		res, err := client.Send(daemontest.SpoofedMail(qid))
		if err != nil {
			t.Fatal(err)
		}
		return res.Code
	}
	if got := send("1"); got != 550 {
		t.Fatalf("before the reload: %d; want 550", got)
	}
	daemontest.Change(t, d.state.path, `profile = "strict"`, `profile = "monitor"`)
	if r := d.Reload(); !r.OK || len(r.Restart) != 0 {
		t.Fatalf("reload() = %+v; want success without a restart", r)
	}
	if got := send("2"); got != 0 {
		t.Errorf("after the reload, on the same connection: %d; want delivery", got)
	}
	daemontest.Change(t, d.state.path, `timeout = "2s"`, `timeout = "3s"`)
	daemontest.Change(t, d.state.path, `listen = "127.0.0.1:0"`, `listen = ""`)
	r := d.Reload()
	if want := []string{"dns", "admin"}; !r.OK || !slices.Equal(r.Restart, want) {
		t.Errorf("reload() = %+v; want success, and %q to wait for a restart", r, want)
	}
	if !strings.Contains(log.String(), "need a restart") {
		t.Error("the log does not say that a restart is needed")
	}
	for _, line := range []string{
		`dmarcgate_config_restart_required{setting="dns"} 1`, `dmarcgate_config_restart_required{setting="admin"} 1`, `dmarcgate_config_restart_required{setting="store"} 0`,
		`dmarcgate_listener_info{listener="` + d.Listeners()[0].Listener + `",profile="monitor"} 1`,
	} {
		if !metricLine(t, d, line) {
			t.Errorf("/metrics lacks the line %s", line)
		}
	}
}

func TestReloadFailureKeepsSettings(t *testing.T) {
	dns := dnstest.New(t, daemontest.Zone)
	d, log := startDaemon(t, dns.Addr(), daemontest.Config{})
	client, err := miltertest.Dial(d.Listeners()[0].Addr(), miltertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	daemontest.Change(t, d.state.path, `profile = "strict"`, `profil = "monitor"`)
	r := d.Reload()
	if want := "did you mean \"profile\"?"; r.OK || !strings.Contains(r.Problem, want) || !strings.Contains(r.Problem, d.state.path+":") {
		t.Errorf("reload() = %+v; want a failure with file:line and %q", r, want)
	}
	if res, err := client.Send(daemontest.SpoofedMail("1")); err != nil || res.Code != 550 {
		t.Errorf("after a failed reload: %+v, %v; want 550 as before", res, err)
	}
	if _, body := daemontest.Get(t, "http://"+d.Web().String()+"/metrics"); !strings.Contains(body, "dmarcgate_config_last_reload_successful 0") {
		t.Error("the metric of the last reload is not 0")
	}
	if s := d.Status(t.Context()); !strings.Contains(s.Failure, "did you mean") {
		t.Errorf("status = %+v; want the failure in it", s)
	}
	if !strings.Contains(log.String(), "stay active") {
		t.Error("the log does not say that the previous settings stay active")
	}
}

// Two configurations differ in profile, texts and rules. Whatever a message
// was answered with must come from one of them.
func TestReloadUnderLoadMixesNoSettings(t *testing.T) {
	reloads, connections := 20*scale.Of(t), 50
	dns := dnstest.New(t, daemontest.Zone)
	rules := t.TempDir()
	d, _ := startDaemon(t, dns.Addr(), daemontest.Config{Quarantine: "reject",
		Extra: fmt.Sprintf("rules_dir = %q\n[reply]\nreject = \"DMARC A {domain} {why}\"\n", rules)})
	rule := filepath.Join(rules, "a.toml")
	ruleText := []byte(daemontest.Rule("only-in-b", "mode = \"enforce\"\naction = \"as_published\"\n[rule.match]\nauthor = [\"bank.example\"]\n"))
	load := startLoad(t, d, connections, func(res miltertest.Result, row results.Row) error {
		a := strings.HasPrefix(res.Text, "DMARC A") && row.Decision.Rule == ""
		b := strings.HasPrefix(res.Text, "DMARC B") && row.Decision.Rule == "only-in-b"
		if res.Code != 550 || !a && !b {
			return errors.New("belongs to neither configuration")
		}
		return nil
	})
	for i := range reloads {
		if i%2 == 0 {
			daemontest.Change(t, d.state.path, "DMARC A", "DMARC B")
			if err := os.WriteFile(rule, ruleText, 0o644); err != nil {
				t.Fatal(err)
			}
		} else {
			daemontest.Change(t, d.state.path, "DMARC B", "DMARC A")
			if err := os.Remove(rule); err != nil {
				t.Fatal(err)
			}
		}
		if r := d.Reload(); !r.OK {
			t.Errorf("reload %d: %s", i, r.Problem)
		}
		load.waitForOne(fmt.Sprint("reload ", i))
	}
	sent := load.end()
	t.Logf("%d reloads, %d messages", reloads, sent)
	if sent < int64(reloads) {
		t.Errorf("messages = %d in %d reloads; want load", sent, reloads)
	}
}
