package daemon

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dmarcgate/admin"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
)

// refuses reports whether a daemon refuses a spoofed message.
func refuses(t *testing.T, d *Daemon, qid string) bool {
	t.Helper()
	_, res := daemontest.Send(t, d.Listeners()[0].Addr(), daemontest.SpoofedMail(qid))
	return res.Code == 550
}

func TestMonitorForSurvivesAReloadAndNewMaps(t *testing.T) {
	d, log, dir := daemonWithMaps(t)
	d.Watch("the test", time.Minute)
	daemontest.Change(t, d.state.path, `quarantine = "tag"`, `quarantine = "hold"`)
	if r := d.Reload(); !r.OK {
		t.Fatal(r.Problem)
	}
	daemontest.PutFile(t, filepath.Join(dir, "partners.txt"), "192.0.2.1\n")
	d.refreshMaps()
	if !strings.Contains(log.String(), "rule maps reloaded") {
		t.Fatalf("the maps were not read again:\n%s", log)
	}
	if refuses(t, d, "1") {
		t.Error("after a reload, a spoofed message is refused under the order")
	}
	d.Enforce("the test")
	now := d.Listeners()[0].Snapshot.Load().Settings.Policy
	if !refuses(t, d, "2") || now.Quarantine.String() != "hold" {
		t.Errorf("after the end, a spoofed message is delivered, or quarantine is %s; want what the reload has read", now.Quarantine)
	}
}

func TestMonitorForEndsByItself(t *testing.T) {
	dns := dnstest.New(t, daemontest.Zone)
	d, log := startDaemon(t, dns.Addr(), daemontest.Config{})
	d.Watch("the test", 200*time.Millisecond) // below the bound of the command
	daemontest.Eventually(t, "the end of the order", func() bool { return d.suspension() == nil })
	daemontest.Eventually(t, "the log line", func() bool { return strings.Contains(log.String(), "time expired") })
	if !refuses(t, d, "1") || !metricLine(t, d, "dmarcgate_monitor_until_timestamp_seconds 0") {
		t.Error("after the time is over, a spoofed message is delivered, or the metric is not 0")
	}
	if _, err := os.Stat(suspensionPath(d.state.first)); !os.IsNotExist(err) {
		t.Errorf("the file of the order: %v; want it gone", err)
	}
}

func TestMonitorForSurvivesARestart(t *testing.T) {
	dns := dnstest.New(t, daemontest.Zone)
	now := time.Now()
	for _, tt := range []struct {
		name, file string
		until      time.Duration // that is taken over; 0 is none
		log        string
	}{
		{"under way", orderFile(t, now.Add(time.Hour)), time.Hour, "enforcement still suspended"},
		{"over", orderFile(t, now.Add(-time.Second)), 0, "expired while the daemon was stopped"},
		{"longer than can be ordered", orderFile(t, now.Add(1000*time.Hour)), admin.MaxMonitor, "enforcement still suspended"},
		{"broken", "{", 0, "cannot read the state"},
		{"too large", `{"by":"` + strings.Repeat("x", maxSuspensionFile) + `"}`, 0, "cannot read the state"},
		{"empty", "", 0, "cannot read the state"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, log := startDaemon(t, dns.Addr(), daemontest.Config{})
			path := filepath.Join(t.TempDir(), "monitor.json")
			if err := os.WriteFile(path, []byte(tt.file), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg := *d.state.first
			cfg.StateDir = filepath.Dir(path)
			other := &Daemon{log: d.log, state: reloadState{first: &cfg}}
			other.openSuspension(&cfg)
			var got time.Duration
			if m := other.suspension(); m != nil {
				got = m.Until.Sub(now).Round(time.Minute)
			}
			if got != tt.until || !strings.Contains(log.String(), tt.log) {
				t.Errorf("the order that is taken over lasts %v; want %v, and %q in the log:\n%s", got, tt.until, tt.log, log)
			}
		})
	}
}

// orderFile is the file of an order.
func orderFile(t *testing.T, until time.Time) string {
	t.Helper()
	text, err := json.Marshal(admin.Monitoring{Since: until.Add(-time.Hour), Until: until, By: "the test"})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
