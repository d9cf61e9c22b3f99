package config

import (
	"fmt"
	"io"
	"os"
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
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}

// Parse reads a configuration. name stands for the file in problems. The error
// is always *Errors.
func Parse(name string, data []byte) (*Config, error) {
	r := newReader(name, Keys, nil)
	c := Default()
	if tree := r.toml(data); tree != nil {
		c.written = flattened(tree)
		listeners(r, tree, &c)
		r.table("", tree, fields(&c))
		verify(r, &c)
	}
	if err := r.failure(); err != nil {
		return nil, err
	}
	c.source = r.keyPlaces
	return &c, nil
}

// listeners takes the [[listener]] tables out of tree.
func listeners(r *reader, tree map[string]any, c *Config) {
	r.tables("", tree, "listener", func(at string, _ map[string]any) []field {
		c.Listeners = append(c.Listeners, defaultListener())
		return listenerFields(at, &c.Listeners[len(c.Listeners)-1])
	})
	r.tables("", tree, "trusted_relay", func(at string, _ map[string]any) []field {
		c.TrustedRelays = append(c.TrustedRelays, TrustedRelay{})
		return relayFields(at, &c.TrustedRelays[len(c.TrustedRelays)-1])
	})
}

// verify reports what validate finds in values that could be read, then
// derives the rest.
func verify(r *reader, c *Config) {
	for _, f := range validate(c) {
		at := f.at
		f.at = ""
		if !r.spoilt(at) {
			r.add(at, f)
		}
	}
	for i := range c.Listeners {
		for _, key := range []string{"socket_mode", "socket_owner"} {
			at := join(element("listener", i), key)
			if r.written(at) && c.Listeners[i].Address.Network != "unix" {
				r.add(at, fault{text: "has a meaning for unix: addresses only", mend: "remove it"})
			}
		}
	}
	if r.failure() != nil {
		return
	}
	if err := c.derive(); err != nil {
		r.add("authserv_id", err)
	}
	var found Errors
	for _, f := range warnings(c) {
		found.add(r.problem(f.at, f))
	}
	found.sort()
	c.warnings = found.Problems
}
