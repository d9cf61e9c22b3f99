package main

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
	"dmarcgate/internal/miltertest"
)

// orders sends commands to a daemon and messages through it.
type orders struct {
	t    *testing.T
	d    *served
	log  *daemontest.Buffer
	mail *miltertest.Client
}

func newOrders(t *testing.T) *orders {
	t.Helper()
	dns := dnstest.New(t, daemontest.Zone)
	d, log := startDaemon(t, dns.Addr(), daemontest.Config{})
	client, err := miltertest.Dial(d.Listeners()[0].Addr(), miltertest.Options{})
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
	if code := run(append(args, "--socket", o.d.Inputs().Config.Admin.Control), &stdout, &stderr); code != exitOK {
		o.t.Fatalf("%q = %d: %s%s", args, code, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// refused reports whether a spoofed message is.
func (o *orders) refused(qid string) bool {
	o.t.Helper()
	res, err := o.mail.Send(daemontest.SpoofedMail(qid))
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
	before := o.d.Listeners()[0].Snapshot.Load().Settings.PolicySum
	if got := o.run("monitor", "--for", "2h"); !strings.Contains(got, "suspended until") || !strings.Contains(got, "--end") {
		t.Errorf("monitor prints %q; want the end, and how to end it earlier", got)
	}
	if o.refused("2") {
		t.Error("a spoofed message is refused under the order")
	}
	rows, err := o.d.Store().ByQueueID(t.Context(), "2")
	if err != nil || len(rows) != 1 {
		t.Fatalf("rows = %+v, %v; want one", rows, err)
	}
	m := o.d.Status(t.Context()).Monitor
	want := "not enforced: dmarcgate monitor until " + m.Until.Format(time.RFC3339)
	if r := rows[0]; !strings.Contains(r.Decision.Why, want) || r.Settings == before {
		t.Errorf("row says %q under settings %s; want %q, and a sum other than %s", r.Decision.Why, r.Settings, want, before)
	}
	if o.noneInMetrics() {
		t.Error("the metric is 0 under the order")
	}
	if got := o.run("status"); !strings.Contains(got, "ENFORCEMENT SUSPENDED until") || !strings.Contains(got, "calls itself alice") || !strings.Contains(got, "profile monitor") {
		t.Errorf("status says\n%s\nwant the order, who gave it and the profile", got)
	}
	if log := o.log.String(); !strings.Contains(log, "enforcement suspended by dmarcgate monitor") || !strings.Contains(log, "user id ") || strings.Contains(log, "\x1b") {
		t.Errorf("the log has no line with who gave the order, or has what the client wrote as it is:\n%s", log)
	}
	if got := o.run("monitor", "--end"); !strings.Contains(got, "active again") {
		t.Errorf("monitor --end prints %q", got)
	}
	if !o.refused("3") || !o.noneInMetrics() {
		t.Error("after the end, a spoofed message is delivered, or the metric is not 0")
	}
	if now := o.d.Listeners()[0].Snapshot.Load().Settings.PolicySum; now != before {
		t.Errorf("sum of the settings after the end = %s; want %s as before", now, before)
	}
	if got := o.run("monitor", "--end"); !strings.Contains(got, "was not active") {
		t.Errorf("monitor --end without an order prints %q", got)
	}
}

func TestMonitorForAgainReplacesTheOrder(t *testing.T) {
	o := newOrders(t)
	o.run("monitor", "--for", "7d")
	o.run("monitor", "--for", "1m")
	m := o.d.Status(t.Context()).Monitor
	if got := m.Until.Sub(m.Since); got != time.Minute {
		t.Errorf("the order lasts %v; want the minute of the last one", got)
	}
	var told admin.Monitoring
	if err := json.Unmarshal([]byte(o.run("monitor", "--for", "2m", "--json")), &told); err != nil || !told.Until.Equal(o.d.Status(t.Context()).Monitor.Until) {
		t.Errorf("monitor --json = %+v, %v; want the order", told, err)
	}
}

func TestMonitorForWithoutWritableFile(t *testing.T) {
	o := newOrders(t)
	if err := os.Mkdir(filepath.Join(o.d.Inputs().Config.StateDir, "monitor.json.new"), 0o755); err != nil { // no file can be written there
		t.Fatal(err)
	}
	if got := o.run("monitor", "--for", "1h"); !strings.Contains(got, "warning: a restart ends the suspension") {
		t.Errorf("monitor prints %q; want the warning", got)
	}
	if o.refused("1") || o.d.Status(t.Context()).Monitor.Warning == "" {
		t.Error("the order is not followed, or status has no warning")
	}
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
	await(t, 20*time.Second, func() string { return "the end of the order by the clock of the host" }, func() bool {
		return p.logged("dmarcgate monitor ended", "time expired")
	})
	send("4Xb", 550)
}

func TestMonitorForRejectsOtherTimes(t *testing.T) {
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
