package dnscache

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dmarcgate/internal/dnstest"
)

// edition is a zone in which every record is the number of the edition.
func edition(n int, broken bool) string {
	text := fmt.Sprintf("*.example.com. 20 TXT \"%d\"\n!negttl 20\n", n)
	if broken {
		text += "!servfail *.a.example.com\n!servfail *.b.example.com\n"
	}
	return text
}

func parseEdition(txts []string) any { return strings.Join(txts, "") }

// TestCacheNeverReturnsExpiredAnswerAsFresh lets readers, the clock, failures and an operator who
// flushes run against each other. Whatever is read after a flush was queried for
// after it, fresh or stale, and a value is that of its records.
func TestCacheNeverReturnsExpiredAnswerAsFresh(t *testing.T) {
	const readers, editions = 3, 12
	srv := dnstest.New(t, edition(0, false))
	g := newRig(t, Config{StaleAfter: time.Millisecond, FailureTTL: time.Second, MaxInFlight: 8}, srv)
	names := []string{"x.a.example.com", "y.a.example.com", "x.b.example.com", "x.c.example.com", "y.c.example.com"}
	var flushed atomic.Int64 // the edition that is served at least
	read := func(v View, i int) {
		least := flushed.Load()
		name := names[i%len(names)]
		got, err := v.Parsed(background, name, parseEdition)
		text, _ := got.(string)
		if n, bad := strconv.ParseInt(text, 10, 64); got != nil && (bad != nil || n < least) {
			t.Errorf("Parsed(%q) = %q, %v; want edition %d or later", name, text, err, least)
		}
		if got == nil && err == nil {
			t.Errorf("Parsed(%q) = nil without an error", name)
		}
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for n := range readers {
		wg.Go(func() {
			asking := g.View(DMARC)
			memory, complete := asking.Remembered()
			for i := n; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				read(asking, i)
				read(memory, i)
				complete()
				runtime.Gosched() // or the flights have no time on few processors
			}
		})
	}
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(100 * time.Microsecond):
				g.clock.advance(time.Second)
				g.Dump(func(e Entry) bool { return e.Bytes > 0 })
			}
		}
	})
	for n := 1; n <= editions; n++ {
		g.replace(t, srv, edition(n, n%3 == 0))
		if n%2 == 0 {
			g.FlushAll()
		} else {
			g.Flush("example.com")
		}
		flushed.Store(int64(n))
		for i := range 3 * len(names) {
			read(g.View(SPF), i)
		}
	}
	close(done)
	wg.Wait()
	g.ready(t)
	if g.ahead != 0 || g.inFlight() != 0 {
		t.Errorf("%d flights ahead of time and %d queries left", g.ahead, g.inFlight())
	}
}
