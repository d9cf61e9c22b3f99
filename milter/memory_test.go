package milter

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dmarcgate/internal/miltertest"
)

// quietMemory is memory of limit bytes that logs nothing.
func quietMemory(limit int64) *HeaderMemory {
	m := NewHeaderMemory(limit, nil, newGate(nil, Limits{}).Server.Log)
	m.rate = math.MaxInt64
	return m
}

// growth is a call of grow in a goroutine of its own.
type growth struct {
	claim claim
	done  chan error
}

func (m *HeaderMemory) growAside(ctx context.Context, size int) *growth {
	g := &growth{done: make(chan error, 1)}
	go func() { g.done <- m.grow(ctx, &g.claim, freeHeader+size, "in") }()
	return g
}

// state is "waits", "has" or the error.
func (g *growth) state() string {
	synctest.Wait()
	select {
	case err := <-g.done:
		g.done <- err
		if err != nil {
			return err.Error()
		}
		return "has"
	default:
		return "waits"
	}
}

func wantStates(t *testing.T, want string, all ...*growth) {
	t.Helper()
	var got []string
	for _, g := range all {
		got = append(got, g.state())
	}
	if text := strings.Join(got, ", "); text != want {
		t.Errorf("states = %s; want %s", text, want)
	}
}

func TestHeaderMemoryIsFreeForOrdinaryHeaders(t *testing.T) {
	m := quietMemory(1)
	var big claim
	must(t, m.grow(t.Context(), &big, freeHeader+100, "in"))
	for range 1000 {
		var c claim
		must(t, m.grow(t.Context(), &c, freeHeader, "in"))
		m.release(&c)
	}
	if m.used != 100 {
		t.Errorf("used = %d; want 100, of the large one", m.used)
	}
}

func TestHeaderMemoryWithoutALimit(t *testing.T) {
	var m *HeaderMemory
	var c claim
	must(t, m.grow(t.Context(), &c, 1<<40, "in"))
	m.release(&c)
}

func TestHeaderMemoryServesOldestMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := quietMemory(1000)
		first, second := m.growAside(t.Context(), 600), &growth{}
		wantStates(t, "has", first)
		second = m.growAside(t.Context(), 400)
		wantStates(t, "has", second)
		third := m.growAside(t.Context(), 1)
		wantStates(t, "waits", third)
		must(t, m.grow(t.Context(), &first.claim, freeHeader+1000, "in")) // above the limit, and at once
		if m.used != 1400 {
			t.Errorf("used = %d; want 1400", m.used)
		}
		m.release(&first.claim)
		wantStates(t, "has, has", second, third)
		must(t, m.grow(t.Context(), &second.claim, freeHeader+5000, "in")) // now it is the oldest
	})
}

func TestHeaderMemoryServesSmallestMessageFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := quietMemory(1000)
		var other, next claim
		must(t, m.grow(t.Context(), &other, freeHeader+500, "in"))
		must(t, m.grow(t.Context(), &next, freeHeader+500, "in"))
		large, small, middle := m.growAside(t.Context(), 450), m.growAside(t.Context(), 50), m.growAside(t.Context(), 400)
		wantStates(t, "waits, waits, waits", large, small, middle)
		m.release(&next)
		wantStates(t, "waits, has, has", large, small, middle)
		m.release(&other)
		wantStates(t, "has, has, has", large, small, middle)
	})
}

func TestHeaderMemoryRefusesAMessageAfterItsPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := quietMemory(1000)
		var other claim
		must(t, m.grow(t.Context(), &other, freeHeader+900, "in"))
		first := m.growAside(t.Context(), 300)
		wantStates(t, "waits", first)
		time.Sleep(headerPatience / 2)
		second, small := m.growAside(t.Context(), 400), m.growAside(t.Context(), 100)
		wantStates(t, "waits, waits, has", first, second, small)
		time.Sleep(headerPatience/2 - 1)
		wantStates(t, "waits, waits", first, second)
		time.Sleep(time.Nanosecond)
		wantStates(t, errHeaderMemory.Error()+", waits", first, second) // second has taken nothing, its refusal would help nobody
		m.release(&other)
		wantStates(t, "has", second)
		if m.waiting != 0 || m.used != 500 {
			t.Errorf("waiting %d, used %d; want 0, 500", m.waiting, m.used)
		}
	})
}

