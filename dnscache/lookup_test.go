package dnscache

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"dmarcgate/internal/dnstest"
)

// result of one of several callers.
type result struct {
	txts []string
	err  error
}

func TestLookupJoinsEqualQueries(t *testing.T) {
	const callers = 20
	for _, ttl := range []int{300, 0} {
		t.Run(fmt.Sprintf("with TTL %d", ttl), func(t *testing.T) {
			srv := dnstest.New(t, fmt.Sprintf("example.com. %d TXT x", ttl))
			arrived, release := srv.Hold("example.com")
			g := newRig(t, Config{}, srv)
			results := make(chan result, callers)
			for range callers {
				go func() {
					txts, err := g.View(DKIM).TXT(background, "example.com")
					results <- result{txts, err}
				}()
			}
			<-arrived
			eventually(t, "all callers wait", func() bool {
				return g.metric(t, "dmarcgate_dns_cache_requests_total", "dkim", coalesced) == callers-1
			})
			release()
			for range callers {
				if res := <-results; res.err != nil || len(res.txts) != 1 {
					t.Errorf("TXT = %q, %v; want one record", res.txts, res.err)
				}
			}
			if n := count(srv, "example.com"); n != 1 {
				t.Errorf("queried %d times; want 1", n)
			}
		})
	}
}

func TestLookupCancellationDoesNotFailJoinedCallers(t *testing.T) {
	srv := dnstest.New(t, "example.com. TXT x")
	arrived, release := srv.Hold("example.com")
	defer release()
	g := newRig(t, Config{}, srv)
	first, cancel := context.WithCancel(background)
	start := func(ctx context.Context) <-chan result {
		c := make(chan result, 1)
		go func() {
			txts, err := g.View(SPF).TXT(ctx, "example.com")
			c <- result{txts, err}
		}()
		return c
	}
	leaver := start(first) // the flight is this caller's doing
	<-arrived
	stayer := start(background)
	eventually(t, "the second caller waits", func() bool {
		return g.metric(t, "dmarcgate_dns_cache_requests_total", "spf", coalesced) == 1
	})
	cancel()
	if res := <-leaver; !errors.Is(res.err, context.Canceled) {
		t.Errorf("the caller who gave up got %v; want %v", res.err, context.Canceled)
	}
	release()
	if res := <-stayer; res.err != nil || len(res.txts) != 1 {
		t.Errorf("the caller who stayed got %q, %v; want the record", res.txts, res.err)
	}
}

func TestLookupKeepsCallersDeadline(t *testing.T) {
	srv := dnstest.New(t, "example.com. TXT x")
	_, release := srv.Hold("example.com")
	defer release()
	g := newRig(t, Config{}, srv)
	ctx, cancel := context.WithTimeout(background, brief)
	defer cancel()
	began := time.Now()
	_, err := g.View(SPF).TXT(ctx, "example.com")
	if d := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || d > generous/2 {
		t.Errorf("TXT = %v after %v; want %v after %v", err, d, context.DeadlineExceeded, brief)
	}
}

func TestLookupWithoutCallersFillsCache(t *testing.T) {
	srv := dnstest.New(t, "example.com. TXT x")
	arrived, release := srv.Hold("example.com")
	g := newRig(t, Config{}, srv)
	ctx, cancel := context.WithCancel(background)
	done := make(chan error)
	go func() {
		_, err := g.View(SPF).TXT(ctx, "example.com")
		done <- err
	}()
	<-arrived
	cancel()
	<-done
	release()
	if txts, err := g.View(SPF).TXT(background, "example.com"); err != nil || len(txts) != 1 {
		t.Errorf("TXT = %q, %v; want the record", txts, err)
	}
	if n := count(srv, "example.com"); n != 1 {
		t.Errorf("queried %d times; want 1", n)
	}
}

func TestScheduleCountsQueryInFlight(t *testing.T) {
	srv := dnstest.New(t, "example.com. TXT x")
	arrived, release := srv.Hold("example.com")
	g := newRig(t, Config{}, srv)
	done := make(chan error)
	go func() {
		_, err := g.View(SPF).TXT(background, "example.com")
		done <- err
	}()
	<-arrived
	if n := g.metric(t, "dmarcgate_dns_in_flight"); n != 1 || g.inFlight() != 1 {
		t.Errorf("dns_in_flight = %v with %d places taken; want 1 and 1", n, g.inFlight())
	}
	release()
	if err := <-done; err != nil {
		t.Errorf("TXT failed: %v", err)
	}
}

func TestCloseEndsLookupsAndLeavesNoGoroutine(t *testing.T) {
	srv := dnstest.New(t, "example.com. TXT x\ncached.example.com. TXT x")
	arrived, release := srv.Hold("example.com")
	defer release()
	r, err := New(Config{Servers: []string{srv.Addr()}, QueryTimeout: generous, Timeout: generous}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.View(SPF).TXT(background, "cached.example.com"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := r.View(SPF).TXT(background, "example.com")
		done <- err
	}()
	<-arrived
	go r.Close()
	var e *Error
	if err := <-done; !errors.As(err, &e) || e.Kind != Closed || e.Ours() || !e.Pressure() {
		t.Errorf("a lookup at Close = %v; want kind %v", err, Closed)
	}
	r.Close()
	if e := failure(t, r.View(SPF), "late.example.com"); e.Kind != Closed {
		t.Errorf("a lookup after Close = %v; want kind %v", e, Closed)
	}
	if txts, err := r.View(SPF).TXT(background, "cached.example.com"); err != nil || len(txts) != 1 {
		t.Errorf("a cached name after Close = %q, %v; want the record", txts, err)
	}
	if err := r.Probe(background); err == nil {
		t.Error("Probe after Close succeeded")
	}
	eventually(t, "no goroutine of the resolver or its cache is left", func() bool {
		stacks := make([]byte, 1<<20)
		text := string(stacks[:runtime.Stack(stacks, true)])
		return !strings.Contains(text, "dnscache.(*Resolver)") && !strings.Contains(text, "dnscache/upstream.(") && !strings.Contains(text, "otter/v2.")
	})
	runtime.KeepAlive(r) // a cache that is garbage would end by itself
}

func TestLookupConcurrentCallersAgree(t *testing.T) {
	srv := dnstest.New(t, "*.example.com. 0 TXT x\n!servfail n3.example.com")
	g := newRig(t, Config{MaxInFlight: 4}, srv)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			name := fmt.Sprintf("n%d.example.com", i%5)
			txts, err := g.View(DKIM).TXT(background, name)
			if failed := i%5 == 3; (err != nil) != failed || (len(txts) == 1) == failed {
				t.Errorf("TXT(%q) = %q, %v", name, txts, err)
			}
		})
	}
	wg.Wait()
	if n := len(g.flights); n != 0 {
		t.Errorf("%d flights left", n)
	}
}
