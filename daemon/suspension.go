package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"dmarcgate/admin"
	"dmarcgate/config"
)

const (
	// maxSuspensionFile is the largest file of an order that is read: our limit,
	// far above one with the longest names.
	maxSuspensionFile = 4 << 10
	// suspensionEvery is how long the daemon waits at most before it looks at the
	// clock again: a timer stands still while the host sleeps, and does not see
	// that the clock was set.
	suspensionEvery = 10 * time.Second
)

// suspensionPath is the file in which an order outlives the daemon.
func suspensionPath(cfg *config.Config) string { return filepath.Join(cfg.StateDir, "monitor.json") }

// loadSuspension reads an order. No file is none; nil is none, too.
func loadSuspension(path string) (*admin.Monitoring, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var m admin.Monitoring
	if err := json.NewDecoder(io.LimitReader(f, maxSuspensionFile)).Decode(&m); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &m, nil
}

// saveSuspension writes the file as a whole, or removes it for nil.
func saveSuspension(path string, m *admin.Monitoring) error {
	if m == nil {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return saveWhole(path, m)
}

// openSuspension takes over an order of the last run. One that no order can be,
// because the clock was wrong or somebody wrote the file, ends after the longest
// time.
func (d *Daemon) openSuspension(cfg *config.Config) {
	now := wallClock()
	m, err := loadSuspension(suspensionPath(cfg))
	switch {
	case err != nil:
		d.log.Error("cannot read the state of dmarcgate monitor; enforcing the configured profiles", "err", err)
		return
	case m == nil:
		return
	case !m.Until.After(now):
		d.log.Info("dmarcgate monitor expired while the daemon was stopped; enforcing the configured profiles",
			"until", m.Until, "by", m.By)
		d.keepSuspension(nil)
		return
	}
	if last := now.Add(admin.MaxMonitor); m.Until.After(last) {
		m.Until = last
	}
	d.state.suspension = m
	d.metrics.Suspended(m.Until)
	d.log.Warn("enforcement still suspended by dmarcgate monitor", "until", m.Until, "by", m.By)
}

// Watch implements admin.Monitor: from now on no listener enforces anything.
// Messages that have begun are finished as they began. That the order cannot be
// written down does not keep it from being followed.
func (d *Daemon) Watch(by string, span time.Duration) admin.Monitoring {
	now := wallClock().UTC().Truncate(time.Second)
	m := admin.Monitoring{Since: now, Until: now.Add(span), By: by}
	d.reloading.Lock()
	defer d.reloading.Unlock()
	ordered := m
	d.suspend(&ordered)
	d.log.Warn("enforcement suspended by dmarcgate monitor", "until", m.Until, "by", by)
	if err := d.keepSuspension(&m); err != nil {
		m.Warning = "a restart ends the suspension: " + err.Error()
		told := m
		d.suspend(&told) // for status
	}
	select {
	case d.suspensionChanged <- struct{}{}:
	default: // the loop has not yet seen the change before: it sees this one with it
	}
	return m
}

// Enforce implements admin.Monitor.
func (d *Daemon) Enforce(by string) *admin.Monitoring {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	return d.resume(by)
}

// resume ends an order, if there is one, and returns it. d.reloading is held.
func (d *Daemon) resume(by string) *admin.Monitoring {
	m := d.suspension()
	if m == nil {
		return nil
	}
	d.suspend(nil)
	d.log.Warn("dmarcgate monitor ended; enforcing the configured profiles", "by", by)
	_ = d.keepSuspension(nil) // logged; what remains has an end
	return m
}

// suspend gives every listener the settings of an order, nil for none.
// d.reloading is held.
func (d *Daemon) suspend(m *admin.Monitoring) {
	d.mu.Lock()
	d.state.suspension = m
	d.mu.Unlock()
	for _, g := range d.listeners {
		g.use(g.configured, m)
	}
	var until time.Time
	if m != nil {
		until = m.Until
	}
	d.metrics.Suspended(until)
}

// suspension returns the order that is followed, or nil.
func (d *Daemon) suspension() *admin.Monitoring {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.state.suspension
}

// keepSuspension writes an order down.
func (d *Daemon) keepSuspension(m *admin.Monitoring) error {
	err := saveSuspension(suspensionPath(d.state.first), m)
	if err != nil {
		d.log.Error("cannot save the state of dmarcgate monitor", "err", err)
	}
	return err
}

// endSuspensions ends orders when their time is over, until ctx is done.
func (d *Daemon) endSuspensions(ctx context.Context) {
	for {
		timer := time.NewTimer(d.suspensionRest(wallClock()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-d.suspensionChanged:
			timer.Stop()
		case <-timer.C:
		}
		d.endSuspension(wallClock())
	}
}

// suspensionRest is how long to wait before the next look at the clock.
func (d *Daemon) suspensionRest(now time.Time) time.Duration {
	m := d.suspension()
	if m == nil {
		return suspensionEvery
	}
	return max(0, min(suspensionEvery, m.Until.Sub(now)))
}

// endSuspension ends an order whose time is over.
func (d *Daemon) endSuspension(now time.Time) {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	if m := d.suspension(); m != nil && !m.Until.After(now) {
		d.resume("time expired")
	}
}
