package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dmarcgate/dnscache"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
)

const (
	outageDomains = 20
	outageWaiting = 200             // messages that come again until the DNS is back
	outageTTL     = 2 * time.Second // of all records before the outage
	// outageRecovery is how long it may take until all of them have their
	// answer: the servers are queried again every five seconds, and more where
	// the machine is busy.
	outageRecovery = 15 * time.Second
	// outageRetry is the time between two attempts of one message.
	outageRetry = 500 * time.Millisecond
	// outageEach is how often a name may be queried when the servers are back.
	outageEach = 2
)

// outageZone has known domains, which sign their mail, and unknown ones, which
// are the same, but send for the first time during the outage.
func outageZone(t *testing.T, ttl time.Duration) string {
	var text strings.Builder
	fmt.Fprintf(&text, "$TTL %d\n!negttl %[1]d\n. NS ns.example.\n", int(ttl.Seconds()))
	for i := range outageDomains {
		for _, kind := range []string{"known", "unknown"} {
			domain := fmt.Sprintf("%s%d.example", kind, i)
			fmt.Fprintf(&text, "_dmarc.%s. TXT \"v=DMARC1; p=reject\"\n%[1]s. TXT \"v=spf1 ip4:192.0.2.99 -all\"\n", domain)
			text.WriteString(testKey(t, "rsa").Zone("s1", domain))
		}
	}
	return text.String()
}