// A message whose time is over gets what a larger one gives up, even when that
// has waited for less.
func TestHeaderMemoryRefusesNoSmallMessageForALargeOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := quietMemory(1000)
		var other, large claim
		must(t, m.grow(t.Context(), &other, freeHeader+500, "in"))
		must(t, m.grow(t.Context(), &large, freeHeader+500, "in"))
		small := m.growAside(t.Context(), 200)
		wantStates(t, "waits", small)
		time.Sleep(headerPatience / 2)
		again := make(chan error, 1)
		go func() { again <- m.grow(t.Context(), &large, freeHeader+600, "in") }()
		wantStates(t, "waits", small)
		time.Sleep(headerPatience / 2)
		wantStates(t, "has", small)
		if err := <-again; !errors.Is(err, errHeaderMemory) {
			t.Errorf("the larger one got %v; want %v", err, errHeaderMemory)
		}
		if m.used != 700 {
			t.Errorf("used = %d; want 700", m.used)
		}
	})
}

func TestHeaderMemoryWaitEndsWithItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := quietMemory(1000)
		var other claim
		must(t, m.grow(t.Context(), &other, freeHeader+1000, "in"))
		ctx, cancel := context.WithCancel(t.Context())
		waits := m.growAside(ctx, 10)
		wantStates(t, "waits", waits)
		cancel()
		wantStates(t, context.Canceled.Error(), waits)
		if m.waiting != 0 || len(m.claims) != 1 || m.used != 1000 {
			t.Errorf("waiting %d, claims %d, used %d; want 0, 1, 1000", m.waiting, len(m.claims), m.used)
		}
	})
}

// Waits are added up: a message is not delayed by 30 seconds again and again.
func TestHeaderMemoryPatienceCoversWholeMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := quietMemory(1000)
		var other, next, c claim
		must(t, m.grow(t.Context(), &other, freeHeader+600, "in"))
		must(t, m.grow(t.Context(), &next, freeHeader+400, "in"))
		grown := make(chan error, 1)
		grow := func(size int) { grown <- m.grow(t.Context(), &c, freeHeader+size, "in") }
		go grow(100)
		time.Sleep(2 * headerPatience / 3)
		m.release(&next)
		must(t, <-grown)
		must(t, m.grow(t.Context(), &claim{}, freeHeader+300, "in"))
		began := time.Now()
		go grow(200)
		if err := <-grown; !errors.Is(err, errHeaderMemory) {
			t.Errorf("grow() = %v; want %v", err, errHeaderMemory)
		}
		if d := time.Since(began); d != headerPatience-2*headerPatience/3 {
			t.Errorf("refused after %v; want the rest of %v", d, headerPatience)
		}
	})
}

func TestHeaderMemoryGrowthRateIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := quietMemory(1 << 40)
		m.rate = headerRate
		began := time.Now()
		var all []*growth
		for range 10 {
			all = append(all, m.growAside(t.Context(), headerRate/10))
		}
		for _, g := range all {
			must(t, <-g.done)
		}
		if d := time.Since(began); d.Round(time.Millisecond) != 900*time.Millisecond { // the first goes on at once
			t.Errorf("a second's growth by 10 messages took %v; want 900 ms", d)
		}
		var small claim
		must(t, m.grow(t.Context(), &small, freeHeader, "in"))
		if d := time.Since(began); d.Round(time.Millisecond) != 900*time.Millisecond {
			t.Errorf("an ordinary header waited: %v", d)
		}
		var nobody *HeaderMemory
		must(t, nobody.slow(t.Context(), 1<<40))
		ctx, cancel := context.WithCancel(t.Context())
		must(t, m.grow(ctx, &claim{}, freeHeader+headerRate, "in"))
		last := m.growAside(ctx, 1)
		wantStates(t, "waits", last)
		cancel()
		wantStates(t, context.Canceled.Error(), last)
	})
}

