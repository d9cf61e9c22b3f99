package pages

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// Limits of the pages: ours.
const (
	maxConns   = 64              // connections; others wait to be accepted
	maxMaking  = 2               // pages that are made at once
	maxWaiting = 32              // requests that wait for their turn
	turnTime   = time.Second     // for one to wait
	makeTime   = time.Second     // for a page to be made
	keepTime   = 2 * time.Second // for which an answer serves the same request again
	maxKept    = 32              // answers that are kept
	retryAfter = "2"             // seconds, for those that are sent away

	readTime  = 5 * time.Second  // for a client to send its request
	writeTime = 10 * time.Second // for a client to take an answer
	idleTime  = 5 * time.Second
	maxHeader = 8 << 10
	maxQuery  = 2 << 10 // bytes of a path with its query
	maxPage   = 4 << 20 // bytes of an answer
)

// errBusy means that a request has waited for its turn in vain.
var errBusy = errors.New("too many pages are asked for at once")

// gate lets few make pages, and gives the mail the same time after each.
type gate struct {
	turns   chan struct{}
	waiting chan struct{}
}

func newGate() *gate {
	return &gate{make(chan struct{}, maxMaking), make(chan struct{}, maxWaiting)}
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
	start := time.Now()
	return func() {
		time.AfterFunc(time.Since(start), func() { <-g.turns }) // half of the time is for the mail
	}, nil
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
