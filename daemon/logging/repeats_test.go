package logging

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"dmarcgate/metrics"
)

// lockedBuffer is a log that timers write to while a test reads.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *lockedBuffer) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf.Reset()
}

func TestRepeatedWarningsAreSampledAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var buf lockedBuffer
		l := Open(&buf, logfmt())
		registry := prometheus.NewRegistry()
		l.Count(metrics.New(registry, nil))
		for i := range 1000 {
			l.Error("a bug", "qid", i)
			l.Info("news", "qid", i)
			messageLine(l, "mx.example")
		}
		l.Warn("another text")
		for text, want := range map[string]int{`"a bug"`: repeatBurst, "news": 1000, "helo=": 1000, `"another text"`: 1, "left out": 0} {
			if got := strings.Count(buf.String(), text); got != want {
				t.Errorf("the log has %s %d times; want %d", text, got, want)
			}
		}
		time.Sleep(repeatTold) // of the bubble: no time passes
		synctest.Wait()
		want := fmt.Sprintf(`level=ERROR msg="repeated lines left out of the log" text="a bug" lines=%d`, 1000-repeatBurst)
		if !strings.Contains(buf.String(), want) {
			t.Errorf("the log does not have %s:\n%s", want, buf.String()[max(0, len(buf.String())-500):])
		}
		buf.Reset()
		for i := range 100 { // what a minute has given back
			l.Error("a bug", "qid", i)
		}
		if got, want := strings.Count(buf.String(), `"a bug"`), int(repeatTold/repeatEvery); got != want {
			t.Errorf("after %v the log has %d lines of the text; want %d", repeatTold, got, want)
		}
		l.Close()
		if !strings.Contains(buf.String(), "lines=94") {
			t.Errorf("Close does not say how many lines were left out:\n%s", buf.String())
		}
		expect := fmt.Sprintf("# HELP dmarcgate_log_lines_lost_total Log lines that were not written, by cause.\n# TYPE dmarcgate_log_lines_lost_total counter\n"+
			"dmarcgate_log_lines_lost_total{why=\"queue_full\"} 0\ndmarcgate_log_lines_lost_total{why=\"repeated\"} %d\ndmarcgate_log_lines_lost_total{why=\"syslog\"} 0\n", 1000-repeatBurst+94)
		if err := testutil.GatherAndCompare(registry, strings.NewReader(expect), "dmarcgate_log_lines_lost_total"); err != nil {
			t.Error(err)
		}
	})
}

func TestRepeatedTextsTakeBoundedMemory(t *testing.T) {
	var buf bytes.Buffer
	l := Open(&buf, logfmt())
	for i := range 3 * maxTexts {
		l.Warn(fmt.Sprint("text ", i))
	}
	l.Close()
	if n := len(l.repeats.texts); n > maxTexts+1 {
		t.Errorf("%d texts are counted; want at most %d", n, maxTexts+1)
	}
	if got, want := strings.Count(buf.String(), `msg="text `), maxTexts+repeatBurst; got != want {
		t.Errorf("the log has %d lines; want %d", got, want)
	}
}
