package promtest

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"dmarcgate/internal/childtest"
)

const (
	startTime = 30 * time.Second // for a server to answer, on a busy machine
	stopTime  = 10 * time.Second // from the signal to the end
	queryTime = 20 * time.Second // for the answer to one query
	logTail   = 4096             // bytes of the log shown when a start fails
)

// Server is a private Prometheus.
type Server struct {
	t    testing.TB
	base string // URL
	log  string
	proc *exec.Cmd
	done chan struct{} // closed when proc has ended
}

// program returns the path of one of Debian's programs.
func program(t testing.TB, name string) string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	path := filepath.Join(filepath.Dir(here), "../../.cache/prometheus/current/usr/bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run internal/mtatest/install.sh", err)
	}
	return path
}

// Tool runs promtool in a directory, and returns what it prints.
func Tool(t testing.TB, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(program(t, "promtool"), args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Start runs a server with a configuration file, and returns when it is ready. flags are
// added to the command line.
func Start(t testing.TB, configFile string, flags ...string) *Server {
	t.Helper()
	port, err := childtest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	dir, addr := t.TempDir(), fmt.Sprintf("127.0.0.1:%d", port)
	s := &Server{t: t, base: "http://" + addr, log: filepath.Join(dir, "log"), done: make(chan struct{})}
	log, err := os.Create(s.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.proc = exec.Command(program(t, "prometheus"), append([]string{"--config.file=" + configFile, "--web.listen-address=" + addr,
		"--storage.tsdb.path=" + filepath.Join(dir, "data")}, flags...)...)
	s.proc.Dir, s.proc.Stdout, s.proc.Stderr = dir, log, log
	s.proc.Env = append(os.Environ(), "GOMAXPROCS=1")
	s.proc.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} // should this process die
	if err := childtest.Start(s.proc, func(error) { close(s.done) }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	s.waitReady()
	return s
}

func (s *Server) waitReady() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), startTime)
	defer cancel()
	up := false
	err := childtest.Poll(ctx, func() bool {
		res, err := http.Get(s.base + "/-/ready")
		if err == nil {
			res.Body.Close()
			up = res.StatusCode == http.StatusOK
		}
		return up || s.ended()
	})
	if err != nil || !up {
		text, _ := os.ReadFile(s.log)
		s.t.Fatalf("Prometheus does not answer; its log ends in:\n%s", text[max(0, len(text)-logTail):])
	}
}

func (s *Server) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

func (s *Server) stop() {
	_ = s.proc.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(stopTime):
		_ = s.proc.Process.Kill()
		<-s.done
		s.t.Errorf("Prometheus did not stop within %v and was killed", stopTime)
	}
}

// Sample is one series of the answer to a query, with its newest value. Of a native
// histogram, Value is the number of observations.
type Sample struct {
	Labels map[string]string
	Value  float64
}

// Query evaluates an expression now.
func (s *Server) Query(expr string) ([]Sample, error) {
	var answer struct {
		Result []struct {
			Metric    map[string]string
			Value     [2]any
			Histogram [2]json.RawMessage
		}
	}
	if err := s.get("/api/v1/query?query="+url.QueryEscape(expr), &answer); err != nil {
		return nil, fmt.Errorf("%w: %s", err, expr)
	}
	var out []Sample
	for _, r := range answer.Result {
		text, _ := r.Value[1].(string)
		if r.Histogram[1] != nil {
			var h struct{ Count string }
			if err := json.Unmarshal(r.Histogram[1], &h); err != nil {
				return nil, err
			}
			text = h.Count
		}
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: %s", err, expr)
		}
		out = append(out, Sample{r.Metric, value})
	}
	return out, nil
}

// Numbers drops the samples without a number: the share of nothing, for example.
func Numbers(samples []Sample) (out []Sample) {
	for _, s := range samples {
		if !math.IsNaN(s.Value) {
			out = append(out, s)
		}
	}
	return out
}

// LabelValues returns the values of a label over the series that a selector matches.
func (s *Server) LabelValues(label, selector string) (values []string, err error) {
	err = s.get("/api/v1/label/"+label+"/values?match[]="+url.QueryEscape(selector), &values)
	return values, err
}

// Alert is an alert that waits for its time or fires.
type Alert struct {
	Labels map[string]string
	State  string // "pending" or "firing"
}

// Alerts returns what does not rest.
func (s *Server) Alerts() ([]Alert, error) {
	var answer struct{ Alerts []Alert }
	err := s.get("/api/v1/alerts", &answer)
	return answer.Alerts, err
}

// get reads the data of an answer of the HTTP API.
func (s *Server) get(path string, data any) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), queryTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+path, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("prometheus: %s", answer.Error)
	}
	return nil
}
