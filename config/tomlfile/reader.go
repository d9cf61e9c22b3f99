package tomlfile

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// MaxFile is the largest file read, in bytes: our limit, far above one
// with ten thousand trusted networks, so that a wrong path (a mailbox, a
// device) fails at once.
const MaxFile = 1 << 20

// Reader reads one file into values and collects what is wrong on the way.
type Reader struct {
	Places
	Wrong []string // paths of the problems
	Errs  Errors

	known   func() []string
	explain func(table, name string) (Fault, bool) // may be nil
	bad     map[string]bool                        // paths that have a problem already, or need none of their own
}

// Places is a file and where its keys stand.
type Places struct {
	File  string
	lines map[string]int // path of a key or list element to its line
}

// NewReader begins to read a file. known returns every key of such a file, dotted.
// explain says of a key that is not among them, in a table (dotted, without
// indexes), why there is no such key; it may be nil.
func NewReader(file string, known func() []string, explain func(table, name string) (Fault, bool)) *Reader {
	return &Reader{Places: Places{File: file}, known: known, explain: explain, bad: make(map[string]bool)}
}

// Decode decodes data, or returns nil. TOML that is broken is reported once:
// what follows the first error cannot be trusted.
func (r *Reader) Decode(data []byte) map[string]any {
	if len(data) > MaxFile {
		r.Add("", Fault{Text: fmt.Sprintf("is larger than %v", Size(MaxFile)), Fix: "is this the right file?"})
		return nil
	}
	tree := map[string]any{}
	if err := toml.Unmarshal(data, &tree); err != nil {
		r.Errs.Problems = append(r.Errs.Problems, syntaxProblem(r.File, err))
		return nil
	}
	r.lines = keyLines(data)
	return tree
}

func syntaxProblem(file string, err error) Problem {
	p := Problem{File: file, Text: OneLine(strings.TrimPrefix(err.Error(), "toml: "))}
	var de *toml.DecodeError
	if !errors.As(err, &de) {
		return p
	}
	p.Line, _ = de.Position()
	if len(de.Key()) > 0 { // only what contradicts an earlier line has a key
		p.Fix = "write each key and each table once"
	} else {
		p.Fix = "texts, durations and sizes are written in double quotes"
	}
	return p
}

// Tables takes the [[name]] tables out of tree, which is the table at path;
// begin makes the fields of the next one.
func (r *Reader) Tables(path string, tree map[string]any, name string, begin func(at string, sub map[string]any) []Field) {
	v, present := tree[name]
	delete(tree, name)
	if !present {
		return // validate misses what must be there
	}
	list, _ := v.([]any)
	path = Join(path, name)
	for i, item := range list {
		sub, ok := item.(map[string]any)
		if !ok {
			list = nil
			break
		}
		at := Element(path, i)
		r.Table(at, sub, begin(at, sub))
	}
	if len(list) == 0 {
		r.Add(path, Fault{Text: "is not a list of tables", Fix: "write [[" + withoutIndexes(path) + "]], with two brackets, above its keys"})
	}
}

// Table reads the values of the table at path and reports what is missing.
func (r *Reader) Table(path string, tree map[string]any, fields []Field) {
	for name, v := range tree {
		r.entry(path, name, v, fields)
	}
	for _, f := range fields {
		name, inside := strings.CutPrefix(f.Key, path+".")
		if _, present := tree[name]; inside && !present && f.required != "" && !r.bad[f.Key] {
			r.Add(f.Key, Fault{Text: "is missing", Fix: f.required})
		}
	}
}

// entry reads what table has under name: a field, a table of fields, or
// something unknown.
func (r *Reader) entry(table, name string, v any, fields []Field) {
	path, isTable := Join(table, name), false
	for _, f := range fields {
		if f.Key == path {
			if err := f.Read(v); err != nil {
				r.Add(path, err)
			}
			return
		}
		isTable = isTable || strings.HasPrefix(f.Key, path+".")
	}
	sub, ok := v.(map[string]any)
	switch {
	case !isTable:
		r.unknown(table, name)
	case !ok:
		r.Add(path, Fault{Text: "is not a table", Fix: "write [" + withoutIndexes(path) + "] above its keys"})
	default:
		r.Table(path, sub, fields)
	}
}

// unknown reports a key that is none.
func (r *Reader) unknown(table, name string) {
	path := Join(table, name)
	if r.explain != nil {
		if f, ok := r.explain(withoutIndexes(table), name); ok {
			r.Add(path, f)
			return
		}
	}
	meant, err := unknown(r.known(), table, name)
	r.Add(path, err)
	r.spoil(Join(table, meant)) // it is not missing too
}

// Add reports a fault, or another error, in the value at path.
func (r *Reader) Add(path string, err error) {
	f, ok := err.(Fault)
	if !ok {
		f = Fault{Text: err.Error()}
	}
	r.spoil(path)
	if f.Told {
		return
	}
	f.At = path + f.At
	r.Errs.Add(r.Problem(path, f))
	r.Wrong = append(r.Wrong, path)
}

// Problem is a fault at f.at, in the value of the key at path.
func (p Places) Problem(path string, f Fault) Problem {
	line := p.Line(f.At)
	if !p.Written(path) && f.Or != "" {
		line = p.Line(f.Or)
	}
	return Problem{File: p.File, Line: line, Key: withoutIndexes(path), Text: f.Text, Fix: f.Fix, Code: f.Code}
}

// Line returns the line of path, or of the nearest table or list around it
// that is written in the file, or 0.
func (p Places) Line(path string) int {
	for path != "" {
		if n, ok := p.lines[path]; ok {
			return n
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return 0
}

// Check reports what is wrong with the values that have been read.
func (r *Reader) Check(fields []Field) {
	for _, f := range fields {
		if f.Check == nil || r.bad[f.Key] || !r.Written(f.Key) {
			continue
		}
		if err := f.Check(); err != nil {
			r.Add(f.Key, err)
		}
	}
}

// Written reports whether the file has the key.
func (p Places) Written(path string) bool {
	_, ok := p.lines[path]
	return ok
}

// BadWithin reports whether path, or a key below it, has a problem already.
func (r *Reader) BadWithin(path string) bool {
	for bad := range r.bad {
		if bad == path || strings.HasPrefix(bad, path+".") {
			return true
		}
	}
	return false
}

// spoil notes that the value at path cannot be used, and needs no other problem.
func (r *Reader) spoil(path string) {
	r.bad[path] = true
}

// Spoilt reports whether the value at path has a problem already.
func (r *Reader) Spoilt(path string) bool { return r.bad[path] }

// Failure returns the problems by line, nil when there are none.
func (r *Reader) Failure() error {
	if len(r.Errs.Problems) == 0 {
		return nil
	}
	r.Errs.Sort()
	return &r.Errs
}
