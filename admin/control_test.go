package admin

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/results"
)

// dial serves c on a socket and returns a client for it.
func dial(t *testing.T, c Control) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := NewControl(c)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(ln)
	}()
	t.Cleanup(func() {
		srv.Close()
		<-done
	})
	return Dial(path)
}

func TestStatusAndReloadGoOverTheSocket(t *testing.T) {
	reloads := 0
	c := dial(t, Control{
		Status: func(context.Context) Status { return Status{Version: "1.2", Rules: 3, Restart: []string{"dns"}} },
		Reload: func() ReloadResult { reloads++; return ReloadResult{Problem: "x.toml:3: y: z"} },
	})
	s, err := c.Status(t.Context())
	if err != nil || s.Version != "1.2" || s.Rules != 3 || len(s.Restart) != 1 {
		t.Errorf("Status() = %+v, %v; want what the daemon said", s, err)
	}
	r, err := c.Reload(t.Context())
	if err != nil || r.OK || r.Problem != "x.toml:3: y: z" || reloads != 1 {
		t.Errorf("Reload() = %+v, %v after %d reloads; want the problem of one", r, err, reloads)
	}
}

func TestDialNamesSocketWithoutServer(t *testing.T) {
	_, err := Dial("/nonexistent/control.sock").Status(t.Context())
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/control.sock") || !strings.Contains(err.Error(), "is it running?") {
		t.Errorf("Status() = %v; want the path and the question", err)
	}
}

func decided(domain, action string, a policy.Action) results.Row {
	return results.Row{
		Facts: policy.Facts{
			Listener: "mta", QueueID: domain + action, Client: netip.MustParseAddr("192.0.2.7"),
			Authors: []policy.Author{{Domain: domain, Verdict: dmarc.Verdict{Status: dmarc.Fail}}},
		},
		Decision: policy.Decision{Action: a, Author: domain},
	}
}

func TestTailShowsTheDecisionsThatItsFilterChooses(t *testing.T) {
	tail := new(Tail)
	c := dial(t, Control{Tail: tail})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := make(chan results.Row)
	done := make(chan error, 1)
	go func() {
		done <- c.Tail(ctx, Filter{Domain: "bank.example", Action: "reject"}, func(r results.Row) error {
			got <- r
			return nil
		})
	}()
	waitForListener(tail)
	tail.Publish(decided("bank.example", "accept", policy.Accept))
	tail.Publish(decided("notbank.example", "reject", policy.Reject))
	tail.Publish(decided("news.bank.example", "reject", policy.Reject))
	if r := <-got; r.Facts.QueueID != "news.bank.examplereject" {
		t.Errorf("first row = %s; want news.bank.examplereject", r.Facts.QueueID)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Tail() after cancel = %v; want nil", err)
	}
}

// waitForListener returns when somebody listens.
func waitForListener(t *Tail) {
	for {
		t.mu.RLock()
		n := len(t.subs)
		t.mu.RUnlock()
		if n > 0 {
			return
		}
	}
}

func TestTailEndsWhenItsReaderHasEnough(t *testing.T) {
	tail := new(Tail)
	c := dial(t, Control{Tail: tail})
	enough := errors.New("enough")
	done := make(chan error, 1)
	go func() { done <- c.Tail(t.Context(), Filter{}, func(results.Row) error { return enough }) }()
	waitForListener(tail)
	tail.Publish(decided("bank.example", "reject", policy.Reject))
	if err := <-done; !errors.Is(err, enough) {
		t.Errorf("Tail() = %v; want %v", err, enough)
	}
}

func TestListenShowsEveryDecisionAfterItReturns(t *testing.T) {
	tail := new(Tail)
	c := dial(t, Control{Tail: tail})
	ctx, cancel := context.WithCancel(t.Context())
	next, err := c.Listen(ctx, Filter{})
	if err != nil {
		t.Fatal(err)
	}
	tail.Publish(decided("bank.example", "reject", policy.Reject))
	if row, err := next(); err != nil || row.Author().Domain != "bank.example" {
		t.Errorf("next() = %+v, %v; want the decision on bank.example", row, err)
	}
	cancel()
	if row, err := next(); err == nil {
		t.Errorf("next() = %+v after the end of its context; want an error", row)
	}
}

func TestPublishNeverWaitsForSlowReader(t *testing.T) {
	tail := new(Tail)
	rows, cancel := tail.subscribe(Filter{})
	defer cancel()
	for range tailBuffer + 10 {
		tail.Publish(decided("bank.example", "reject", policy.Reject))
	}
	if got := len(rows); got != tailBuffer {
		t.Errorf("rows waiting = %d; want %d, the rest left out", got, tailBuffer)
	}
}

func TestThereIsALimitOfListeners(t *testing.T) {
	tail := new(Tail)
	for range maxTails {
		if rows, _ := tail.subscribe(Filter{}); rows == nil {
			t.Fatal("subscribe fails below the limit")
		}
	}
	c := dial(t, Control{Tail: tail})
	if err := c.Tail(t.Context(), Filter{}, func(results.Row) error { return nil }); err == nil || !strings.Contains(err.Error(), "listeners already") {
		t.Errorf("Tail() beyond the limit = %v; want an error that says so", err)
	}
}

func TestFiltersMatchByEachField(t *testing.T) {
	row := decided("bank.example", "reject", policy.Reject)
	row.Decision.Rule = "r1"
	for _, tt := range []struct {
		filter Filter
		want   bool
	}{
		{Filter{}, true},
		{Filter{Listener: "mta", Domain: "bank.example", Result: "fail", Action: "reject", Rule: "r1", Client: netip.MustParsePrefix("192.0.2.0/24")}, true},
		{Filter{Listener: "other"}, false},
		{Filter{Domain: "ank.example"}, false},
		{Filter{Result: "pass"}, false},
		{Filter{Action: "accept"}, false},
		{Filter{Rule: "r2"}, false},
		{Filter{Client: netip.MustParsePrefix("198.51.100.0/24")}, false},
	} {
		got := tt.filter
		if back, err := parseFilter(got.query()); err != nil || back != got {
			t.Errorf("parseFilter(%+v as a query) = %+v, %v; want it back", got, back, err)
		}
		if ok := got.matches(row); ok != tt.want {
			t.Errorf("%+v matches = %v; want %v", got, ok, tt.want)
		}
	}
	if _, err := parseFilter(map[string][]string{"client": {"x"}}); err == nil {
		t.Error("parseFilter of a client that is none has no error")
	}
}