// Whatever messages do, the memory in use is the sum of what they hold, it is
// above the limit by no more than one of them takes, and all come to an end.
func TestHeaderMemoryProperty(t *testing.T) {
	const limit, most, messages = 10_000, 4_000, 200
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			m := quietMemory(limit)
			var refused, finished atomic.Int64
			var wg sync.WaitGroup
			for i := range uint64(messages) {
				wg.Go(func() {
					r := rand.New(rand.NewPCG(seed, i))
					var c claim
					defer m.release(&c)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					if r.IntN(10) == 0 {
						time.AfterFunc(time.Duration(r.IntN(60))*time.Second, cancel)
					}
					for size := 0; size < most; {
						size = min(most, size+1+r.IntN(most/2))
						switch err := m.grow(ctx, &c, freeHeader+size, "in"); {
						case errors.Is(err, errHeaderMemory):
							refused.Add(1)
							return
						case err != nil:
							return
						}
						m.check(t, limit+most)
						time.Sleep(time.Duration(r.IntN(3000)) * time.Millisecond)
					}
					finished.Add(1)
				})
			}
			wg.Wait()
			if m.used != 0 || m.waiting != 0 || len(m.claims) != 0 {
				t.Errorf("seed %d: used %d, waiting %d, claims %d; want 0", seed, m.used, m.waiting, len(m.claims))
			}
			if finished.Load() == 0 || refused.Load() == 0 {
				t.Errorf("seed %d: finished %d, refused %d; want some of both", seed, finished.Load(), refused.Load())
			}
		})
	}
}

func (m *HeaderMemory) check(t *testing.T, most int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var held int64
	waiting := 0
	for _, c := range m.claims {
		held += c.held
		if c.want > 0 {
			waiting++
		}
	}
	if held != m.used || m.used > most || waiting != m.waiting {
		t.Errorf("used %d, waiting %d; want %d and %d, and at most %d", m.used, m.waiting, held, waiting, most)
	}
	if waiting > 0 && m.claims[0].want > 0 {
		t.Error("the oldest message waits")
	}
}

// crowded returns a gate whose memory is taken, until free is called.
func crowded(t *testing.T, rec *recorder, patience time.Duration) (g *gate, free func()) {
	t.Helper()
	g = newGate(rec, Limits{HeaderBytes: 1 << 20})
	g.HeaderMemory = NewHeaderMemory(1000, g.Metrics, g.Log)
	g.HeaderMemory.patience = patience
	var other claim
	must(t, g.HeaderMemory.grow(t.Context(), &other, freeHeader+1000, "in"))
	g.open(t)
	return g, func() { g.HeaderMemory.release(&other) }
}

// bigMail has a header beyond freeHeader.
func bigMail() miltertest.Mail {
	m := mail()
	m.Message = []byte(strings.Repeat("X-Filler: "+strings.Repeat("x", 2000)+"\n", 50) + string(m.Message))
	return m
}

