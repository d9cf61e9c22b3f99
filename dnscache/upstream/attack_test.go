package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dmarcgate/dnscache/schedule"
	"dmarcgate/internal/scale"

	"github.com/miekg/dns"
)

const (
	attackLimit = 150                   // queries at once, as dnsmasq by default
	attackRTT   = 20 * time.Millisecond // of a zone that answers
	attackSlow  = 6 * time.Second       // of one that answers too late
	attackEvery = 80 * time.Millisecond // between two good messages
	attackKeys  = 10                    // of a hostile message
	attackNets  = 50                    // networks of hostile clients
	attackZones = 1000
	attackLate  = 10 * time.Second // a good message is too late then

	// attackGood is the part of the good messages, in percent, that must get through.
	attackGood = 95
)

// newLimited makes a forwarder with a limit of queries at once, above which it
// rejects them in its way. Zones whose names begin with "slow" answer too late;
// a place is held until then, whoever has given up.
func newLimited(t testing.TB, reject func(peer)) (f *fakeServer, rejected *atomic.Int64) {
	places, rejected := make(chan struct{}, attackLimit), new(atomic.Int64)
	ctx, cancel := context.WithCancel(context.Background())
	f = newFake(t, func(p peer) {
		select {
		case places <- struct{}{}:
		default:
			rejected.Add(1)
			reject(p)
			return
		}
		defer func() { <-places }()
		d := attackRTT
		if strings.Contains(p.name(), "slow") {
			d = attackSlow
		}
		if sleep(ctx, d) {
			p.says("x")
		}
	})
	t.Cleanup(cancel)
	return f, rejected
}

// hostileLookup is one of the lookups of a hostile message.
type hostileLookup func(message int64, key int) (schedule.Class, string)

var hostileLookups = map[string]hostileLookup{
	"keys in one slow zone": func(m int64, k int) (schedule.Class, string) {
		return schedule.Other, fmt.Sprintf("s%d-%d._domainkey.slow.test", m, k)
	},
	"keys over many slow domains": func(m int64, k int) (schedule.Class, string) {
		return schedule.Other, fmt.Sprintf("s%d._domainkey.slow%d.test", m, (m*attackKeys+int64(k))%attackZones)
	},
	"author domains that are slow": func(m int64, k int) (schedule.Class, string) {
		return schedule.Author, fmt.Sprintf("s%d-%d._domainkey.slow%d.test", m, k, m%attackZones)
	},
	"invented selectors below the victim": func(m int64, k int) (schedule.Class, string) {
		return schedule.Author, fmt.Sprintf("s%d-%d._domainkey.victim.test", m, k)
	},
}

var rejections = map[string]func(peer){
	"REFUSED":  func(p peer) { p.fails(dns.RcodeRefused) },
	"SERVFAIL": func(p peer) { p.fails(dns.RcodeServerFailure) },
	"silence":  func(peer) {},
}

// attack is hostile mail beside good mail, as far as lookups go.
type attack struct {
	*Pool
	lookup hostileLookup
	sent   atomic.Int64
	ours   atomic.Int64
}

// hostile sends one message after the other, until ctx ends.
func (a *attack) hostile(ctx context.Context, session int) {
	client := netip.AddrFrom4([4]byte{10, 0, byte(session % attackNets), byte(session)})
	for ctx.Err() == nil {
		m, account := a.sent.Add(1), schedule.NewAccount(client)
		var wg sync.WaitGroup
		for k := range attackKeys {
			wg.Go(func() {
				class, name := a.lookup(m, k)
				_, err := a.View(DKIM).Charged(account, class).TXT(ctx, name)
				a.note(err)
			})
		}
		wg.Wait()
	}
}

func (a *attack) note(err error) {
	var e *Error
	if errors.As(err, &e) && e.Ours() {
		a.ours.Add(1)
	}
}

