package milter

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"dmarcgate/internal/miltertest"
)

// connected serves one connection in memory, on which nothing was said yet.
func connected(t *testing.T, limits Limits) (*gate, net.Conn, *miltertest.Client) {
	g := newGate(&recorder{}, limits)
	ours, theirs := net.Pipe()
	g.serve(t, &fakeListener{conns: []net.Conn{ours}, closed: make(chan struct{})})
	t.Cleanup(func() { _ = theirs.Close() })
	return g, theirs, miltertest.Raw(theirs, miltertest.Options{Timeout: 24 * time.Hour})
}

func TestNegotiateTimeoutEndsAConnectionWithoutAnOffer(t *testing.T) {
	for name, drip := range map[string]string{"nothing": "", "a byte now and then": "\x00\x00\x00\x0d"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, raw, c := connected(t, Limits{})
				began := time.Now()
				for i := range len(drip) {
					_, err := raw.Write([]byte(drip[i : i+1]))
					must(t, err)
					time.Sleep(5 * time.Second)
				}
				closedByFilter(t, c)
				if d := time.Since(began); d != DefaultLimits().NegotiateTimeout {
					t.Errorf("hung up after %v; want %v", d, DefaultLimits().NegotiateTimeout)
				}
				g.wantCount(t, 1, "milter_errors_total", "negotiate", "timeout")
				g.wantCount(t, 0, "milter_sessions_active")
			})
		})
	}
}

func TestFirstTimeoutEndsAConnectionWithoutACommand(t *testing.T) {
	for name, say := range map[string]func(t *testing.T, c *miltertest.Client){
		"nothing": func(*testing.T, *miltertest.Client) {},
		"macros alone": func(t *testing.T, c *miltertest.Client) {
			for range 10 {
				time.Sleep(20 * time.Second)
				must(t, c.Macros('C', "j", "mx.receiver.example"))
				must(t, c.Flush())
			}
		},
		"a part of CONNECT": func(t *testing.T, c *miltertest.Client) {
			_, err := c.Write([]byte{0, 0, 0, 20, 'C'})
			must(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, c := pipe(t, &recorder{}, Limits{})
				began := time.Now()
				say(t, c)
				closedByFilter(t, c)
				if d := time.Since(began); d != DefaultLimits().FirstTimeout {
					t.Errorf("hung up after %v; want %v", d, DefaultLimits().FirstTimeout)
				}
				g.wantCount(t, 1, "milter_errors_total", "timeout")
			})
		})
	}
}

// Sendmail talks to its other filters first, and a client may be slow between
// any two commands.
func TestFirstTimeoutEndsWithTheFirstCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := pipe(t, &recorder{}, Limits{})
		time.Sleep(DefaultLimits().FirstTimeout - time.Second)
		ok(t)(c.Connect("x", mail().Client, 25))
		for range 3 {
			time.Sleep(DefaultLimits().IdleTimeout - time.Second)
			ok(t)(c.Mail("a@b.example"))
		}
		must(t, c.Quit())
	})
}

// A short idle_timeout holds from the beginning.
func TestIdleTimeoutIsNotExtendedByTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := pipe(t, &recorder{}, Limits{IdleTimeout: time.Minute})
		began := time.Now()
		closedByFilter(t, c)
		if d := time.Since(began); d != time.Minute {
			t.Errorf("hung up after %v; want a minute", d)
		}
	})
}

func TestFullWhileAllConnectionsAreUsed(t *testing.T) {
	g := newGate(&recorder{}, Limits{Connections: 2})
	if g.Full() {
		t.Error("Full() = true before Serve; want false")
	}
	g.open(t)
	first := g.dial(t, miltertest.Options{})
	if g.Full() {
		t.Error("Full() = true with one place left; want false")
	}
	second := g.dial(t, miltertest.Options{})
	if !g.Full() {
		t.Error("Full() = false with no place left; want true")
	}
	must(t, first.Quit())
	waitFor(t, func() bool { return !g.Full() })
	third := g.dial(t, miltertest.Options{})
	if !g.Full() {
		t.Error("Full() = false when the place was taken again; want true")
	}
	must(t, second.Quit())
	must(t, third.Quit())
}
