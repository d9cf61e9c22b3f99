package nameservers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"dmarcgate/admin"
	"dmarcgate/dnscache"
	"dmarcgate/metrics"
)

// probeEvery is how often the name servers are asked whether they are there.
// The answers also tell a domain whose DNS is dead from a resolver that is:
// on a quiet host nothing else would have been asked lately.
const probeEvery = 5 * time.Second

// Prober keeps asking the name servers, and remembers the last answer for the
// readiness check.
type Prober struct {
	probe   func(context.Context) error
	log     *slog.Logger
	setting string // what becomes of mail meanwhile
	servers func() []dnscache.ServerStatus
	metrics *metrics.Metrics
	before  map[string]dnscache.ServerStatus // by address: as of the last round

	mu  sync.Mutex // guards what follows
	err error
	at  time.Time // of the last round
}

var errNotProbed = errors.New("not asked yet")

// NewProber makes the prober of a resolver. setting is what becomes of mail while
// no server answers, a word of [temperror].
func NewProber(dns *dnscache.Resolver, setting string, log *slog.Logger, m *metrics.Metrics) *Prober {
	return &Prober{probe: dns.Probe, log: log, setting: setting, servers: dns.Servers, metrics: m, err: errNotProbed}
}

// Run probes every few seconds until ctx is done, the first time at once. Changes are logged, and a start
// without DNS.
func (p *Prober) Run(ctx context.Context) {
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	for {
		err := p.probe(ctx)
		if ctx.Err() != nil {
			return
		}
		p.note(err)
		p.noteServers()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (p *Prober) note(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.err
	p.err, p.at = err, time.Now()
	switch {
	case err != nil && (before == nil || errors.Is(before, errNotProbed)):
		p.log.Error("no name server answers: deferring mail; after 30 s [temperror] ours applies", "setting", p.setting, "err", err)
	case err == nil && before != nil && !errors.Is(before, errNotProbed):
		p.log.Info("name servers answer again")
	}
}

// noteServers logs each server that died or came back, that refuses queries or
// no longer does: while another answers, mail does not show it.
func (p *Prober) noteServers() {
	now := make(map[string]dnscache.ServerStatus)
	for _, s := range p.servers() {
		now[s.Address] = s
		p.noteServer(p.before[s.Address], s)
		p.metrics.NameServer(s.Address, s.Window, s.InFlight+s.GivenUp, !s.Refusing.IsZero(), s.Down)
	}
	for address := range p.before {
		if _, ok := now[address]; !ok {
			p.metrics.NameServerGone(address)
		}
	}
	p.before = now
}

func (p *Prober) noteServer(before, s dnscache.ServerStatus) {
	switch {
	case s.Down && !before.Down:
		p.log.Warn("name server does not answer; skipped", "server", s.Address, "since", s.Since, "err", s.Err)
	case before.Down && !s.Down:
		p.log.Info("name server answers again", "server", s.Address)
	}
	switch refuses, refused := !s.Refusing.IsZero(), !before.Refusing.IsZero(); {
	case refuses && !refused:
		p.log.Warn("name server refuses or drops queries", "server", s.Address, "since", s.Refusing, "err", s.Refusal, "window", s.Window, "fix", admin.RefusalAdvice)
	case refused && !refuses:
		p.log.Info("name server accepts queries again", "server", s.Address)
	}
}

// Check is the readiness check.
func (p *Prober) Check(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Alive reports whether the loop comes round, whatever the answers were.
func (p *Prober) Alive(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if late := now.Sub(p.at); !p.at.IsZero() && late > 10*probeEvery {
		return fmt.Errorf("the name servers were last asked %v ago", late)
	}
	return nil
}
