package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dmarcgate/internal/dkimtest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/internal/scale"
)

// What docs/dns.md promises of mail beside an attack on the resolver.
const (
	attackPatience = 10 * time.Second // for good mail of a domain that the cache does not know
	attackShare    = 95               // percent of it that is delivered by then, at the first attempt
	attackAtOnce   = 2 * time.Second  // for mail of which the cache knows everything
	attackMemory   = 384 << 20        // bytes that the daemon holds at most
)

const (
	// stall is a time for which the machine of the test did not run this
	// process, though it had work: what comes of mail meanwhile says nothing of
	// the daemon.
	stall = 500 * time.Millisecond
	// attackTries is how often an attack is made while the machine stalls.
	attackTries = 3
)

// amounts is how much mail there is beside the hostile sessions, and for how
// long. The messages come evenly, whatever becomes of those before them.
type amounts struct {
	good, spoofs, known int
	during              time.Duration
	query, lookup       string // query_timeout and timeout of [dns]
}

// attack is one cell of the grid: hostile sessions beside good mail, spoofs
// and mail that the cache knows all about.
type attack struct {
	server   string
	above    overflow
	shape    shape
	sessions int
	amounts  amounts
}

// figures is what came of it.
type figures struct {
	hostile                   atomic.Int64 // messages sent
	victims, victimsDelivered atomic.Int64 // of these in the name of a victim
	good, goodInTime          atomic.Int64
	spoofs, spoofsDelivered   atomic.Int64
	known, knownAtOnce        atomic.Int64
	slowest, slowestKnown     atomic.Int64 // time, of good mail
	most, over, slow          int64        // questions that the server had at once, above its limit, about slow names
	resident                  int64        // bytes
	stalled                   time.Duration
}

func (f *figures) String() string {
	return fmt.Sprintf("machine stalled %v; hostile %d (victims %d, delivered %d); good %d/%d in %v, slowest %v; spoofs delivered %d/%d; known %d/%d at once, slowest %v; upstream: %d at once, %d above, %d slow; %d MiB",
		f.stalled.Round(time.Millisecond), f.hostile.Load(), f.victims.Load(), f.victimsDelivered.Load(), f.goodInTime.Load(), f.good.Load(), attackPatience,
		time.Duration(f.slowest.Load()).Round(10*time.Millisecond), f.spoofsDelivered.Load(), f.spoofs.Load(),
		f.knownAtOnce.Load(), f.known.Load(), time.Duration(f.slowestKnown.Load()).Round(10*time.Millisecond), f.most, f.over, f.slow, f.resident>>20)
}

// broken lists the promises that the figures break.
func (f *figures) broken(harder bool) (list []string) {
	no := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if n := f.victimsDelivered.Load() + f.spoofsDelivered.Load(); n > 0 {
		no("spoofs of p=reject that were delivered: %d; want none", n)
	}
	if !harder && f.goodInTime.Load()*100 < attackShare*f.good.Load() {
		no("good mail delivered within %v: %d of %d; want %d %%", attackPatience, f.goodInTime.Load(), f.good.Load(), attackShare)
	}
	if f.knownAtOnce.Load() < f.known.Load() {
		no("good mail of known names delivered within %v: %d of %d; want all", attackAtOnce, f.knownAtOnce.Load(), f.known.Load())
	}
	if f.resident > attackMemory {
		no("the daemon took %d MiB; want at most %d", f.resident>>20, attackMemory>>20)
	}
	if f.slow == 0 {
		no("the hostile mail has queried for nothing slow: this was no attack")
	}
	return list
}

// battle is an attack under way.
type battle struct {
	attack
	t    *testing.T
	host *host
	key  dkimtest.Key
	f    figures
}

// hold makes the attack on a daemon of its own, which asks what serve starts, and
// holds the figures against the promises. A spoof that was delivered is never
// forgiven.
func (a attack) hold(t *testing.T, key dkimtest.Key, serve func(t *testing.T) (upstream *attackServer, addr string)) {
	t.Helper()
	for try := 1; ; try++ {
		upstream, addr := serve(t)
		f := a.run(t, upstream, addr, key)
		t.Log(f)
		broken := f.broken(a.shape.harder)
		forgiven := f.stalled > stall && try < attackTries && f.victimsDelivered.Load()+f.spoofsDelivered.Load() == 0
		if len(broken) == 0 || !forgiven {
			for _, what := range broken {
				t.Error(what)
			}
			return
		}
	}
}

