package dnscache

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// limited is a forwarder with a limit of queries at once, above which it
// refuses, fails or drops them. What it forwards to answers after a time that
// depends on the zone.
type limited struct {
	*fakeServer
	places   chan struct{}
	most     atomic.Int64
	rejected atomic.Int64
}

const (
	attackRTT  = 20 * time.Millisecond // of a zone that answers
	attackSlow = 6 * time.Second       // of one that does not in time
)

func newLimited(t testing.TB, limit int, how string) *limited {
	l := &limited{places: make(chan struct{}, limit)}
	l.fakeServer = newFake(t, func(p peer) {
		select {
		case l.places <- struct{}{}:
		default:
			l.rejected.Add(1)
			switch how {
			case "refuse":
				p.fails(dns.RcodeRefused)
			case "servfail":
				p.fails(dns.RcodeServerFailure)
			}
			return
		}
		if n := int64(len(l.places)); n > l.most.Load() {
			l.most.Store(n)
		}
		defer func() { <-l.places }()
		if strings.Contains(p.name(), "slow") {
			time.Sleep(attackSlow)
		} else {
			time.Sleep(attackRTT)
		}
		p.says("x")
	})
	return l
}

// attack is hostile mail beside good mail, as far as lookups go.
type attack struct {
	r     *Resolver
	kind  string
	sent  atomic.Int64
	stop  chan struct{}
	wg    sync.WaitGroup
	mu    sync.Mutex
	kinds map[string]int
}

func (a *attack) hostile(session int) {
	client := netip.AddrFrom4([4]byte{10, 0, byte(session % 50), byte(session)})
	for {
		select {
		case <-a.stop:
			return
		default:
		}
		n := a.sent.Add(1)
		account := NewAccount(client)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				v := a.r.View(DKIM)
				switch a.kind {
				case "zone":
					_, _ = v.Charged(account, Other).TXT(ctx, fmt.Sprintf("s%d-%d._domainkey.slow.example", n, i))
				case "domains":
					_, _ = v.Charged(account, Other).TXT(ctx, fmt.Sprintf("s%d._domainkey.slow%d.example", n, (n*10+int64(i))%1000))
				case "authors":
					_, _ = v.Charged(account, Author).TXT(ctx, fmt.Sprintf("s%d-%d._domainkey.slow%d.example", n, i, n%1000))
				case "victim":
					_, _ = v.Charged(account, Author).TXT(ctx, fmt.Sprintf("s%d-%d._domainkey.victim.example", n, i))
				}
			})
		}
		wg.Wait()
		cancel()
	}
}

func (a *attack) good(n int) (time.Duration, error) {
	began := time.Now()
	account := NewAccount(netip.AddrFrom4([4]byte{192, 0, byte(n), 1}))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	d := fmt.Sprintf("good%d.example", n)
	for _, name := range []string{"_dmarc." + d, d, "s1._domainkey." + d, "s2._domainkey." + d, "_spf." + d, "a." + d} {
		if _, err := a.r.View(DMARC).Charged(account, Author).TXT(ctx, name); err != nil {
			return time.Since(began), err
		}
	}
	return time.Since(began), nil
}

func TestAttack(t *testing.T) {
	if os.Getenv("ATTACK") == "" {
		t.Skip()
	}
	for _, how := range []string{"refuse", "drop", "servfail"} {
		for _, kind := range []string{"zone", "domains", "authors", "victim"} {
			for _, sessions := range []int{2, 20, 100} {
				t.Run(fmt.Sprintf("%s/%s/%d", how, kind, sessions), func(t *testing.T) {
					t.Parallel()
					srv := newLimited(t, 150, how)
					r, err := New(Config{Servers: []string{srv.addr}}, nil)
					if err != nil {
						t.Fatal(err)
					}
					defer r.Close()
					a := &attack{r: r, kind: kind, stop: make(chan struct{})}
					for s := range sessions {
						a.wg.Go(func() { a.hostile(s) })
					}
					var good, bad, late atomic.Int64
					var most atomic.Int64
					errs := sync.Map{}
					var wg sync.WaitGroup
					for n := range 250 {
						time.Sleep(80 * time.Millisecond)
						wg.Go(func() {
							took, err := a.good(n)
							if took > 10*time.Second {
								late.Add(1)
							}
							if int64(took) > most.Load() {
								most.Store(int64(took))
							}
							if err == nil {
								good.Add(1)
								return
							}
							bad.Add(1)
							var e *Error
							errors.As(err, &e)
							errs.Store(fmt.Sprintf("%v pressure=%v ours=%v", e.Kind, e.Pressure(), e.Ours()), true)
							if os.Getenv("ATTACK") == "2" {
								st := r.Servers()[0]
								fmt.Println(n, took, st.Window, st.InFlight, st.GivenUp)
							}
						})
					}
					wg.Wait()
					st := r.Servers()[0]
					list := ""
					errs.Range(func(k, _ any) bool { list += k.(string) + "; "; return true })
					t.Logf("good %d bad %d late %d slowest %v; hostile %d; most %d rejected %d; window %d inflight %d givenup %d goroutines %d; %s", good.Load(), bad.Load(), late.Load(), time.Duration(most.Load()), a.sent.Load(),
						srv.most.Load(), srv.rejected.Load(), st.Window, st.InFlight, st.GivenUp, runtime.NumGoroutine(), list)
					close(a.stop)
					r.Close()
					a.wg.Wait()
				})
			}
		}
	}
}
