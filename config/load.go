package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// maxFile is the largest configuration file read: our limit, far above one
// with ten thousand trusted networks, so that a wrong path (a mailbox, a
// device) fails at once.
const maxFile = 1 << 20

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
	r := reader{file: name, known: knownKeys, bad: map[string]bool{}}
	c := Default()
	if tree := r.toml(data); tree != nil {
		c.written = flattened(tree)
		r.listeners(tree, &c)
		r.table("", tree, fields(&c))
		r.verify(&c)
	}
	if len(r.errs.Problems) > 0 {
		r.errs.sort()
		return nil, &r.errs
	}
	c.file, c.lines = name, r.lines
	return &c, nil
}

// reader turns one file into a Config and collects what is wrong on the way.
type reader struct {
	file    string
	known   func() []string                        // every key of such a file, dotted
	explain func(table, name string) (fault, bool) // why there is no such key, for those that people try; may be nil
	lines   map[string]int                         // path of a key or list element to its line
	bad     map[string]bool                        // paths that have a problem already, or need none of their own
	wrong   []string                               // paths of the problems
	errs    Errors
}

// toml decodes data, or returns nil. TOML that is broken is reported once:
// what follows the first error cannot be trusted.
func (r *reader) toml(data []byte) map[string]any {
	if len(data) > maxFile {
		r.add("", fault{text: fmt.Sprintf("is larger than %v", Size(maxFile)), mend: "is this the right file?"})
		return nil
	}
	tree := map[string]any{}
	if err := toml.Unmarshal(data, &tree); err != nil {
		r.errs.Problems = append(r.errs.Problems, syntaxProblem(r.file, err))
		return nil
	}
	r.lines = keyLines(data)
	return tree
}

func syntaxProblem(file string, err error) Problem {
	p := Problem{File: file, Text: oneLine(strings.TrimPrefix(err.Error(), "toml: "))}
	var de *toml.DecodeError
	if !errors.As(err, &de) {
		return p
	}
	p.Line, _ = de.Position()
	if len(de.Key()) > 0 { // only what contradicts an earlier line has a key
		p.Mend = "write each key and each table once"
	} else {
		p.Mend = "texts, durations and sizes are written in double quotes"
	}
	return p
}

// listeners takes the [[listener]] tables out of tree.
func (r *reader) listeners(tree map[string]any, c *Config) {
	r.tables("", tree, "listener", func(at string, _ map[string]any) []field {
		c.Listeners = append(c.Listeners, defaultListener())
		return listenerFields(at, &c.Listeners[len(c.Listeners)-1])
	})
	r.tables("", tree, "trusted_relay", func(at string, _ map[string]any) []field {
		c.TrustedRelays = append(c.TrustedRelays, TrustedRelay{})
		return relayFields(at, &c.TrustedRelays[len(c.TrustedRelays)-1])
	})
}

// tables takes the [[name]] tables out of tree, which is the table at path;
// begin makes the fields of the next one.
func (r *reader) tables(path string, tree map[string]any, name string, begin func(at string, sub map[string]any) []field) {
	v, present := tree[name]
	delete(tree, name)
	if !present {
		return // validate misses what must be there
	}
	list, _ := v.([]any)
	path = join(path, name)
	for i, item := range list {
		sub, ok := item.(map[string]any)
		if !ok {
			list = nil
			break
		}
		at := element(path, i)
		r.table(at, sub, begin(at, sub))
	}
	if len(list) == 0 {
		r.add(path, fault{text: "is not a list of tables", mend: "write [[" + withoutIndexes(path) + "]], with two brackets, above its keys"})
	}
}

// table reads the values of the table at path and reports what is missing.
func (r *reader) table(path string, tree map[string]any, fields []field) {
	for name, v := range tree {
		r.entry(path, name, v, fields)
	}
	for _, f := range fields {
		name, inside := strings.CutPrefix(f.key, path+".")
		if _, present := tree[name]; inside && !present && f.required != "" && !r.bad[f.key] {
			r.add(f.key, fault{text: "is missing", mend: f.required})
		}
	}
}

// entry reads what table has under name: a field, a table of fields, or
// something unknown.
func (r *reader) entry(table, name string, v any, fields []field) {
	path, isTable := join(table, name), false
	for _, f := range fields {
		if f.key == path {
			if err := f.read(v); err != nil {
				r.add(path, err)
			}
			return
		}
		isTable = isTable || strings.HasPrefix(f.key, path+".")
	}
	sub, ok := v.(map[string]any)
	switch {
	case !isTable:
		r.unknown(table, name)
	case !ok:
		r.add(path, fault{text: "is not a table", mend: "write [" + withoutIndexes(path) + "] above its keys"})
	default:
		r.table(path, sub, fields)
	}
}

// unknown reports a key that is none.
func (r *reader) unknown(table, name string) {
	path := join(table, name)
	if r.explain != nil {
		if f, ok := r.explain(table, name); ok {
			r.add(path, f)
			return
		}
	}
	meant, err := unknown(r.known(), table, name)
	r.add(path, err)
	r.bad[join(table, meant)] = true // it is not missing too
}

// verify reports what validate finds in values that could be read, then
// derives the rest.
func (r *reader) verify(c *Config) {
	for _, f := range validate(c) {
		at := f.at
		f.at = ""
		if !r.bad[at] {
			r.add(at, f)
		}
	}
	for i := range c.Listeners {
		for _, key := range []string{"socket_mode", "socket_owner"} {
			at := join(element("listener", i), key)
			if _, written := r.lines[at]; written && c.Listeners[i].Address.Network != "unix" {
				r.add(at, fault{text: "has a meaning for unix: addresses only", mend: "remove it"})
			}
		}
	}
	if len(r.errs.Problems) > 0 {
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

func (r *reader) add(path string, err error) {
	f, ok := err.(fault)
	if !ok {
		f = fault{text: err.Error()}
	}
	if f.told {
		r.bad[path] = true
		return
	}
	f.at = path + f.at
	r.errs.add(r.problem(path, f))
	r.bad[path] = true
	r.wrong = append(r.wrong, path)
}

// problem is a fault at f.at, in the value of the key at path.
func (r *reader) problem(path string, f fault) Problem {
	line := r.line(f.at)
	if _, written := r.lines[path]; !written && f.or != "" {
		line = r.line(f.or)
	}
	return Problem{File: r.file, Line: line, Key: withoutIndexes(path), Text: f.text, Mend: f.mend, Code: f.code}
}

// line returns the line of path, or of the nearest table or list around it
// that is written in the file, or 0.
func (r *reader) line(path string) int {
	for path != "" {
		if n, ok := r.lines[path]; ok {
			return n
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return 0
}
