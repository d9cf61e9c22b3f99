package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dmarcgate/daemon"
	"dmarcgate/dnscache"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/policy/sampling"
	"dmarcgate/results"
	"dmarcgate/site"
)

// The tests in dns_*_test.go do to the DNS of a whole daemon what happens to
// the DNS of a host, and look at what becomes of mail.

// dnsClock is a clock that stands until the test moves it.
type dnsClock struct {
	start time.Time
	moved atomic.Int64
}

func newDNSClock() *dnsClock { return &dnsClock{start: time.Now()} }

func (c *dnsClock) now() time.Time { return c.start.Add(time.Duration(c.moved.Load())) }

func (c *dnsClock) move(d time.Duration) { c.moved.Add(int64(d)) }

// dnsHost is a daemon whose mail is checked by a resolver of the test's own:
// with other times, or on a clock that can be moved.
type dnsHost struct {
	*served
	resolver *dnscache.Resolver
}

// startDNSHost runs a daemon. The configuration's servers are queried by its
// prober only.
func startDNSHost(t *testing.T, cfg dnscache.Config, c daemontest.Config) *dnsHost {
	t.Helper()
	r, err := dnscache.New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close) // after the daemon
	c.HasStore = true
	d, _ := startDaemon(t, cfg.Servers[0], c)
	in := d.Inputs()
	secret, err := site.SamplingSecret(in.Config.Sampling.SecretFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range d.Listeners() {
		g.Snapshot.Store(in.Snapshot(g.Config, sampling.NewSampler(secret), r.View))
	}
	return &dnsHost{served: d, resolver: r}
}

// answered is one message: the answer, its row, and the time that the answer
// took.
type answered struct {
	res  miltertest.Result
	row  results.Row
	took time.Duration
}

// deliver sends a message to a gate and reads its row.
func (h *dnsHost) deliver(g *daemon.Listener, m miltertest.Mail) (answered, error) {
	a, err := h.answerTo(g, m)
	if err != nil {
		return a, err
	}
	rows, err := h.Store().ByQueueID(context.Background(), m.QueueID)
	if err != nil || len(rows) != 1 {
		return a, fmt.Errorf("message %s: rows in the store = %d, %v; want one", m.QueueID, len(rows), err)
	}
	a.row = rows[0]
	return a, nil
}

// answerTo sends a message to a gate.
func (h *dnsHost) answerTo(g *daemon.Listener, m miltertest.Mail) (answered, error) {
	c, err := miltertest.Dial(g.Addr(), miltertest.Options{Timeout: patience})
	if err != nil {
		return answered{}, err
	}
	defer c.Close()
	start := time.Now()
	res, err := c.Send(m)
	if err != nil {
		return answered{}, fmt.Errorf("message %s: %w", m.QueueID, err)
	}
	return answered{res: res, took: time.Since(start)}, nil
}

// dmarc returns the verdict on the author domain, and whose fault a temporary
// error is.
func (a answered) dmarc() string {
	if len(a.row.Facts.Authors) != 1 {
		return "none"
	}
	v := a.row.Facts.Authors[0].Verdict
	if v.Status.String() == "temperror" {
		return fmt.Sprintf("temperror (%s)", v.Cause)
	}
	return v.Status.String()
}

func (a answered) dkim() string {
	if len(a.row.Facts.DKIM) == 0 {
		return "none"
	}
	return a.row.Facts.DKIM[0].Result
}

func (a answered) stale() bool { return a.row.Facts.Stale }

// answer returns what became of the message, in a word.
func (a answered) answer() string {
	switch {
	case a.res.Code != 0:
		return fmt.Sprint(a.res.Code)
	case strings.Contains(fmt.Sprint(a.res.Edits), "X-DMARC-Quarantine"):
		return "tagged"
	}
	return "delivered"
}

// ask asks a resolver what a line of dnstest's log of queries says.
func ask(r *dnscache.Resolver, line string) error {
	qtype, name, _ := strings.Cut(line, " ")
	v, ctx := r.View(dnscache.SPF), context.Background()
	var err error
	switch dns.StringToType[qtype] {
	case dns.TypeTXT:
		_, err = v.TXT(ctx, name)
	case dns.TypeA:
		_, err = v.A(ctx, name)
	case dns.TypeAAAA:
		_, err = v.AAAA(ctx, name)
	case dns.TypeMX:
		_, err = v.MX(ctx, name)
	default:
		err = fmt.Errorf("no test knows the question %q", line)
	}
	return err
}

// counted returns how often each question is in a log of queries.
func counted(queries []string) map[string]int {
	times := make(map[string]int)
	for _, q := range queries {
		times[q]++
	}
	return times
}
