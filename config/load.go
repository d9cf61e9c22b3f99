package config

import (
	"fmt"
	"io"
	"os"

	"dmarcgate/config/tomlfile"
)

// Load reads the file at path. The error is *Errors for what the file says,
// and *FileError when it cannot be read.
func Load(path string) (*Config, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, &FileError{err}
	}
	return Parse(path, data)
}

// FileError is a configuration file that cannot be read: it is not there, or
// its permissions do not allow it.
type FileError struct{ err error }

// Error names the file, the cause and the fix.
func (e *FileError) Error() string {
	return fmt.Sprintf("configuration: %v; name another file with --config", e.err)
}

// Unwrap returns the error of the system.
func (e *FileError) Unwrap() error { return e.err }

// readFile returns what the file holds, and no more of it than shows that it
// is too large.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, tomlfile.MaxFile+1))
}

// Parse reads a configuration. name stands for the file in problems. The error
// is always *Errors.
func Parse(name string, data []byte) (*Config, error) {
	r := tomlfile.NewReader(name, Keys, nil)
	c := Default()
	if tree := r.Decode(data); tree != nil {
		c.written = flattened(tree)
		listeners(r, tree, &c)
		r.Table("", tree, fields(&c))
		verify(r, &c)
	}
	if err := r.Failure(); err != nil {
		return nil, err
	}
	c.source = r.Places
	return &c, nil
}

// listeners takes the tables that repeat out of tree: [[listener]],
// [[trusted_relay]] and [[reports.destination]].
func listeners(r *tomlfile.Reader, tree map[string]any, c *Config) {
	r.Tables("", tree, "listener", func(at string, _ map[string]any) []tomlfile.Field {
		c.Listeners = append(c.Listeners, defaultListener())
		return listenerFields(at, &c.Listeners[len(c.Listeners)-1])
	})
	r.Tables("", tree, "trusted_relay", func(at string, _ map[string]any) []tomlfile.Field {
		c.TrustedRelays = append(c.TrustedRelays, TrustedRelay{})
		return relayFields(at, &c.TrustedRelays[len(c.TrustedRelays)-1])
	})
	if reports, ok := tree["reports"].(map[string]any); ok {
		r.Tables("reports", reports, "destination", func(at string, _ map[string]any) []tomlfile.Field {
			c.Reports.Destinations = append(c.Reports.Destinations, ReportDestination{})
			return destinationFields(at, &c.Reports.Destinations[len(c.Reports.Destinations)-1])
		})
	}
}

// verify reports what validate finds in values that could be read, then
// derives the rest.
func verify(r *tomlfile.Reader, c *Config) {
	for _, f := range validate(c) {
		at := f.At
		f.At = ""
		if !r.Spoilt(at) {
			r.Add(at, f)
		}
	}
	for i := range c.Listeners {
		for _, key := range []string{"socket_mode", "socket_owner"} {
			at := tomlfile.Join(tomlfile.Element("listener", i), key)
			if r.Written(at) && c.Listeners[i].Address.Network != "unix" {
				r.Add(at, tomlfile.Fault{Text: "has a meaning for unix: addresses only", Fix: "remove it"})
			}
		}
	}
	if r.Failure() != nil {
		return
	}
	if err := c.derive(); err != nil {
		r.Add("authserv_id", err)
	}
	var found tomlfile.Errors
	for _, f := range warnings(c) {
		found.Add(r.Problem(f.At, f))
	}
	found.Sort()
	c.warnings = found.Problems
}
