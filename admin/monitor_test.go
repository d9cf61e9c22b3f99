package admin

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// lever takes orders.
type lever struct {
	by   string
	span time.Duration
}

func (l *lever) Watch(by string, span time.Duration) Monitoring {
	l.by, l.span = by, span
	return Monitoring{By: by}
}

func (l *lever) Enforce(by string) *Monitoring {
	l.by = by
	return nil
}

func TestMonitorNotesWhoTheKernelSaysItIs(t *testing.T) {
	l := &lever{}
	c := dial(t, Control{Monitor: l})
	if _, err := c.Watch(t.Context(), "alice", time.Hour); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"user id " + strconv.Itoa(os.Geteuid()), "process " + strconv.Itoa(os.Getpid()), "; calls itself alice"} {
		if !strings.Contains(l.by, want) || l.span != time.Hour {
			t.Errorf("order of %q for %v; want %q in it, for an hour", l.by, l.span, want)
		}
	}
	if m, err := c.Enforce(t.Context(), ""); m != nil || err != nil || strings.Contains(l.by, "calls itself") {
		t.Errorf("Enforce() = %v, %v by %q; want nothing, and no other name", m, err, l.by)
	}
}

func TestMonitorIsHeldToItsBounds(t *testing.T) {
	h := NewControl(Control{Monitor: &lever{}}).Handler
	for seconds, want := range map[string]int{
		"59": 400, "60": 200, "604800": 200, "604801": 400, "": 400, "-60": 400, "99999999999999999999": 400, "3600.5": 400, "1h": 400,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/monitor?"+url.Values{"seconds": {seconds}}.Encode(), nil))
		if w.Code != want {
			t.Errorf("seconds=%s: %d %s; want %d", seconds, w.Code, w.Body, want)
		}
	}
}

func TestMonitorKeepsLittleOfWhatAClientCallsItself(t *testing.T) {
	for says, want := range map[string]string{
		"alice": "; calls itself alice", "": "", "\x1b[2J\n": "; calls itself [2J", " \t ": "", "é": "",
		strings.Repeat("x", 1000): "; calls itself " + strings.Repeat("x", maxSays),
	} {
		r := httptest.NewRequest(http.MethodPost, "/monitor/end?"+url.Values{"says": {says}}.Encode(), nil)
		if got := orderedBy(r); got != errNoPeer.Error()+want {
			t.Errorf("says %q: %q; want %q after it", says, got, want)
		}
	}
}
