package metrics

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// silentSeries are the series of silent hosts, sorted.
func silentSeries(t *testing.T, reg *prometheus.Registry) (series []string) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "dmarcgate_report_silent_hosts" {
			continue
		}
		for _, m := range f.GetMetric() {
			series = append(series, fmt.Sprintf("%s %v", m.GetLabel()[0].GetValue(), m.GetGauge().GetValue()))
		}
	}
	slices.Sort(series)
	return series
}

func TestReportQueueNamesSilentHosts(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := New(reg, nil)
	var many, named []string
	for i := range maxSilentHosts + 3 {
		many = append(many, fmt.Sprintf("mx%02d", i))
		if i < maxSilentHosts {
			named = append(named, fmt.Sprintf("mx%02d 1", i))
		}
	}
	for _, tt := range []struct {
		name   string
		silent []string
		want   []string
	}{
		{"no host", nil, []string{"_other 0"}},
		{"a host", []string{"mx2.receiver.example"}, []string{"_other 0", "mx2.receiver.example 1"}},
		{"another host, with two stores", []string{"MX-3", "MX-3"}, []string{"MX-3 1", "_other 0"}},
		{"names that no host has", []string{hostile, "_other", "", "\xff", strings.Repeat("a", maxHostName+1)}, []string{"_other 5"}},
		{"more hosts than have series", many, append([]string{"_other 3"}, named...)},
		{"no host any more", nil, []string{"_other 0"}},
	} {
		m.ReportQueue(ReportQueue{Silent: tt.silent})
		if got := silentSeries(t, reg); !slices.Equal(got, tt.want) {
			t.Errorf("%s: series %q; want %q", tt.name, got, tt.want)
		}
	}
}
