package pages

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dmarcgate/admin"
	"dmarcgate/results"
)

// hanging is a store that does not answer until its context ends.
type hanging struct {
	Store
	asked    chan struct{}
	now, top atomic.Int32
}

func (h *hanging) Older(ctx context.Context, _ int64, _ int) ([]results.Row, error) {
	n := h.now.Add(1)
	defer h.now.Add(-1)
	for top := h.top.Load(); n > top && !h.top.CompareAndSwap(top, n); top = h.top.Load() {
	}
	h.asked <- struct{}{}
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestAPageWhoseStoreHangsIsSaidToBeSlow(t *testing.T) {
	f := newFixture(t)
	f.Source.Store = &hanging{Store: f.store, asked: make(chan struct{}, 10)}
	start := time.Now()
	w := ask(NewServer(f.Source).Handler, "GET", "/decisions")
	if took := time.Since(start); took > 5*makeTime || !strings.Contains(w.Body.String(), "did not answer within 1 second") {
		t.Errorf("after %v: %d %s; want a page that says so after %v", took, w.Code, w.Body, makeTime)
	}
	if w := ask(NewServer(f.Source).Handler, "GET", "/decisions/5"); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("a decision = %d, Retry-After %q; want 503", w.Code, w.Header().Get("Retry-After"))
	}
}

func TestOnePageIsMadeAtATimeAndOthersComeAgain(t *testing.T) {
	f := newFixture(t)
	h := &hanging{Store: f.store, asked: make(chan struct{}, 1000)}
	f.Source.Store = h
	handler := NewServer(f.Source).Handler
	var wg sync.WaitGroup
	var sent, busy atomic.Int32
	for i := range 200 {
		wg.Go(func() {
			w := ask(handler, "GET", "/decisions?before="+strings.Repeat("1", 1+i%15)) // 15 different pages
			sent.Add(1)
			if w.Code == http.StatusServiceUnavailable {
				if w.Header().Get("Retry-After") == "" {
					t.Error("503 without Retry-After")
				}
				busy.Add(1)
			}
		})
	}
	wg.Wait()
	if h.top.Load() > maxMaking || h.top.Load() == 0 || busy.Load() < 200-maxWaiting-maxMaking-20 {
		t.Errorf("%d pages were made at once, and %d of %d requests were sent away", h.top.Load(), busy.Load(), sent.Load())
	}
}

func TestBudgetLendsAndIsPaidBackAsTimePasses(t *testing.T) {
	b := budget{loan: 2 * time.Second}
	for _, step := range []struct {
		at, take, wait time.Duration
	}{
		{0, 2 * time.Second, 0}, // the loan
		{0, time.Second, 0},     // what is spent is known afterwards
		{0, 0, time.Second},     // beyond the loan
		{400 * time.Millisecond, 0, 600 * time.Millisecond}, // partly paid back
		{time.Second, time.Hour, 0},                         // the loan is spent
		{time.Second, time.Second, time.Hour},               // longer than the longest wait: nothing is taken
		{2 * time.Second, 0, time.Hour - time.Second},       // so that the wait is no longer
		{2 * time.Hour, 3 * time.Second, 0},                 // time without work is not saved up
		{2*time.Hour + time.Second, time.Second, 0},         // the loan again
		{2*time.Hour + time.Second, 0, 1 * time.Second},     // and beyond the loan
	} {
		if got := b.spend(noon.Add(step.at), step.take, time.Minute); got != step.wait {
			t.Errorf("after %v, spend(%v) waits %v; want %v", step.at, step.take, got, step.wait)
		}
	}
}

func TestPagesTakeATwentiethOfAProcessorAfterTheirCredit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		begin, made := time.Now(), 0
		for ; time.Since(begin) < time.Minute; made++ {
			leave, err := g.enter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond) // of the bubble
			leave()
		}
		used := time.Duration(made) * 100 * time.Millisecond
		if most := credit + time.Minute/payBack + time.Second; used > most || used < time.Minute/payBack {
			t.Errorf("pages take %v of a minute; want about %v", used, time.Minute/payBack)
		}
	})
}

