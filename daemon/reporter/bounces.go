package reporter

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"dmarcgate/config"
	"dmarcgate/milter"
	"dmarcgate/report/bounce"
	"dmarcgate/report/queue"
	"dmarcgate/report/sending"
)

// bouncesEvery is how long mail in the maildir waits at most.
const bouncesEvery = time.Minute

// bounceMode is the mode of the socket for bounces: the MTA is in the daemon's group.
const bounceMode = 0o660

// bounces takes bounces for a reporter.
type bounces struct {
	*Reporter
	wg     sync.WaitGroup
	stop   context.CancelFunc // of the listener; nil while there is none
	at     config.Address     // of the listener
	intake bounce.Intake      // of the listener
	failed atomic.Bool        // the listener has ended by itself
}

// run takes bounces until ctx ends, while sending is on.
func (b *bounces) run(ctx context.Context) {
	defer b.end()
	for ctx.Err() == nil {
		if err := b.turn(ctx); err != nil && ctx.Err() == nil {
			b.Log.Error("reports: cannot take bounces; next attempt in a minute", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-b.wake[1]:
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
	if cfg.BounceListen == (config.Address{}) {
		b.end()
	}
	if cfg.BounceListen == (config.Address{}) && cfg.BounceMaildir == "" {
		return nil
	}
	in := bounce.Intake{Domain: cfg.BounceDomain, Handle: b.handle}
	if err := b.queue.use(ctx, func(q queue.Store) (err error) { in.Key, err = sending.Key(ctx, q); return err }); err != nil {
		return err
	}
	if err := b.listen(ctx, in, cfg.BounceListen); err != nil {
		return err
	}
	if cfg.BounceMaildir == "" {
		return nil
	}
	_, err := in.Sweep(ctx, cfg.BounceMaildir)
	return err
}

// listen serves LMTP until end, or until ctx ends. A listener that serves already stays,
// unless the address, the domain or the key of return paths has changed.
func (b *bounces) listen(ctx context.Context, in bounce.Intake, at config.Address) error {
	if b.stop != nil && b.at == at && b.intake.Domain == in.Domain && b.intake.Key.Equal(in.Key) && !b.failed.Load() {
		return nil
	}
	b.end()
	if at == (config.Address{}) {
		return nil
	}
	l, err := milter.Socket{Network: at.Network, Addr: at.Addr, Mode: bounceMode, UID: -1, GID: -1}.Listen()
	if err != nil {
		return err
	}
	ctx, b.stop = context.WithCancel(ctx)
	b.at, b.intake = at, in
	b.failed.Store(false)
	b.Log.Info("listening for bounces of reports", "address", at.String())
	b.wg.Go(func() {
		if err := in.Serve(ctx, l, b.Log); err != nil {
			b.Log.Error("reports: listener for bounces failed; next attempt in a minute", "err", err)
			b.failed.Store(true)
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
	b.stop = nil
}

// handle stores a bounce. After an error the MTA brings it again.
func (b *bounces) handle(ctx context.Context, x bounce.Bounce) error {
	return b.queue.use(ctx, func(q queue.Store) error { return sending.Bounced(q, b.Metrics)(ctx, x) })
}
