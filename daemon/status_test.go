package daemon

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dmarcgate/config"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/metrics"
)

func TestStatusAndMetricsShowTrafficAndSettings(t *testing.T) {
	dns := dnstest.New(t, daemontest.Zone)
	d, _ := startDaemon(t, dns.Addr(), daemontest.Config{HasStore: true})
	name := d.Listeners()[0].Listener
	if !refuses(t, d, "1") {
		t.Fatal("a spoofed message is delivered; want a refusal")
	}
	got := d.Status(t.Context()).Listeners[0].Traffic
	limit := d.Inputs().Config.Limits.Connections
	if got.Messages["reject"] != 1 || len(got.Messages) != 1 || got.Sessions != 1 || got.Limit != limit {
		t.Errorf("traffic = %+v; want one session of %d, and one refusal", got, limit)
	}
	store := d.Inputs().Config.Store
	lines := []string{
		fmt.Sprintf(`dmarcgate_listener_info{listener=%q,profile="strict"} 1`, name),
		fmt.Sprintf(`dmarcgate_listener_enforce_share_ratio{listener=%q} 1`, name),
		fmt.Sprintf(`dmarcgate_milter_sessions_limit{listener=%q} %d`, name, limit),
		fmt.Sprintf(`dmarcgate_store_queue_limit_records %d`, store.Queue),
		fmt.Sprintf(`dmarcgate_skipped_total{listener=%q,why="loopback"} 0`, name),
		fmt.Sprintf(`dmarcgate_dispositions_total{applied="reject",listener=%q,reason="",requested="reject"} 1`, name),
		`dmarcgate_ready{check="store"} 1`, `dmarcgate_ready{check="connections"} 1`,
	}
	for _, line := range lines {
		if !metricLine(t, d, line) {
			t.Errorf("/metrics lacks the line %s", line)
		}
	}
	for _, zero := range []string{"dmarcgate_store_bytes 0", "dmarcgate_store_free_bytes 0", "dmarcgate_store_min_free_bytes 0", "dmarcgate_dns_cache_limit_bytes 0"} {
		if metricLine(t, d, zero) {
			t.Errorf("/metrics has the line %s; want another value from the start", zero)
		}
	}
	d.Watch("the test", time.Minute)
	if !metricLine(t, d, fmt.Sprintf(`dmarcgate_listener_info{listener=%q,profile="monitor"} 1`, name)) || metricLine(t, d, lines[0]) {
		t.Error("under dmarcgate monitor, /metrics shows another profile than monitor")
	}
	d.Enforce("the test")
	if !metricLine(t, d, lines[0]) {
		t.Error("after dmarcgate monitor, /metrics does not show the configured profile")
	}
}

// Each setting that a reload can name has a series of its own.
func TestMetricsKnowEverySettingThatNeedsARestart(t *testing.T) {
	var after config.Config
	fill(reflect.ValueOf(&after).Elem())
	keys := needRestart(&config.Config{}, &after)
	reg := prometheus.NewRegistry()
	metrics.New(reg, nil).RestartRequired(keys)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := 0
	for _, f := range families {
		if f.GetName() != "dmarcgate_config_restart_required" {
			continue
		}
		for _, m := range f.GetMetric() {
			series++
			if m.GetGauge().GetValue() != 1 || m.GetLabel()[0].GetValue() == "other" {
				t.Errorf("%v; want a closed list with all of %q", m, keys)
			}
		}
	}
	if series != len(keys) || series < 11 {
		t.Errorf("%d series for %d settings; want at least 11 of both", series, len(keys))
	}
}

// fill gives every exported field a value other than zero, if text, a number or a
// list can give one.
func fill(v reflect.Value) {
	switch {
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i))
			}
		}
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case v.Kind() == reflect.String:
		v.SetString("x")
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(1)
	case v.CanUint():
		v.SetUint(1)
	case v.CanFloat():
		v.SetFloat(1)
	}
}
