package reporter

import (
	"context"
	"sync"

	"dmarcgate/report/queue"
	"dmarcgate/results/pg"
)

// handle is the queue for bounces and for orders of people, opened when it is first used.
// The queue is open a second time for package sending, which closes its own after each
// error.
type handle struct {
	open  func(ctx context.Context) (queue.Store, error)
	place func() pg.Config

	mu    sync.Mutex  // guards what stands below
	store queue.Store // nil while it is closed
	at    pg.Config   // of store
}

// use calls f with the queue. After an error the next use opens the queue again.
func (h *handle) use(ctx context.Context, f func(queue.Store) error) error {
	store, err := h.get(ctx)
	if err != nil {
		return err
	}
	if err = f(store); err != nil {
		h.drop()
	}
	return err
}

func (h *handle) get(ctx context.Context) (queue.Store, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := h.place()
	if h.store != nil && h.at == at {
		return h.store, nil
	}
	h.close()
	store, err := h.open(ctx)
	if err == nil {
		h.store, h.at = store, at
	}
	return store, err
}

// drop closes the queue. A step that others make meanwhile fails, and changes nothing.
func (h *handle) drop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.close()
}

func (h *handle) close() {
	if h.store != nil {
		_ = h.store.Close() // what was committed is
		h.store = nil
	}
}
