package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// maxFile is the largest configuration file read: our limit, far above one
// with ten thousand trusted networks, so that a wrong path (a mailbox, a
// device) fails at once.
const maxFile = 1 << 20

// reader turns one file into a Config and collects what is wrong on the way.
type reader struct {
	keyPlaces
	known   func() []string                        // every key of such a file, dotted
	explain func(table, name string) (fault, bool) // why there is no such key, for those that people try; may be nil
	bad     map[string]bool                        // paths that have a problem already, or need none of their own
	wrong   []string                               // paths of the problems
	errs    Errors
}

// keyPlaces is a file and where its keys stand.
type keyPlaces struct {
	file  string
	lines map[string]int // path of a key or list element to its line
}

// newReader begins to read a file. known returns every key of such a file, dotted.
// explain says of a key that is not among them, in a table (dotted, without
// indexes), why there is no such key; it may be nil.
func newReader(file string, known func() []string, explain func(table, name string) (fault, bool)) *reader {
	return &reader{keyPlaces: keyPlaces{file: file}, known: known, explain: explain, bad: make(map[string]bool)}
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
		if f, ok := r.explain(withoutIndexes(table), name); ok {
			r.add(path, f)
			return
		}
	}
	meant, err := unknown(r.known(), table, name)
	r.add(path, err)
	r.spoil(join(table, meant)) // it is not missing too
}

func (r *reader) add(path string, err error) {
	f, ok := err.(fault)
	if !ok {
		f = fault{text: err.Error()}
	}
	r.spoil(path)
	if f.told {
		return
	}
	f.at = path + f.at
	r.errs.add(r.problem(path, f))
	r.wrong = append(r.wrong, path)
}

// problem is a fault at f.at, in the value of the key at path.
func (p keyPlaces) problem(path string, f fault) Problem {
	line := p.line(f.at)
	if !p.written(path) && f.or != "" {
		line = p.line(f.or)
	}
	return Problem{File: p.file, Line: line, Key: withoutIndexes(path), Text: f.text, Mend: f.mend, Code: f.code}
}

// line returns the line of path, or of the nearest table or list around it
// that is written in the file, or 0.
func (p keyPlaces) line(path string) int {
	for path != "" {
		if n, ok := p.lines[path]; ok {
			return n
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return 0
}

// check reports what is wrong with the values that have been read.
func (r *reader) check(fields []field) {
	for _, f := range fields {
		if f.check == nil || r.bad[f.key] || !r.written(f.key) {
			continue
		}
		if err := f.check(); err != nil {
			r.add(f.key, err)
		}
	}
}

// written reports whether the file has the key.
func (p keyPlaces) written(path string) bool {
	_, ok := p.lines[path]
	return ok
}

// badWithin reports whether path, or a key below it, has a problem already.
func (r *reader) badWithin(path string) bool {
	for bad := range r.bad {
		if bad == path || strings.HasPrefix(bad, path+".") {
			return true
		}
	}
	return false
}

// spoil notes that the value at path cannot be used, and needs no other problem.
func (r *reader) spoil(path string) {
	r.bad[path] = true
}

// spoilt reports whether the value at path has a problem already.
func (r *reader) spoilt(path string) bool { return r.bad[path] }

// failure returns the problems by line, nil when there are none.
func (r *reader) failure() error {
	if len(r.errs.Problems) == 0 {
		return nil
	}
	r.errs.sort()
	return &r.errs
}
