package nameservers

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"dmarcgate/dnscache"
	"dmarcgate/metrics"
)

func TestProberLogsServerChangesOnce(t *testing.T) {
	var out bytes.Buffer
	list := []dnscache.ServerStatus{{Address: "192.0.2.53:53"}, {Address: "192.0.2.54:53"}}
	p := &Prober{log: slog.New(slog.NewTextHandler(&out, nil)), servers: func() []dnscache.ServerStatus { return list }}
	for _, down := range []bool{false, true, true, false, false} {
		list[1].Down = down
		p.noteServers()
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "does not answer") || !strings.Contains(lines[1], "answers again") {
		t.Fatalf("log = %q; want one line for each change", lines)
	}
	for _, line := range lines {
		if !strings.Contains(line, "server=192.0.2.54:53") {
			t.Errorf("line %q; want the address of the server", line)
		}
	}
}

func TestProberLogsRefusingServerOnce(t *testing.T) {
	var out bytes.Buffer
	list := []dnscache.ServerStatus{{Address: "192.0.2.53:53", Window: 75}}
	reg := prometheus.NewRegistry()
	p := &Prober{log: slog.New(slog.NewTextHandler(&out, nil)), servers: func() []dnscache.ServerStatus { return list }, metrics: metrics.New(reg, nil)}
	for _, refuses := range []bool{false, true, true, false, false} {
		list[0].Refusing, list[0].Refusal = time.Time{}, ""
		if refuses {
			list[0].Refusing, list[0].Refusal = time.Now(), "refused"
		}
		p.noteServers()
		if got := gauge(t, reg, "dmarcgate_dns_server_refusing"); got != map[bool]float64{true: 1}[refuses] {
			t.Errorf("refusing = %v in the metrics; want %v", got, refuses)
		}
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "dns-forward-max") || !strings.Contains(lines[0], "window=75") || !strings.Contains(lines[1], "accepts queries again") {
		t.Errorf("log = %q; want one line for each change, the first with what to do", lines)
	}
	list = nil
	p.noteServers()
	if n, err := testutil.GatherAndCount(reg, "dmarcgate_dns_window", "dmarcgate_dns_server_refusing"); n != 0 || err != nil {
		t.Errorf("%d series of a server that is gone, %v; want none", n, err)
	}
}

// gauge returns the value of the only series of a gauge.
func gauge(t *testing.T, reg prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func TestWatchdogPingStopsWhenHealthCheckFails(t *testing.T) {
	p := &Prober{}
	now := time.Now()
	if err := p.Alive(now); err != nil {
		t.Errorf("Alive() before the first round = %v; want nil", err)
	}
	p.at = now.Add(-time.Hour)
	if err := p.Alive(now); err == nil {
		t.Error("Alive() an hour after the last round = nil; want an error")
	}
}
