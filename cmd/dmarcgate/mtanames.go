package main

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"slices"

	"dmarcgate/config"
	"dmarcgate/enforce"
	"dmarcgate/site"
)

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
	d.names = site.ReadNames(cfg)
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
	if err := saveWhole(site.NamesPath(d.state.first), d.names.All()); err != nil {
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
