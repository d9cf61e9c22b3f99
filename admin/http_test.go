package admin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"dmarcgate/metrics"
)

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	srv := httptest.NewServer(h)
	defer srv.Close()
	res, err := http.Get(srv.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestMetricsAreServedFromTheGivenRegistryOnly(t *testing.T) {
	reg := prometheus.NewRegistry()
	metrics.New(reg, []string{"mta"})
	code, body := get(t, NewServer(reg, nil, nil).Handler, "/metrics")
	if code != 200 || !strings.Contains(body, "dmarcgate_milter_sessions_total{listener=\"mta\"} 0") {
		t.Errorf("GET /metrics = %d without the sessions counter; want 200 with it", code)
	}
	if strings.Contains(body, "go_goroutines") {
		t.Error("GET /metrics serves the default registry")
	}
}

func TestReadyzNamesTheCheckThatFails(t *testing.T) {
	checks := []Check{
		{"store", func(context.Context) error { return nil }},
		{"resolver", func(context.Context) error { return errors.New("no answer\nfrom 192.0.2.1:53") }},
	}
	code, body := get(t, NewServer(prometheus.NewRegistry(), checks, nil).Handler, "/readyz")
	want := "ok store\nfail resolver: \"no answer\\nfrom 192.0.2.1:53\"\n"
	if code != 503 || body != want {
		t.Errorf("GET /readyz = %d %q; want 503 %q", code, body, want)
	}
	code, body = get(t, NewServer(prometheus.NewRegistry(), checks[:1], nil).Handler, "/readyz")
	if code != 200 || body != "ok store\n" {
		t.Errorf("GET /readyz = %d %q; want 200 with the one check", code, body)
	}
}

func TestScrapeShowsChecksThatFail(t *testing.T) {
	var down error
	checks := []Check{
		{"store", func(context.Context) error { return nil }},
		{"resolver", func(context.Context) error { return down }},
	}
	for _, tt := range []struct {
		err  error
		want string
	}{{nil, "1"}, {errors.New("no answer"), "0"}} {
		down = tt.err
		reg := prometheus.NewRegistry()
		_, body := get(t, NewServer(reg, checks, metrics.New(reg, nil)).Handler, "/metrics")
		for _, line := range []string{`dmarcgate_ready{check="store"} 1`, `dmarcgate_ready{check="resolver"} ` + tt.want} {
			if !strings.Contains(body, line+"\n") {
				t.Errorf("with the error %v, /metrics lacks the line %s", tt.err, line)
			}
		}
		if strings.Contains(body, `check="connections"`) {
			t.Error("/metrics has a check that does not exist")
		}
	}
}

// Prometheus asks for protobuf when it takes native histograms.
func TestScrapeServesNativeHistogramsBesideClassicOnes(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, []string{"mta"})
	m.EOMDuration("mta", 3*time.Millisecond)
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	format := expfmt.NewFormat(expfmt.TypeProtoDelim)
	r.Header.Set("Accept", string(format))
	w := httptest.NewRecorder()
	NewServer(reg, nil, m).Handler.ServeHTTP(w, r)
	histograms := 0
	for dec := expfmt.NewDecoder(w.Body, format); ; {
		var f dto.MetricFamily
		if err := dec.Decode(&f); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if f.GetType() != dto.MetricType_HISTOGRAM {
			continue
		}
		histograms++
		h := f.GetMetric()[0].GetHistogram()
		if len(h.GetBucket()) < 9 || h.Schema == nil || h.GetSampleCount() > 0 && len(h.GetPositiveSpan()) == 0 {
			t.Errorf("%s has %d classic buckets, %d native spans for %d values; want both kinds", f.GetName(), len(h.GetBucket()), len(h.GetPositiveSpan()), h.GetSampleCount())
		}
	}
	if histograms < 5 {
		t.Errorf("the scrape has %d histograms; want at least 5", histograms)
	}
}

func TestHealthzDoesNotDependOnChecks(t *testing.T) {
	checks := []Check{{"resolver", func(context.Context) error { return errors.New("down") }}}
	if code, body := get(t, NewServer(prometheus.NewRegistry(), checks, nil).Handler, "/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("GET /healthz = %d %q; want 200 ok", code, body)
	}
}

func TestReadinessRunsItsChecksAtMostOnceInAWhile(t *testing.T) {
	now := time.Unix(1000, 0)
	runs := 0
	r := &readiness{now: func() time.Time { return now }, checks: []Check{{"x", func(context.Context) error { runs++; return nil }}}}
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {time.Second, 1}, {checkEvery, 2}} {
		now = now.Add(step.after)
		r.state(context.Background())
		if runs != step.want {
			t.Errorf("runs %v later = %d; want %d", step.after, runs, step.want)
		}
	}
}
