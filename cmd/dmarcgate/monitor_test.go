package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dmarcgate/admin"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
)

// orders sends commands to a daemon and messages through it.
type orders struct {
	t    *testing.T
	d    *daemon
	log  *syncBuffer
	mail *miltertest.Client
}

func newOrders(t *testing.T) *orders {
	t.Helper()
	dns := dnstest.New(t, reloadZone)
	d, log := startDaemon(t, dns.Addr(), testConfig{profile: "strict", quarantine: "tag", trusted: "192.0.2.255"})
	client, err := miltertest.Dial(d.gates[0].listener.Address.String(), miltertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return &orders{t: t, d: d, log: log, mail: client}
}

// run runs a command that asks this daemon, and returns what it prints.
func (o *orders) run(args ...string) string {
	o.t.Helper()
	var stdout, stderr strings.Builder
	if code := run(append(args, "--socket", o.d.state.first.Admin.Control), &stdout, &stderr); code != exitOK {
		o.t.Fatalf("%q = %d: %s%s", args, code, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// refused reports whether a spoofed message is.
func (o *orders) refused(qid string) bool {
	o.t.Helper()
	res, err := o.mail.Send(spoofMail(qid))
	if err != nil {
		o.t.Fatal(err)
	}
	return res.Code == 550
}

// noneInMetrics reports whether /metrics knows no order.
func (o *orders) noneInMetrics() bool {
	return metricLine(o.t, o.d, "dmarcgate_monitor_until_timestamp_seconds 0")
}

func TestMonitorForKeepsEveryListenerFromEnforcing(t *testing.T) {
	t.Setenv("SUDO_USER", "alice\x1b[2J")
	o := newOrders(t)
	if !o.refused("1") || !o.noneInMetrics() {
		t.Fatal("before the order, a spoofed message is delivered, or the metric is not 0")
	}
	before := o.d.gates[0].Snapshot.Load().Settings.PolicySum
	if got := o.run("monitor", "--for", "2h"); !strings.Contains(got, "only watches until") || !strings.Contains(got, "--end") {
		t.Errorf("monitor prints %q; want the end, and how to end it earlier", got)
	}
	if o.refused("2") {
		t.Error("a spoofed message is refused under the order")
	}
	rows, err := o.d.store.ByQueueID(t.Context(), "2")
	if err != nil || len(rows) != 1 {
		t.Fatalf("rows = %+v, %v; want one", rows, err)
	}
	m := o.d.suspension()
	want := "not enforced: dmarcgate monitor until " + m.Until.Format(time.RFC3339)
	if r := rows[0]; !strings.Contains(r.Decision.Reason, want) || r.Settings == before {
		t.Errorf("row says %q under settings %s; want %q, and a sum other than %s", r.Decision.Reason, r.Settings, want, before)
	}
	if o.noneInMetrics() {
		t.Error("the metric is 0 under the order")
	}
	if got := o.run("status"); !strings.Contains(got, "EVERY LISTENER ONLY WATCHES until") || !strings.Contains(got, "calls itself alice") || !strings.Contains(got, "profile monitor") {
		t.Errorf("status says\n%s\nwant the order, who gave it and the profile", got)
	}
	if log := o.log.String(); !strings.Contains(log, "every listener only watches") || !strings.Contains(log, "user id ") || strings.Contains(log, "\x1b") {
		t.Errorf("the log has no line with who gave the order, or has what the client wrote as it is:\n%s", log)
	}
	if got := o.run("monitor", "--end"); !strings.Contains(got, "active again") {
		t.Errorf("monitor --end prints %q", got)
	}
	if !o.refused("3") || !o.noneInMetrics() {
		t.Error("after the end, a spoofed message is delivered, or the metric is not 0")
	}
	if now := o.d.gates[0].Snapshot.Load().Settings.PolicySum; now != before {
		t.Errorf("sum of the settings after the end = %s; want %s as before", now, before)
	}
	if got := o.run("monitor", "--end"); !strings.Contains(got, "was not active") {
		t.Errorf("monitor --end without an order prints %q", got)
	}
}

func TestMonitorForSurvivesAReloadAndNewMaps(t *testing.T) {
	o := newOrders(t)
	o.run("monitor", "--for", "1m")
	change(t, o.d, `quarantine = "tag"`, `quarantine = "hold"`)
	if r := o.d.reload(); !r.OK {
		t.Fatal(r.Problem)
	}
	o.d.refreshMaps()
	if o.refused("1") {
		t.Error("after a reload, a spoofed message is refused under the order")
	}
	o.run("monitor", "--end")
	now := o.d.gates[0].Snapshot.Load().Settings.Policy
	if !o.refused("2") || now.Quarantine.String() != "hold" {
		t.Errorf("after the end, a spoofed message is delivered, or quarantine is %s; want what the reload has read", now.Quarantine)
	}
}

func TestMonitorForEndsByItself(t *testing.T) {
	o := newOrders(t)
	o.d.Watch("the test", 200*time.Millisecond) // below the bound of the command
	eventually(t, "the end of the order", func() bool { return o.d.suspension() == nil })
	eventually(t, "the log line", func() bool { return strings.Contains(o.log.String(), "its time is over") })
	if !o.refused("1") || !o.noneInMetrics() {
		t.Error("after the time is over, a spoofed message is delivered, or the metric is not 0")
	}
	if _, err := os.Stat(suspensionPath(o.d.state.first)); !os.IsNotExist(err) {
		t.Errorf("the file of the order: %v; want it gone", err)
	}
}

func TestMonitorForAgainReplacesTheOrder(t *testing.T) {
	o := newOrders(t)
	o.run("monitor", "--for", "7d")
	o.run("monitor", "--for", "1m")
	m := o.d.suspension()
	if got := m.Until.Sub(m.Since); got != time.Minute {
		t.Errorf("the order lasts %v; want the minute of the last one", got)
	}
	var told admin.Monitoring
	if err := json.Unmarshal([]byte(o.run("monitor", "--for", "2m", "--json")), &told); err != nil || !told.Until.Equal(o.d.suspension().Until) {
		t.Errorf("monitor --json = %+v, %v; want the order", told, err)
	}
}

func TestMonitorForWorksWhereItCannotBeWrittenDown(t *testing.T) {
	o := newOrders(t)
	if err := os.Mkdir(suspensionPath(o.d.state.first)+".new", 0o755); err != nil { // no file can be written there
		t.Fatal(err)
	}
	if got := o.run("monitor", "--for", "1h"); !strings.Contains(got, "warning: a restart ends it") {
		t.Errorf("monitor prints %q; want the warning", got)
	}
	if o.refused("1") || o.d.status(t.Context()).Monitor.Warning == "" {
		t.Error("the order is not followed, or status has no warning")
	}
}

func TestMonitorForSurvivesARestart(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name, file string
		until      time.Duration // that is taken over; 0 is none
		log        string
	}{
		{"under way", orderFile(t, now.Add(time.Hour)), time.Hour, "only watches, as before the restart"},
		{"over", orderFile(t, now.Add(-time.Second)), 0, "has ended while the daemon was not running"},
		{"longer than can be ordered", orderFile(t, now.Add(1000*time.Hour)), admin.MaxMonitor, "only watches, as before the restart"},
		{"broken", "{", 0, "cannot be read"},
		{"too large", `{"by":"` + strings.Repeat("x", maxSuspensionFile) + `"}`, 0, "cannot be read"},
		{"empty", "", 0, "cannot be read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOrders(t)
			path := filepath.Join(t.TempDir(), "monitor.json")
			if err := os.WriteFile(path, []byte(tt.file), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg := *o.d.state.first
			cfg.StateDir = filepath.Dir(path)
			other := &daemon{log: o.d.log, state: reloadState{first: &cfg}}
			other.openSuspension(&cfg)
			var got time.Duration
			if m := other.suspension(); m != nil {
				got = m.Until.Sub(now).Round(time.Minute)
			}
			if got != tt.until || !strings.Contains(o.log.String(), tt.log) {
				t.Errorf("the order that is taken over lasts %v; want %v, and %q in the log:\n%s", got, tt.until, tt.log, o.log)
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

func TestMonitorForOutlivesTheProcess(t *testing.T) {
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr()})
	p := h.start()
	var stdout, stderr strings.Builder
	if code := run([]string{"monitor", "--for", "1h", "-c", h.config()}, &stdout, &stderr); code != exitOK {
		t.Fatalf("monitor = %d: %s", code, stderr.String())
	}
	p.kill()
	p = h.start()
	c := h.session()
	send := func(qid string, want int) {
		t.Helper()
		if res, err := c.Send(processMail("bad.example", qid)); err != nil || res.Code != want {
			t.Errorf("message %s = %+v, %v; want %d", qid, res, err, want)
		}
	}
	send("4Xa", 0)
	if _, err := c.Send(subjectMail("good.example", "4Xclock", clockSubject+"2h")); err != nil {
		t.Fatal(err)
	}
	await(t, 2*suspensionEvery, func() string { return "the end of the order by the clock of the host" }, func() bool {
		return p.logged("dmarcgate monitor has ended", "its time is over")
	})
	send("4Xb", 550)
}

func TestMonitorTakesNoOtherTimes(t *testing.T) {
	for _, args := range [][]string{
		{"monitor"}, {"monitor", "--for", "59s"}, {"monitor", "--for", "8d"}, {"monitor", "--for", "-2h"}, {"monitor", "--for", "0s"},
		{"monitor", "--for", "2"}, {"monitor", "--for", "x"}, {"monitor", "--for", ""}, {"monitor", "--for", "2h", "--end"},
	} {
		var stdout, stderr strings.Builder
		if code := run(append(args, "--socket", "/nonexistent"), &stdout, &stderr); code != exitUsage || !strings.Contains(stderr.String(), "--for") {
			t.Errorf("%q = %d, %q; want %d and an error that names --for", args, code, stderr.String(), exitUsage)
		}
	}
}
