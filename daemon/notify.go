package daemon

import (
	"context"
	"log/slog"
	"net"
	"os"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
)

// notifier tells systemd what the daemon does (sd_notify(3)). It keeps its
// socket: where no descriptor is free, none can be opened, and systemd would
// kill a daemon that works. The zero value is without systemd and tells nobody.
type notifier struct{ conn net.Conn }

// newNotifier opens the socket that systemd names. Without it the daemon works,
// so a failure is only logged.
func newNotifier(log *slog.Logger) notifier {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return notifier{}
	}
	conn, err := net.Dial("unixgram", path) // "@" begins an abstract name here, too
	if err != nil {
		log.Error("cannot notify systemd of readiness", "err", err)
		return notifier{}
	}
	return notifier{conn}
}

func (n notifier) tell(state string) {
	if n.conn != nil {
		_, _ = n.conn.Write([]byte(state)) // systemd is not there any more
	}
}

func (n notifier) close() {
	if n.conn != nil {
		n.conn.Close()
	}
}

func (n notifier) ready()    { n.tell(systemd.SdNotifyReady) }
func (n notifier) stopping() { n.tell(systemd.SdNotifyStopping) }

// reloading carries the time, without which Type=notify-reload waits in vain.
func (n notifier) reloading() {
	n.tell(systemd.SdNotifyReloading + "\n" + systemd.SdNotifyMonotonicUsec())
}

// watchdog tells systemd that the loops turn: every listener accepts and a
// session answers, and the prober comes round. It does not ask whether DNS
// answers or the disk has room: a restart would fix neither.
func (d *Daemon) watchdog(ctx context.Context) {
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
			d.log.Error("health check failed; withholding systemd watchdog ping", "err", err)
			continue
		}
		d.notify.tell(systemd.SdNotifyWatchdog)
	}
}

// alive reports whether the loops turn.
func (d *Daemon) alive(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for _, g := range d.listeners {
		if err := g.server.Alive(ctx); err != nil {
			return err
		}
	}
	return d.prober.Alive(time.Now())
}
