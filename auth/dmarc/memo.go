package dmarc

import (
	"context"
	"sync"
)

// Walks keeps what the names of one message's walks hold, so that walks that
// meet ask once. It is safe for several goroutines. Make one for each message:
// it never forgets, not even a failure, and it holds at most MaxWalk names for
// each author domain and each identifier.
//
// What messages have in common is the business of the resolver's cache, which
// knows how long an answer lives.
type Walks struct {
	mu     sync.Mutex
	known  map[string]Step
	flying map[string]chan struct{} // closed when a lookup ended, with a step or without
}

// step returns what is known of a domain. Else it asks; or waits, if somebody
// does so already.
func (w *Walks) step(ctx context.Context, domain string, ask func(context.Context, string) Step) Step {
	for {
		s, ended, mine := w.recall(domain)
		switch {
		case mine:
			return w.ask(ctx, domain, ask)
		case ended == nil:
			return s
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return Step{Domain: domain, Err: ctx.Err()}
		}
	}
}

// recall returns what is known of a domain, or a channel that ends the wait for
// it, or tells the caller to ask.
func (w *Walks) recall(domain string) (s Step, ended chan struct{}, mine bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s, ok := w.known[domain]; ok {
		return s, nil, false
	}
	if ended := w.flying[domain]; ended != nil {
		return Step{}, ended, false
	}
	if w.known == nil {
		w.known, w.flying = make(map[string]Step), make(map[string]chan struct{})
	}
	w.flying[domain] = make(chan struct{})
	return Step{}, nil, true
}

// ask lets the others go on whatever becomes of the lookup. One that its own
// walk gave up, past a stop, says nothing to them: they ask again.
func (w *Walks) ask(ctx context.Context, domain string, ask func(context.Context, string) Step) (s Step) {
	kept := false
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if kept {
			w.known[domain] = s
		}
		close(w.flying[domain])
		delete(w.flying, domain)
	}()
	s = ask(ctx, domain)
	kept = s.Err == nil || ctx.Err() == nil
	return s
}