func TestHeaderMemoryRefusalIsAnsweredAtTheEndOfTheHeader(t *testing.T) {
	for name, offer := range map[string]miltertest.Offer{
		"Postfix":                  {},
		"a reply for each field":   {Version: 6, Actions: 0x1ff, Protocol: 0x1fffff &^ miltertest.NoHeaderReply},
		"version 2, without flags": {Version: 2, Actions: 0x3f, Protocol: 0x7f},
	} {
		t.Run(name, func(t *testing.T) {
			rec := &recorder{}
			g, free := crowded(t, rec, time.Millisecond)
			c := g.dial(t, miltertest.Options{Offer: offer})
			for range 2 {
				r := send(t, c, bigMail())
				if r.Code != 451 || r.Enhanced != "4.3.1" || r.Stage != 'N' {
					t.Errorf("answer = %v at %q; want 451 4.3.1 at the end of the header", r.Reply, r.Stage)
				}
				if r := send(t, c, mail()); r.Code != 0 {
					t.Errorf("answer to an ordinary message = %v; want continue", r.Reply)
				}
			}
			free()
			if r := send(t, c, bigMail()); r.Code != 0 {
				t.Errorf("answer with memory = %v; want continue", r.Reply)
			}
			if len(rec.msgs) != 3 || len(rec.msgs[2].header) != 52 {
				t.Errorf("handler saw %d messages; want 3, the last with 52 fields", len(rec.msgs))
			}
			g.wantCount(t, 2, "milter_header_memory_refused_total")
			g.wantCount(t, 2, "milter_messages_total", "tempfail")
			g.wantCount(t, 0, "milter_transactions_without_header_total")
			g.wantCount(t, 0, "milter_header_memory_bytes")
			if !strings.Contains(g.log.String(), "qid=4XYZ") {
				t.Errorf("the log does not name the message:\n%s", g.log)
			}
		})
	}
}

// The MTA writes while the session waits, and what it wrote is read then.
func TestHeaderMemoryWaitStopsReading(t *testing.T) {
	rec := &recorder{}
	g, free := crowded(t, rec, time.Hour)
	c := g.dial(t, miltertest.Options{})
	done := make(chan miltertest.Result, 1)
	go func() { done <- send(t, c, bigMail()) }()
	g.wantCount(t, 1, "milter_header_memory_waiting")
	if len(done) != 0 {
		t.Error("a message was answered while it had to wait")
	}
	free()
	if r := <-done; r.Code != 0 {
		t.Errorf("answer = %v; want continue", r.Reply)
	}
	if !strings.Contains(g.log.String(), "limits.header_memory exhausted") {
		t.Errorf("the log does not say that messages wait:\n%s", g.log)
	}
}

func TestHeaderMemoryIsReleasedAtEveryEnd(t *testing.T) {
	steps := map[string]func(t *testing.T, c *miltertest.Client){
		"abort":          func(t *testing.T, c *miltertest.Client) { must(t, errors.Join(c.Abort(), c.Flush())) },
		"another MAIL":   func(t *testing.T, c *miltertest.Client) { _, err := c.Mail("x@y.example"); must(t, err) },
		"new connection": func(t *testing.T, c *miltertest.Client) { must(t, errors.Join(c.QuitNewConnection(), c.Flush())) },
		"close":          func(t *testing.T, c *miltertest.Client) { must(t, c.Close()) },
		"an answer": func(t *testing.T, c *miltertest.Client) {
			_, err := c.EndOfHeader()
			must(t, err)
			_, err = c.EndOfMessage()
			must(t, err)
		},
		"an impossible frame": func(t *testing.T, c *miltertest.Client) { must(t, errors.Join(c.WriteFrame('?', nil), c.Flush())) },
	}
	for name, end := range steps {
		for _, rec := range []*recorder{{}, {answer: func(*seen) Answer { panic("no") }}} {
			t.Run(name, func(t *testing.T) {
				g := newGate(rec, Limits{HeaderBytes: 1 << 20})
				g.HeaderMemory = NewHeaderMemory(1<<20, g.Metrics, g.Log)
				g.open(t)
				c := g.dial(t, miltertest.Options{})
				ok(t)(c.Mail("a@b.example"))
				for range 50 {
					ok(t)(c.Field("X-Filler", strings.Repeat("x", 2000)))
				}
				must(t, c.Flush())
				waitFor(t, func() bool { return g.count(t, "milter_header_memory_bytes") > 0 })
				end(t, c)
				g.wantCount(t, 0, "milter_header_memory_bytes")
			})
		}
	}
}

