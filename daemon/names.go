package daemon

import (
	"context"
	"encoding/json"
	"os"

	"dmarcgate/config"
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
func (d *Daemon) openNames(cfg *config.Config) {
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
func (d *Daemon) keepNames(ctx context.Context) {
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

func (d *Daemon) saveNames() {
	if err := saveWhole(site.NamesPath(d.state.first), d.names.All()); err != nil {
		d.log.Warn("cannot save MTA names", "err", err)
	}
}