func TestAnswersBeyondTheRateWaitOrAreSentAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := paced(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }))
		begin := time.Now()
		var answered, away atomic.Int32
		var wg sync.WaitGroup
		for range 2000 {
			wg.Go(func() {
				switch w := ask(h, "GET", "/nothing"); {
				case w.Code == http.StatusNotFound:
					answered.Add(1)
				case w.Code == http.StatusServiceUnavailable && time.Since(begin) >= turnTime:
					away.Add(1)
				default:
					t.Errorf("after %v: %d; want 503 after %v at the earliest", time.Since(begin), w.Code, turnTime)
				}
			})
		}
		wg.Wait()
		if want := int32(maxBurst + turnTime/answerGap + 1); answered.Load() != want || away.Load() != 2000-want {
			t.Errorf("%d requests are answered and %d sent away; want %d and the others", answered.Load(), away.Load(), want)
		}
	})
}

func TestTheSameRequestIsServedFromTheLastAnswerForAWhile(t *testing.T) {
	f := newFixture(t)
	now, made := noon, 0
	f.Source.Now = func() time.Time { return now }
	f.Source.Status = func(context.Context) admin.Status { made++; return sampleStatus() }
	h := NewServer(f.Source).Handler
	for range 5 {
		ask(h, "GET", "/dns")
	}
	if made != 1 {
		t.Errorf("the page was made %d times within %v; want once", made, keepTime)
	}
	now = now.Add(keepTime)
	if ask(h, "GET", "/dns"); made != 2 {
		t.Errorf("after %v, the page was made %d times; want twice", keepTime, made)
	}
}

func TestKeptAnswersAreBounded(t *testing.T) {
	k := kept{now: time.Now}
	for i := range 10 * maxKept {
		k.put(strings.Repeat("x", i), answer{})
		if len(k.list) > maxKept {
			t.Fatalf("%d answers are kept; want at most %d", len(k.list), maxKept)
		}
	}
}

func TestConnectionsAreBoundedAndComeFreeAgain(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := Limit(inner)
	defer ln.Close()
	accepted := make(chan net.Conn)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- conn
		}
	}()
	var open []net.Conn
	for range maxConns {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		open = append(open, <-accepted)
	}
	c, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	select {
	case <-accepted:
		t.Fatal("one more connection is accepted")
	case <-time.After(50 * time.Millisecond):
	}
	open[0].Close()
	open[0].Close() // gives its room back once
	last := <-accepted
	go io.WriteString(c, "x")
	if _, err := last.Read(make([]byte, 1)); err != nil {
		t.Errorf("the next connection: %v", err)
	}
}

func TestAnAddressThatIsTooLongIsRefused(t *testing.T) {
	h := NewServer(newFixture(t).Source).Handler
	if w := ask(h, "GET", "/decisions?author="+strings.Repeat("a", maxQuery)); w.Code != http.StatusRequestURITooLong {
		t.Errorf("a long address = %d; want 414", w.Code)
	}
	if w := ask(h, "GET", "/decisions?author="+strings.Repeat("a", 1000)); w.Code != 200 {
		t.Errorf("a filter of 1,000 characters = %d; want 200", w.Code)
	}
}

func TestAPageThatPanicsGivesItsTurnBack(t *testing.T) {
	f := newFixture(t)
	broken := true
	f.Source.Status = func(context.Context) admin.Status {
		if broken {
			panic("a fault of the program")
		}
		return sampleStatus()
	}
	h := NewServer(f.Source).Handler
	for range maxMaking {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the page does not panic")
				}
			}()
			ask(h, "GET", "/dns")
		}()
	}
	broken = false
	if w := ask(h, "GET", "/dns"); w.Code != 200 {
		t.Errorf("the next request = %d; want 200", w.Code)
	}
}
