package reporter

import (
	"context"
	"sync"
	"time"

	"dmarcgate/config"
	"dmarcgate/milter"
	"dmarcgate/report/bounce"
	"dmarcgate/report/queue"
	"dmarcgate/report/sending"
)

// bouncesEvery is how long a change of [reports] and mail in the maildir wait at most.
const bouncesEvery = time.Minute

// bounceMode is the mode of the socket for bounces: the MTA is in the daemon's group.
const bounceMode = 0o660

// bounces takes bounces for a reporter, with a queue of its own.
type bounces struct {
	*Reporter
	wg   sync.WaitGroup
	stop context.CancelFunc // of the listener; nil while there is none
	at   config.Address     // of the listener

	mu    sync.Mutex  // guards what stands below
	store queue.Store // nil while it is closed
}

// run takes bounces until ctx ends, while sending is on.
func (b *bounces) run(ctx context.Context) {
	defer b.drop()
	defer b.end()
	for ctx.Err() == nil {
		if err := b.turn(ctx); err != nil && ctx.Err() == nil {
			b.Log.Error("reports: cannot take bounces; next attempt in a minute", "err", err)
			b.drop()
		}
		select {
		case <-ctx.Done():
		case <-time.After(bouncesEvery):
		}
	}
}

// turn follows the configuration, and takes what is in the maildir.
func (b *bounces) turn(ctx context.Context) error {
	cfg := b.Inputs().Config.Reports
	if !cfg.Send || cfg.BounceDomain == "" {
		cfg.BounceListen, cfg.BounceMaildir = config.Address{}, ""
	}
	if b.at != cfg.BounceListen {
		b.end()
	}
	if b.stop != nil && cfg.BounceMaildir == "" || cfg.BounceListen == (config.Address{}) && cfg.BounceMaildir == "" {
		return nil
	}
	in, err := b.intake(ctx, cfg.BounceDomain)
	if err != nil {
		return err
	}
	if b.stop == nil && cfg.BounceListen != (config.Address{}) {
		if err := b.listen(ctx, in, cfg.BounceListen); err != nil {
			return err
		}
	}
	if cfg.BounceMaildir != "" {
		_, err = in.Sweep(ctx, cfg.BounceMaildir)
	}
	return err
}

// intake knows the return paths of the queue.
func (b *bounces) intake(ctx context.Context, domain string) (bounce.Intake, error) {
	store, err := b.open(ctx)
	if err != nil {
		return bounce.Intake{}, err
	}
	key, err := sending.Key(ctx, store)
	return bounce.Intake{Key: key, Domain: domain, Handle: b.handle}, err
}

// listen serves LMTP until end, or until ctx ends.
func (b *bounces) listen(ctx context.Context, in bounce.Intake, at config.Address) error {
	l, err := milter.Socket{Network: at.Network, Addr: at.Addr, Mode: bounceMode, UID: -1, GID: -1}.Listen()
	if err != nil {
		return err
	}
	ctx, b.stop = context.WithCancel(ctx)
	b.at = at
	b.Log.Info("listening for bounces of reports", "address", at.String())
	b.wg.Go(func() {
		if err := in.Serve(ctx, l, b.Log); err != nil {
			b.Log.Error("reports: listener for bounces failed", "err", err)
		}
	})
	return nil
}

// end ends the listener.
func (b *bounces) end() {
	if b.stop != nil {
		b.stop()
		b.wg.Wait()
	}
	b.stop, b.at = nil, config.Address{}
}

// open opens the queue when it is closed.
func (b *bounces) open(ctx context.Context) (queue.Store, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.store != nil {
		return b.store, nil
	}
	store, err := b.queue(ctx)
	if err == nil {
		b.store = store
	}
	return store, err
}

// drop closes the queue, so that the next use opens it again.
func (b *bounces) drop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.store != nil {
		_ = b.store.Close() // what was committed is
		b.store = nil
	}
}

// handle stores a bounce. After an error the MTA brings it again.
func (b *bounces) handle(ctx context.Context, x bounce.Bounce) error {
	store, err := b.open(ctx)
	if err != nil {
		return err
	}
	if err = sending.Bounced(store, b.Metrics)(ctx, x); err != nil {
		b.drop()
	}
	return err
}
