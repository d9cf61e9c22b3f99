package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
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