// stalls measures the longest time for which the machine did not run this
// process, until the returned function is called.
func stalls() (most func() time.Duration) {
	done, result := make(chan struct{}), make(chan time.Duration)
	go func() {
		const every = 10 * time.Millisecond
		tick := time.NewTicker(every)
		defer tick.Stop()
		var longest time.Duration
		for last := time.Now(); ; {
			select {
			case <-tick.C:
				longest, last = max(longest, time.Since(last)-every), time.Now()
			case <-done:
				result <- longest
				return
			}
		}
	}()
	return func() time.Duration {
		close(done)
		return <-result
	}
}

// run makes the attack on a daemon of its own that asks the name server at
// addr.
func (a attack) run(t *testing.T, upstream *attackServer, addr string, key dkimtest.Key) *figures {
	t.Helper()
	extra := ""
	if a.shape.relay {
		extra = attackRelayConfig
	}
	b := &battle{attack: a, t: t, key: key, host: newHost(t, hostConfig{dns: addr, queryTimeout: a.amounts.query, timeout: a.amounts.lookup, extra: extra})}
	p := b.host.start()
	b.learn()
	stalled := stalls()
	ctx, cancel := context.WithCancel(t.Context())
	var hostile, others sync.WaitGroup
	for n := range a.sessions {
		hostile.Go(func() { b.attackWith(ctx, n) })
	}
	select {
	case <-upstream.pressed:
	case <-time.After(attackPatience):
		t.Error("no hostile question has come")
	}
	b.sendAll(&others, a.amounts.spoofs, b.spoof)
	b.sendAll(&others, a.amounts.known, b.known)
	b.sendAll(&others, a.amounts.good, b.good)
	others.Wait()
	b.f.stalled = stalled()
	b.f.resident = residentPeak(t, p.pid())
	cancel()
	p.kill() // ends hostile sessions, too
	hostile.Wait()
	b.f.most, b.f.over, b.f.slow = upstream.most.Load(), upstream.over.Load(), upstream.slow.Load()
	return &b.f
}

// knownDomains is how many good domains the cache knows.
const knownDomains = 10

// learn has the daemon ask for everything about the domains that are to be
// known, before the attack.
func (b *battle) learn() {
	b.t.Helper()
	for n := range knownDomains {
		domain := fmt.Sprintf("c%d.example", n)
		if !b.deliver(domain, n) {
			b.t.Fatalf("a good message of %s is not delivered before the attack", domain)
		}
	}
	if res, err := b.send(b.shape.from(b.shape.good(0), b.mail("b1.example", []byte("From: a@b1.example\r\n\r\nhi\r\n")))); err != nil || res.Code != 550 {
		b.t.Fatalf("a spoof of b1.example before the attack: %+v, %v; want 550", res.Reply, err)
	}
}

// attackWith sends hostile messages, one after the other, until ctx is done.
func (b *battle) attackWith(ctx context.Context, n int) {
	c, err := b.dial()
	if err != nil {
		return // the daemon has no place left, or is gone
	}
	defer c.Close()
	for ctx.Err() == nil {
		author := b.shape.nextAuthor()
		m := b.shape.from(b.shape.hostile(n), b.mail(author, hostileMessage(b.shape, author)))
		if b.shape.abandons {
			if abandon(c, m) != nil {
				return
			}
			b.f.hostile.Add(1)
			continue
		}
		res, err := c.Send(m)
		if err != nil {
			return
		}
		b.f.hostile.Add(1)
		if isVictim(author) {
			b.f.victims.Add(1)
			if res.Code == 0 {
				b.f.victimsDelivered.Add(1)
			}
		}
	}
}

