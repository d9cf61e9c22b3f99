package site

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"dmarcgate/config"
	"dmarcgate/enforce"
)

// MaxNamesFile is the largest file of names that is read: our limit, enough for
// 16 names of 255 bytes on each of 200 listeners.
const MaxNamesFile = 1 << 20

// NamesPath is the file in which the names of MTAs outlive the daemon: explain
// and rules add work without it, and a forged field under the name of an MTA
// that has not connected since the start is removed, too.
func NamesPath(cfg *config.Config) string { return filepath.Join(cfg.StateDir, "mta-names.json") }

// LoadNames reads the names that MTAs have given. No file is no error.
func LoadNames(path string) ([]enforce.MTAName, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []enforce.MTAName
	if err := json.NewDecoder(io.LimitReader(f, MaxNamesFile)).Decode(&list); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

// ReadNames is LoadNames where a file that cannot be read is logged: then no
// name is known.
func ReadNames(cfg *config.Config) *enforce.Names {
	list, err := LoadNames(NamesPath(cfg))
	if err != nil {
		slog.Warn("cannot read MTA names", "err", err)
	}
	return enforce.NewNames(list, time.Now())
}

// Name is what the site is called: as configured, else as its MTA, else as
// this host.
func Name(cfg *config.Config) string {
	if cfg.AuthservID != "" {
		return cfg.AuthservID
	}
	names := ReadNames(cfg)
	for _, l := range cfg.Listeners {
		if name := cmp.Or(l.AuthservID, names.Last(l.Name)); name != "" {
			return name
		}
	}
	return cfg.HostName()
}
