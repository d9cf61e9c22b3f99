package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dmarcgate/internal/daemontest"
)

// process is a daemon that runs.
type process struct {
	t       *testing.T
	cmd     *exec.Cmd
	logFile string
	done    chan struct{} // closed when it has ended
	err     error         // how it ended; read after done
	wanted  bool          // its end is the test's wish
	base    string        // URL of its HTTP listener
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// log returns what the daemon has logged so far.
func (p *process) log() string {
	text, err := os.ReadFile(p.logFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		p.t.Fatal(err)
	}
	return string(text)
}

// logged reports whether a line of the log has all the words.
func (p *process) logged(words ...string) bool {
	return p.line(words...) != ""
}

// line returns the first line of the log with all the words.
func (p *process) line(words ...string) string {
lines:
	for line := range strings.Lines(p.log()) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue lines
			}
		}
		return strings.TrimSuffix(line, "\n")
	}
	return ""
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// mustRun fails the test when the daemon has ended by itself.
func (p *process) mustRun() {
	p.t.Helper()
	if p.ended() {
		if p.wanted {
			p.t.Fatalf("the daemon has ended too early after the test's signal; its log ends in:\n%s", tail(p.log()))
		}
		p.wanted = true
		p.t.Fatalf("the daemon ended by itself (%v); systemd would have to start it again; its log ends in:\n%s", p.err, tail(p.log()))
	}
}

func tail(log string) string { return log[max(0, len(log)-logTail):] }

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("signal %v: %v", s, err)
	}
}

// terminate asks the daemon to stop, as systemd does.
func (p *process) terminate() {
	p.t.Helper()
	p.wanted = true
	p.signal(syscall.SIGTERM)
}

// wait waits for the end after terminate, which must be an orderly one.
func (p *process) wait() {
	p.t.Helper()
	timer := time.NewTimer(stopTime)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.kill()
		p.t.Fatalf("the daemon still runs %v after SIGTERM; systemd would kill it; its log ends in:\n%s", stopTime, tail(p.log()))
	}
	if p.err != nil || !p.logged("msg=stopped") {
		p.t.Errorf("the daemon ended with %v after SIGTERM; want exit code 0 and a line that it has stopped; its log ends in:\n%s", p.err, tail(p.log()))
	}
}

// stop is terminate and wait.
func (p *process) stop() {
	p.t.Helper()
	p.terminate()
	p.wait()
}

// reload asks the daemon to read its configuration anew, and waits until it
// has, or has found that it cannot.
func (p *process) reload() {
	p.t.Helper()
	done := func() int {
		log := p.log()
		return strings.Count(log, "msg=reloaded") + strings.Count(log, "reload failed")
	}
	before := done()
	p.signal(syscall.SIGHUP)
	daemontest.Eventually(p.t, "a log line that the configuration was read again", func() bool {
		p.mustRun()
		return done() > before
	})
}

// kill ends the daemon as the kernel does, without a last word.
func (p *process) kill() {
	p.wanted = true
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// cleanUp ends the daemon after the test.
func (p *process) cleanUp() {
	switch {
	case p.wanted:
		p.kill()
	case p.ended():
		p.t.Errorf("the daemon ended by itself: %v", p.err)
	default:
		p.stop()
	}
	if p.t.Failed() {
		p.t.Logf("the daemon with pid %d logged, at its end:\n%s", p.pid(), tail(p.log()))
	}
}

// oneRequest keeps no connection: an idle one is a descriptor and a goroutine
// of the daemon.
var oneRequest = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}

var webURL = regexp.MustCompile(`url=(http://[0-9.:]+)/metrics`)

// fetch asks the daemon's HTTP listener, whose address is in the log.
func (p *process) fetch(path string) (string, error) {
	if p.base == "" {
		m := webURL.FindStringSubmatch(p.log())
		if m == nil {
			return "", errors.New("the log has no address for metrics")
		}
		p.base = m[1]
	}
	res, err := oneRequest.Get(p.base + path)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var body strings.Builder
	if err := res.Write(&body); err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s\n%s", path, res.Status, body.String())
	}
	return body.String(), nil
}

// get tells whether a path is answered with 200.
func (p *process) get(path string) error {
	_, err := p.fetch(path)
	return err
}

// metric returns the sum of the series of this name that have all the labels,
// each written name="value". It is not a number when the daemon does not
// answer.
func (p *process) metric(name string, labels ...string) float64 {
	text, err := p.fetch("/metrics")
	if err != nil {
		return math.NaN()
	}
	sum := 0.0
series:
	for line := range strings.Lines(text) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, _, _ := strings.Cut(series, "{"); n != name {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(series, l) {
				continue series
			}
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return math.NaN()
		}
		sum += v
	}
	return sum
}

// metricIs waits until a metric has a value.
func (p *process) metricIs(want float64, name string, labels ...string) {
	p.t.Helper()
	p.awaitMetric(fmt.Sprintf("to be %v", want), func(v float64) bool { return v == want }, name, labels...)
}

// awaitMetric waits until a metric is as wanted.
func (p *process) awaitMetric(what string, ok func(float64) bool, name string, labels ...string) {
	p.t.Helper()
	await(p.t, stopTime, func() string {
		return fmt.Sprintf("%s{%s} %s; it is %v", name, strings.Join(labels, ","), what, p.metric(name, labels...))
	}, func() bool {
		p.mustRun()
		return ok(p.metric(name, labels...))
	})
}

// await asks until ok answers true, as eventually does, for as long as it is
// told to.
func await(t *testing.T, limit time.Duration, what func() string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for !ok() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatalf("waited %v in vain for %s", limit, what())
		}
	}
}