// abandon sends a message up to the end of its header, in a session of its own
// as far as the filter can tell, and gives it up.
func abandon(c *miltertest.Client, m miltertest.Mail) error {
	header, _, _ := strings.Cut(string(m.Message), "\r\n\r\n")
	steps := []func() (miltertest.Reply, error){
		func() (miltertest.Reply, error) { return c.Connect("mail.client.example", m.Client, 40000) },
		func() (miltertest.Reply, error) { return c.Helo(m.Helo) },
		func() (miltertest.Reply, error) { return c.Mail(m.From) },
		func() (miltertest.Reply, error) { return c.Rcpt(m.Rcpts[0]) },
	}
	for field := range strings.SplitSeq(strings.ReplaceAll(header, "\r\n\t", " "), "\r\n") {
		name, value, _ := strings.Cut(field, ":")
		steps = append(steps, func() (miltertest.Reply, error) { return c.Field(name, value) })
	}
	for _, step := range append(steps, c.EndOfHeader) {
		if _, err := step(); err != nil {
			return err
		}
	}
	return errors.Join(c.Abort(), c.QuitNewConnection())
}

// sendAll sends n messages, each in a session of its own.
func (b *battle) sendAll(wg *sync.WaitGroup, n int, send func(n int)) {
	wg.Go(func() {
		tick := time.NewTicker(b.amounts.during / time.Duration(n))
		defer tick.Stop()
		for i := range n {
			<-tick.C
			wg.Go(func() { send(i + 1) })
		}
	})
}

// spoof sends a message in the name of a victim that the cache does not know.
// Every other one brings signatures of it.
func (b *battle) spoof(n int) {
	domain := fmt.Sprintf("v%d.example", n)
	message := fmt.Appendf(nil, "From: a@%s\r\n\r\nhi\r\n", domain)
	if n%2 == 0 {
		message = hostileMessage(attackShapes[2], domain)
	}
	res, err := b.send(b.shape.from(b.shape.hostile(n), b.mail(domain, message)))
	if err != nil {
		b.t.Errorf("a spoof: %v", err)
		return
	}
	b.f.spoofs.Add(1)
	if res.Code == 0 {
		b.f.spoofsDelivered.Add(1)
	}
}

// good sends a good message of a domain that the cache does not know: one that
// passes by SPF, by DKIM, or by both.
func (b *battle) good(n int) {
	domain := fmt.Sprintf("%c%d.example", "gsk"[n%3], n)
	began := time.Now()
	ok := b.deliver(domain, n)
	took := time.Since(began)
	b.f.good.Add(1)
	if ok && took <= attackPatience {
		b.f.goodInTime.Add(1)
	} else {
		b.t.Logf("good mail of %s: delivered %v, after %v", domain, ok, took.Round(time.Millisecond))
	}
	atLeast(&b.f.slowest, int64(took))
}

// known sends a good message of a domain that the cache knows all about.
func (b *battle) known(n int) {
	began := time.Now()
	ok := b.deliver(fmt.Sprintf("c%d.example", n%knownDomains), n)
	took := time.Since(began)
	b.f.known.Add(1)
	if ok && took <= attackAtOnce {
		b.f.knownAtOnce.Add(1)
	}
	atLeast(&b.f.slowestKnown, int64(took))
}

func atLeast(most *atomic.Int64, n int64) {
	for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
	}
}

// deliver sends a good message, and reports whether it was delivered without a
// mark.
func (b *battle) deliver(domain string, n int) bool {
	res, err := b.send(b.shape.from(b.shape.good(n), b.mail(domain, goodMessage(b.t, b.key, domain))))
	if err != nil {
		b.t.Errorf("good mail of %s: %v", domain, err)
		return false
	}
	if res.Code != 0 {
		b.t.Logf("good mail of %s: %d %s", domain, res.Code, res.Text)
	}
	marked := slices.ContainsFunc(res.Edits, func(e miltertest.Edit) bool { return e.Name == "X-DMARC-Quarantine" })
	return res.Action == miltertest.Continue && !marked
}

var attackIDs atomic.Int64

func (b *battle) mail(domain string, message []byte) miltertest.Mail {
	return miltertest.Mail{From: "a@" + domain, Rcpts: []string{"u@receiver.example"}, QueueID: fmt.Sprintf("4X%d", attackIDs.Add(1)), Message: message}
}

