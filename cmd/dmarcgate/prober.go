package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"dmarcgate/dnscache"
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
	down    map[string]bool // by address: those that were dead the last time

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
		p.log.Error("no name server answers; mail goes on as [temperror] ours says", "setting", p.setting, "err", err)
	case err == nil && before != nil && !errors.Is(before, errNotProbed):
		p.log.Info("name servers answer again")
	}
}

// noteServers logs each server that died or came back: while another answers,
// mail does not show it.
func (p *prober) noteServers() {
	down := make(map[string]bool)
	for _, s := range p.servers() {
		down[s.Address] = s.Down
		switch before := p.down[s.Address]; {
		case s.Down && !before:
			p.log.Warn("a name server does not answer; it is passed over", "server", s.Address, "since", s.Since, "err", s.Err)
		case before && !s.Down:
			p.log.Info("a name server answers again", "server", s.Address)
		}
	}
	p.down = down
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
