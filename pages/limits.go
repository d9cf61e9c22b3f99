package pages

import (
	"context"
	"errors"
	"math"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limits of the pages: ours.
const (
	maxConns   = 64                     // connections; others wait to be accepted
	maxMaking  = 1                      // page that is made at once
	maxWaiting = 32                     // requests that wait for their turn
	turnTime   = 5 * time.Second        // for one to wait
	makeTime   = time.Second            // for a page to be made
	credit     = 200 * time.Millisecond // of making without a pause
	payBack    = 20                     // pages that follow take one part in payBack of a processor
	answerGap  = 50 * time.Millisecond  // between two answers, whatever they say
	maxBurst   = 50                     // answers without a gap
	keepTime   = 2 * time.Second        // for which an answer serves the same request again
	maxKept    = 32                     // answers that are kept
	retryAfter = "5"                    // seconds, for those that are sent away

	readTime  = 5 * time.Second  // for a client to send its request
	writeTime = 10 * time.Second // for a client to take an answer
	idleTime  = 5 * time.Second
	maxHeader = 8 << 10
	maxQuery  = 2 << 10 // bytes of a path with its query
	maxPage   = 4 << 20 // bytes of an answer
)

// errBusy means that a request has waited for its turn in vain.
var errBusy = errors.New("too many pages are asked for at once")

// budget spreads work over time: what was spent is paid back as time passes.
type budget struct {
	mu   sync.Mutex
	free time.Time     // when all that was spent is paid back
	loan time.Duration // that is spent without a wait
}

// spend takes d and returns how long to wait for it. When that is longer than
// most, nothing is taken.
func (b *budget) spend(now time.Time, d, most time.Duration) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.free.Before(now) {
		b.free = now
	}
	if wait = b.free.Sub(now) - b.loan; wait <= most {
		b.free = b.free.Add(d)
	}
	return max(0, wait)
}

// sleep waits, and reports whether ctx lasted.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// gate lets few make pages, so that the processors are for the mail.
type gate struct {
	turns   chan struct{}
	waiting chan struct{}
	making  budget
}

func newGate() *gate {
	return &gate{turns: make(chan struct{}, maxMaking), waiting: make(chan struct{}, maxWaiting), making: budget{loan: credit * payBack}}
}

// enter waits for a turn. leave ends it.
func (g *gate) enter(ctx context.Context) (leave func(), err error) {
	select {
	case g.waiting <- struct{}{}:
	default:
		return nil, errBusy
	}
	defer func() { <-g.waiting }()
	ctx, cancel := context.WithTimeout(ctx, turnTime)
	defer cancel()
	select {
	case g.turns <- struct{}{}:
	case <-ctx.Done():
		return nil, errBusy
	}
	if !sleep(ctx, g.making.spend(time.Now(), 0, turnTime)) {
		<-g.turns
		return nil, errBusy
	}
	start := time.Now()
	return func() {
		end := time.Now()
		g.making.spend(end, payBack*end.Sub(start), math.MaxInt64)
		<-g.turns
	}, nil
}

// paced answers requests at a bounded rate, so that even those that are sent away
// cost little. A request beyond the rate waits, and its connection with it.
func paced(next http.Handler) http.Handler {
	answers := budget{loan: maxBurst * answerGap}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wait := answers.spend(time.Now(), answerGap, turnTime)
		switch {
		case !sleep(r.Context(), min(wait, turnTime)): // the client has gone away
		case wait > turnTime:
			busy(w)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// kept are the newest answers, by their address.
type kept struct {
	mu   sync.Mutex
	now  func() time.Time
	list map[string]answer
}

// answer is a page as it is sent.
type answer struct {
	code int
	body []byte
	at   time.Time
}

func (k *kept) get(address string) (answer, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	a, ok := k.list[address]
	return a, ok && k.now().Sub(a.at) < keepTime
}

func (k *kept) put(address string, a answer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.list) >= maxKept || k.list == nil {
		k.list = make(map[string]answer)
	}
	a.at = k.now()
	k.list[address] = a
}

// Limit bounds the connections of a listener.
func Limit(ln net.Listener) net.Listener {
	return &limited{ln, make(chan struct{}, maxConns)}
}

type limited struct {
	net.Listener
	room chan struct{}
}

// Accept implements net.Listener. It waits for room after it has a connection, so
// that Close ends it.
func (l *limited) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.room <- struct{}{}
	return &place{Conn: conn, leave: sync.OnceFunc(func() { <-l.room })}, nil
}

// place is a connection that gives its room back.
type place struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (p *place) Close() error {
	defer p.leave()
	return p.Conn.Close()
}