// send sends one message in a session of its own.
func (b *battle) send(m miltertest.Mail) (miltertest.Result, error) {
	c, err := b.dial()
	if err != nil {
		return miltertest.Result{}, err
	}
	defer c.Close()
	return c.Send(m)
}

func (b *battle) dial() (*miltertest.Client, error) {
	return miltertest.Dial("unix:"+b.host.socket, miltertest.Options{Timeout: mtaTime})
}

// residentPeak returns how many bytes of memory a process has held at most
// (proc(5), VmHWM).
func residentPeak(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "VmHWM:")
	kib, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, err := strconv.ParseInt(kib, 10, 64)
	if err != nil || !found {
		t.Fatalf("/proc/%d/status has no VmHWM", pid)
	}
	return n << 10
}

// attackKey is the key of all good domains, and its record.
func attackKey(t *testing.T) (dkimtest.Key, string) {
	t.Helper()
	key, err := dkimtest.Ed25519()
	if err != nil {
		t.Fatal(err)
	}
	return key, "v=DKIM1; k=ed25519; p=" + key.Public("")
}

// attackServers are the name servers that the daemon asks, without a forwarder
// between.
var attackServers = []struct {
	name  string
	above overflow
}{
	{"unlimited", overflowNever},
	{"drops above 150", overflowDrop},
	{"refuses above 150", overflowRefuse},
	{"fails above 150", overflowServfail},
}

// attackSizes is how large a run is: the whole grid at soak size, with the
// default settings; else a corner of it, with shorter times.
func attackSizes(t *testing.T) (shapes []shape, sessions []int, m amounts) {
	if scale.Of(t) >= 50 {
		return attackShapes, []int{2, 6, 20, 100}, amounts{good: 80, spoofs: 40, known: 80, during: 20 * time.Second, query: "2s", lookup: "5s"}
	}
	return []shape{attackShapes[0], attackShapes[2]}, []int{6}, amounts{good: 30, spoofs: 10, known: 30, during: 5 * time.Second, query: "1s", lookup: "2s"}
}

// parallel lets the corner of the grid run beside other tests. The whole grid keeps two
// processors busy by itself: a second one beside it makes mail late, whatever the daemon does.
func parallel(t *testing.T) {
	t.Helper()
	if scale.Of(t) < 50 {
		t.Parallel()
	}
}

// attackAlongside is how many attacks are made at once, each on a daemon of its
// own. They wait most of the time.
const attackAlongside = 4

// grid makes attacks, several at once.
func grid(t *testing.T, attacks []attack, key dkimtest.Key, serve func(t *testing.T, a attack) (upstream *attackServer, addr string)) {
	t.Helper()
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(attackAlongside, len(attacks)) {
		workers.Go(func() {
			for i := next.Add(1); i <= int64(len(attacks)); i = next.Add(1) {
				a := attacks[i-1]
				t.Run(fmt.Sprintf("%s, %s, %d sessions", a.server, a.shape.name, a.sessions), func(t *testing.T) {
					a.hold(t, key, func(t *testing.T) (*attackServer, string) { return serve(t, a) })
				})
			}
		})
	}
	workers.Wait()
}

// attacksOn lists the attacks on a server.
func attacksOn(t *testing.T, server string, above overflow) (list []attack) {
	t.Helper()
	shapes, sessions, m := attackSizes(t)
	for _, shape := range shapes {
		for _, n := range sessions {
			list = append(list, attack{server, above, shape, n, m})
		}
	}
	return list
}

// At soak size this is the whole grid, of which docs/dns.md has the figures.
func TestDNSAttackBesideHostileSessions(t *testing.T) {
	parallel(t)
	key, record := attackKey(t)
	servers := attackServers
	if scale.Of(t) < 50 {
		servers = servers[2:3]
	}
	var attacks []attack
	for _, s := range servers {
		attacks = append(attacks, attacksOn(t, s.name, s.above)...)
	}
	grid(t, attacks, key, func(t *testing.T, a attack) (*attackServer, string) {
		upstream := startAttackServer(t, a.above, record)
		return upstream, upstream.addr
	})
}