// good sends a message from a domain that is not known.
func (a *attack) good(ctx context.Context, n int, client netip.Addr) error {
	began, account, d := time.Now(), schedule.NewAccount(client), fmt.Sprintf("good%d.test", n)
	for _, name := range []string{"_dmarc." + d, d, "s1._domainkey." + d, "s2._domainkey." + d, "_spf." + d, "a." + d} {
		if _, err := a.View(DMARC).Charged(account, schedule.Author).TXT(ctx, name); err != nil {
			a.note(err)
			return err
		}
	}
	if took := time.Since(began); took > attackLate {
		return fmt.Errorf("answered after %v", took)
	}
	return nil
}

// run sends good messages beside hostile sessions, and returns how many got
// through and what kept the others.
func (a *attack) run(sessions, messages int, relay bool) (through int64, failures *sync.Map) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var hostile, good sync.WaitGroup
	for s := range sessions {
		hostile.Go(func() { a.hostile(ctx, s) })
	}
	var ok atomic.Int64
	failures = new(sync.Map)
	for n := range messages {
		time.Sleep(attackEvery)
		client := netip.AddrFrom4([4]byte{192, byte(n >> 8), byte(n), 1})
		if relay {
			client = netip.AddrFrom4([4]byte{192, 0, 2, 1})
		}
		good.Go(func() {
			if err := a.good(ctx, n, client); err != nil {
				failures.Store(n, err)
				return
			}
			ok.Add(1)
		})
	}
	good.Wait()
	cancel()
	hostile.Wait()
	return ok.Load(), failures
}

// attackCase is one attack, with a server and good mail of some kind.
type attackCase struct {
	how, kind string
	sessions  int
	relay     bool // all good mail comes from one client
}

// attackCases returns the attacks, and how many good messages there are beside
// each; make soak is the whole.
func attackCases(t *testing.T) (list []attackCase, messages int) {
	if scale.Of(t) == 1 {
		return []attackCase{
			{"REFUSED", "keys in one slow zone", 20, true},
			{"silence", "keys over many slow domains", 20, false},
			{"SERVFAIL", "author domains that are slow", 20, false},
			{"REFUSED", "author domains that are slow", 20, true},
			{"silence", "invented selectors below the victim", 20, false},
		}, 50
	}
	for how := range rejections {
		for kind := range hostileLookups {
			for _, n := range []int{2, 6, 20, 100} {
				list = append(list, attackCase{how, kind, n, false}, attackCase{how, kind, n, true})
			}
		}
	}
	return list, 300
}

// attacksAtOnce is how many attacks go on beside each other: they mostly wait.
const attacksAtOnce = 8

// Nearly all lookups of good mail from unknown domains are answered beside
// hostile mail, by a server that takes 150 queries at once; and no failure is
// ever ours.
func TestResolverAnswersGoodLookupsDuringAttack(t *testing.T) {
	list, messages := attackCases(t)
	places := make(chan struct{}, attacksAtOnce)
	var wg sync.WaitGroup
	for _, c := range list {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			c.try(t, messages)
		})
	}
	wg.Wait()
}

func (c attackCase) try(t *testing.T, messages int) {
	srv, rejected := newLimited(t, rejections[c.how])
	r, err := New(Config{Servers: []string{srv.addr}, QueryTimeout: 2 * time.Second, Timeout: 5 * time.Second, MaxInFlight: 1000, Now: time.Now})
	if err != nil {
		t.Error(err)
		return
	}
	defer r.Close()
	a := &attack{Pool: r, lookup: hostileLookups[c.kind]}
	through, failures := a.run(c.sessions, messages, c.relay)
	t.Logf("%+v: %d of %d good messages, %d hostile ones, %d queries rejected, window %d", c, through, messages, a.sent.Load(), rejected.Load(), r.Servers()[0].Window)
	if through*100 < attackGood*int64(messages) {
		t.Errorf("%+v: %d of %d good messages got through; want %d %%", c, through, messages, attackGood)
		failures.Range(func(n, err any) bool { t.Logf("message %d: %v", n, err); return true })
	}
	if n := a.ours.Load(); n > 0 {
		t.Errorf("%+v: %d failures were ours; want none that hostile mail has led to", c, n)
	}
}
