package main

import (
	"context"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
)

// Without systemd, notifications go nowhere and cannot fail.

func notifyReady()    { _, _ = systemd.SdNotify(false, systemd.SdNotifyReady) }
func notifyStopping() { _, _ = systemd.SdNotify(false, systemd.SdNotifyStopping) }

// notifyReloading carries the time, without which Type=notify-reload waits in
// vain.
func notifyReloading() {
	_, _ = systemd.SdNotify(false, systemd.SdNotifyReloading+"\n"+systemd.SdNotifyMonotonicUsec())
}

// watchdog tells systemd that the loops turn: every listener accepts and a
// session answers, and the prober comes round. It does not ask whether DNS
// answers or the disk has room: a restart would mend neither.
func (d *daemon) watchdog(ctx context.Context) {
	interval, err := systemd.SdWatchdogEnabled(false)
	if err != nil || interval <= 0 {
		return
	}
	ticker := time.NewTicker(interval / 2)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := d.alive(ctx, interval/4); err != nil {
			d.log.Error("a loop does not turn; systemd is not told that all is well", "err", err)
			continue
		}
		_, _ = systemd.SdNotify(false, systemd.SdNotifyWatchdog)
	}
}

// alive reports whether the loops turn.
func (d *daemon) alive(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for _, g := range d.gates {
		if err := g.server.Alive(ctx); err != nil {
			return err
		}
	}
	return d.prober.alive(time.Now())
}