// outageMail is a message from a domain, signed or not.
func outageMail(t *testing.T, domain, qid string, signed bool) miltertest.Mail {
	t.Helper()
	m := processMail(domain, qid)
	if signed {
		var err error
		if m.Message, err = testKey(t, "rsa").Sign(m.Message, domain, "s1"); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// The servers are silent for longer than the TTL of everything. What the stale
// rule of docs/dns.md says of mail holds meanwhile, and then all is well within
// seconds, however much mail has waited.
func TestDNSOutageLongerThanTTL(t *testing.T) {
	for setting, unknown := range map[string]string{"accept": "tagged", "tempfail": "451"} {
		t.Run("ours = "+setting, func(t *testing.T) {
			srv := dnstest.New(t, outageZone(t, outageTTL))
			clock := newDNSClock()
			h := startDNSHost(t, dnscache.Config{
				Servers: []string{srv.Addr()}, QueryTimeout: 600 * time.Millisecond, Timeout: 1200 * time.Millisecond,
				StaleAfter: time.Second, FailureTTL: time.Second,
				Now: func() time.Time { return time.Now().Add(time.Duration(clock.moved.Load())) },
			}, daemontest.Config{Extra: fmt.Sprintf("[temperror]\nours = %q\n", setting)})
			o := outage{t: t, dnsHost: h, srv: srv, clock: clock}
			o.before()
			fix, err := srv.Fault("!down")
			if err != nil {
				t.Fatal(err)
			}
			queried := srv.Zone.Queried()
			o.during(unknown)
			t.Logf("queries per name during the outage: %s", o.perName(queried))
			if setting != "accept" {
				return // the rest is the same
			}
			o.after(func() {
				if err := srv.Zone.Replace(outageZone(t, time.Hour)); err != nil {
					t.Error(err)
				}
				fix()
			})
		})
	}
}

// outage is one of the name servers, as mail sees it.
type outage struct {
	t *testing.T
	*dnsHost
	srv   *dnstest.Server
	clock *dnsClock // how far the resolver's time is ahead
	sent  atomic.Int64
}

// send delivers a message.
func (o *outage) send(domain string, signed bool) answered {
	o.t.Helper()
	a, err := o.deliver(o.Listeners()[0], outageMail(o.t, domain, fmt.Sprintf("4Xo%d", o.sent.Add(1)), signed))
	if err != nil {
		o.t.Error(err)
	}
	return a
}

// each does something for all domains at once.
func (o *outage) each(f func(i int)) {
	var wg sync.WaitGroup
	for i := range outageDomains {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// want compares what became of a message.
func (o *outage) want(about string, a answered, dmarc, answer string, stale bool) {
	o.t.Helper()
	if a.dmarc() != dmarc || a.answer() != answer || a.stale() != stale {
		o.t.Errorf("%s: dmarc=%s, %s, stale %v; want dmarc=%s, %s, stale %v", about, a.dmarc(), a.answer(), a.stale(), dmarc, answer, stale)
	}
}

// before makes the known domains known.
func (o *outage) before() {
	o.t.Helper()
	o.each(func(i int) {
		domain := fmt.Sprintf("known%d.example", i)
		o.want(domain+", signed", o.send(domain, true), "pass", "delivered", false)
		o.want(domain+", forged", o.send(domain, false), "fail", "550", false)
	})
}

// during waits until the records are past their TTL and nobody answers the
// resolver, and looks at mail then, and once more when it is sure of that.
func (o *outage) during(unknown string) {
	o.t.Helper()
	start := time.Now()
	daemontest.Eventually(o.t, "answers to be stale, and the server to be down", func() bool {
		return o.send("known0.example", true).stale() && o.resolver.Servers()[0].Down
	})
	o.t.Logf("answers were stale %v after the servers fell silent", time.Since(start).Round(time.Millisecond))
	o.look("in the outage", "temperror (pressure)", "451")
	o.clock.move(proofTime)
	o.look("later in the outage", "temperror (ours)", unknown)
}

// look sends mail of known and unknown domains in the outage.
func (o *outage) look(when, dmarc, unknown string) {
	o.t.Helper()
	o.each(func(i int) {
		known, other := fmt.Sprintf("known%d.example", i), fmt.Sprintf("unknown%d.example", i)
		o.want(known+", signed, "+when, o.send(known, true), "pass", "delivered", true)
		o.want(known+", forged, "+when, o.send(known, false), dmarc, unknown, true)
		a := o.send(other, true) // old or not: what is known of the names above is old
		o.want(other+", signed, "+when, a, dmarc, unknown, a.stale())
	})
}

// after has many messages come again and again, ends the outage, and wants
// each to get the answer of a normal day soon.
func (o *outage) after(fix func()) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*outageRecovery)
	defer cancel()
	var waiting, served sync.WaitGroup
	waiting.Add(outageWaiting)
	for i := range outageWaiting {
		kind, signed := []string{"known", "unknown"}[i%2], i%4 < 2
		mail := outageMail(o.t, fmt.Sprintf("%s%d.example", kind, i/4%outageDomains), "", signed)
		served.Go(func() { o.retry(ctx, mail, i, signed, waiting.Done) })
	}
	waiting.Wait()
	queried, start := o.srv.Zone.Queried(), time.Now()
	fix()
	served.Wait()
	if took := time.Since(start); took > outageRecovery {
		o.t.Errorf("all mail had its usual answer after %v; want at most %v", took, outageRecovery)
	} else {
		o.t.Logf("all mail had its usual answer after %v", took.Round(time.Millisecond))
	}
	o.each(func(i int) {
		for _, kind := range []string{"known", "unknown"} {
			domain := fmt.Sprintf("%s%d.example", kind, i)
			o.want(domain+", signed, after the outage", o.send(domain, true), "pass", "delivered", false)
			o.want(domain+", forged, after the outage", o.send(domain, false), "fail", "550", false)
		}
	})
	for question, n := range counted(o.srv.Queries()[queried:]) {
		if n > outageEach && question != "NS " {
			o.t.Errorf("%s was queried %d times when the servers were back; want at most %d", question, n, outageEach)
		}
	}
	o.t.Logf("queries per name after the outage: %s", o.perName(queried))
}

// retry sends a message until it gets the answer of a normal day, as an MTA
// does, but faster. begun is called after the first time.
func (o *outage) retry(ctx context.Context, m miltertest.Mail, i int, signed bool, begun func()) {
	begun = sync.OnceFunc(begun)
	defer begun()
	ticker := time.NewTicker(outageRetry)
	defer ticker.Stop()
	want := map[bool]string{true: "delivered", false: "550"}[signed]
	for n := 0; ; n++ {
		m.QueueID = fmt.Sprintf("4Xr%dn%d", i, n)
		a, err := o.answerTo(o.Listeners()[0], m)
		if err != nil {
			o.t.Error(err)
			return
		}
		if begun(); a.answer() == want {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			o.t.Errorf("message %s: %s to the end; want %s", m.QueueID, a.answer(), want)
			return
		}
	}
}

// perName sums up the queries from one on: how many names were queried how often.
func (o *outage) perName(from int) string {
	names := make(map[int]int)
	for _, n := range counted(o.srv.Queries()[from:]) {
		names[n]++
	}
	var out []string
	for _, n := range slices.Sorted(maps.Keys(names)) {
		out = append(out, fmt.Sprintf("%d names %d times", names[n], n))
	}
	return strings.Join(out, ", ")
}