// A shutdown does not wait for the patience of a message that waits.
func TestHeaderMemoryWaitEndsWithShutdown(t *testing.T) {
	g, _ := crowded(t, &recorder{}, time.Hour)
	g.grace = time.Millisecond
	c := g.dial(t, miltertest.Options{})
	ok(t)(c.Mail("a@b.example"))
	for range 50 {
		ok(t)(c.Field("X-Filler", strings.Repeat("x", 2000)))
	}
	must(t, c.Flush())
	g.wantCount(t, 1, "milter_header_memory_waiting")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Shutdown(ctx); err == nil {
		t.Error("Shutdown() = nil; want an error for the session that was cut")
	}
	g.wantCount(t, 0, "milter_header_memory_waiting")
}

func waitFor(t *testing.T, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
		runtime.Gosched()
	}
}

// What a header costs is what it takes: all chunks, which are never copied, and
// a little for each field.
func TestHeaderMemoryCostMatchesHeap(t *testing.T) {
	for name, sizes := range map[string][]int{
		"ordinary":        slices.Repeat([]int{70}, 40),
		"one byte":        slices.Repeat([]int{1}, 2000),
		"the largest":     slices.Repeat([]int{60_000}, 65),
		"half of a chunk": slices.Repeat([]int{33_000}, 100),
		"mixed":           slices.Repeat([]int{1, 60_000, 300, 5_000}, 40),
		"folds":           {0},
	} {
		t.Run(name, func(t *testing.T) {
			value := func(n int) []byte { return []byte(strings.Repeat("x", n)) }
			if name == "folds" {
				value = func(int) []byte { return []byte(strings.Repeat("\nx", 30_000)) }
			}
			var h header
			chunks, size := 0, 0
			for i, n := range sizes {
				before, need := cap(h.chunk), h.need([]byte("A"), value(n))
				cost := h.cost
				h.add([]byte("A"), value(n), false)
				if h.cost-cost != need {
					t.Fatalf("field %d costs %d; need() said %d", i, h.cost-cost, need)
				}
				if cap(h.chunk) != before || len(h.chunk) == len(h.list[len(h.list)-1]) {
					chunks += cap(h.chunk)
				}
				size += len(h.list[i])
			}
			if h.size != size || h.cost < chunks || h.cost > chunks+len(sizes)*(fieldCost+1) {
				t.Errorf("size %d, cost %d; want %d, and between %d and %d", h.size, h.cost, size, chunks, chunks+len(sizes)*(fieldCost+1))
			}
			if size > lastChunk && h.cost > 3*size/2+len(sizes)*(fieldCost+1) {
				t.Errorf("a header of %d bytes costs %d; want at most half as much again", size, h.cost)
			}
		})
	}
}

// What is not kept of a header is read no faster than what is.
func TestHeaderMemorySlowsDiscardedHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(&recorder{}, Limits{HeaderBytes: 1000})
		g.HeaderMemory = NewHeaderMemory(1<<20, g.Metrics, g.Log)
		ours, theirs := net.Pipe()
		g.serve(t, &fakeListener{conns: []net.Conn{ours}, closed: make(chan struct{})})
		c, err := miltertest.New(theirs, miltertest.Options{Timeout: time.Hour})
		must(t, err)
		ok(t)(c.Mail("a@b.example"))
		began := time.Now()
		for range headerRate / 60_000 {
			ok(t)(c.Field("X-Filler", strings.Repeat("x", 60_000-len("X-Filler")-2)))
		}
		ok(t)(c.EndOfHeader())
		if d := time.Since(began).Round(10 * time.Millisecond); d != time.Second {
			t.Errorf("64 MiB of fields that are not kept took %v; want a second", d)
		}
		must(t, c.Quit())
	})
}
