package daemon

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

// prober keeps asking the name servers, and remembers the last answer for the
// readiness check.
type prober struct {
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

// run probes until ctx is done, once at once. Changes are logged, and a start
// without DNS.
func (p *prober) run(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
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

func (p *prober) note(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.err
	p.err, p.at = err, time.Now()
	switch {
	case err != nil && (before == nil || errors.Is(before, errNotProbed)):
		p.log.Error("no name server answers; mail is deferred, and after 30 s goes on as [temperror] ours says", "setting", p.setting, "err", err)
	case err == nil && before != nil && !errors.Is(before, errNotProbed):
		p.log.Info("name servers answer again")
	}
}

// noteServers logs each server that died or came back, that refuses queries or
// no longer does: while another answers, mail does not show it.
func (p *prober) noteServers() {
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

func (p *prober) noteServer(before, s dnscache.ServerStatus) {
	switch {
	case s.Down && !before.Down:
		p.log.Warn("a name server does not answer; it is passed over", "server", s.Address, "since", s.Since, "err", s.Err)
	case before.Down && !s.Down:
		p.log.Info("a name server answers again", "server", s.Address)
	}
	switch refuses, refused := !s.Refusing.IsZero(), !before.Refusing.IsZero(); {
	case refuses && !refused:
		p.log.Warn("a name server refuses queries, or drops them", "server", s.Address, "since", s.Refusing, "err", s.Refusal, "window", s.Window, "fix", admin.RefusalAdvice)
	case refused && !refuses:
		p.log.Info("a name server refuses no queries any more", "server", s.Address)
	}
}

// check is the readiness check.
func (p *prober) check(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// alive reports whether the loop comes round, whatever the answers were.
func (p *prober) alive(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if late := now.Sub(p.at); !p.at.IsZero() && late > 10*probeEvery {
		return fmt.Errorf("the name servers were last asked %v ago", late)
	}
	return nil
}
