package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"dmarcgate/config"
	"dmarcgate/enforce"
)

// maxNamesFile is the largest file of names that is read: our limit, enough for
// 16 names of 255 bytes on each of 200 listeners.
const maxNamesFile = 1 << 20

// namesPath is the file in which the names of MTAs outlive the daemon: explain
// and rules add work without it, and a forged field under the name of an MTA
// that has not connected since the start is removed, too.
func namesPath(cfg *config.Config) string { return filepath.Join(cfg.StateDir, "mta-names.json") }

// loadNames reads the names that MTAs have given. No file is no error.
func loadNames(path string) ([]enforce.MTAName, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []enforce.MTAName
	if err := json.NewDecoder(io.LimitReader(f, maxNamesFile)).Decode(&list); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

// readNames is loadNames where a file that cannot be read is logged: then no
// name is known.
func readNames(cfg *config.Config) *enforce.Names {
	list, err := loadNames(namesPath(cfg))
	if err != nil {
		slog.Warn("names of MTAs cannot be read", "err", err)
	}
	return enforce.NewNames(list, time.Now())
}

// saveWhole writes a value as JSON, the file as a whole, so that a reader sees
// the old one or the new one.
func saveWhole(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, append(text, '\n'), 0o640); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// openNames takes over the names of the last run.
func (d *daemon) openNames(cfg *config.Config) {
	d.names = readNames(cfg)
	changed := make(chan struct{}, 1)
	d.namesChanged = changed
	d.names.Changed = func() {
		select {
		case changed <- struct{}{}:
		default: // a change that is not written yet: this one goes with it
		}
	}
}

// keepNames writes the names when they have changed, until ctx is done.
func (d *daemon) keepNames(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			select {
			case <-d.namesChanged:
				d.saveNames()
			default:
			}
			return
		case <-d.namesChanged:
			d.saveNames()
		}
	}
}

func (d *daemon) saveNames() {
	if err := saveWhole(namesPath(d.state.first), d.names.All()); err != nil {
		d.log.Warn("names of MTAs cannot be written", "err", err)
	}
}

// local reports whether only this host can connect.
func local(sockets []net.Listener) bool {
	return !slices.ContainsFunc(sockets, func(ln net.Listener) bool { return ln.Addr().Network() != "unix" })
}

// namesOn returns the names of one listener.
func namesOn(all []enforce.MTAName, listener string) []string {
	var names []string
	for _, n := range all {
		if n.Listener == listener {
			names = append(names, n.Name)
		}
	}
	return names
}

// siteName is what the site is called: as configured, else as its MTA, else as
// this host.
func siteName(cfg *config.Config) string {
	if cfg.AuthservID != "" {
		return cfg.AuthservID
	}
	names := readNames(cfg)
	for _, l := range cfg.Listeners {
		if name := cmp.Or(l.AuthservID, names.Last(l.Name)); name != "" {
			return name
		}
	}
	return cfg.HostName()
}
