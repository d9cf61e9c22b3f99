package tomlfile

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// A path names a value: keys joined by dots, and [n], from 0, for the elements
// of lists, as in "listener[0].name". A key that TOML needs quotes for has
// them here too, so a path is unambiguous and printable.

var (
	bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	index   = regexp.MustCompile(`\[[0-9]+\]`)
)

// Join returns the path of a key in the table at path, "" for the file.
func Join(path, name string) string {
	if !bareKey.MatchString(name) {
		name = strconv.QuoteToASCII(name)
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

// Element returns the path of an element of the list at path, counted from 0.
func Element(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// withoutIndexes returns path as the operator writes it: the line number says
// which element is meant.
func withoutIndexes(path string) string { return index.ReplaceAllString(path, "") }

// OneLine makes text from a library printable on one line.
func OneLine(s string) string {
	q := strconv.QuoteToGraphic(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

// keyLines returns the line of each key, table and list element in data, by
// path. go-toml's decoder tells positions only of what it refuses itself.
func keyLines(data []byte) map[string]int {
	w := lineWalker{lines: map[string]int{}, tables: map[string]int{}}
	for i, b := range data {
		if b == '\n' {
			w.ends = append(w.ends, i)
		}
	}
	var p unstable.Parser
	p.Reset(data)
	table := ""
	for p.NextExpression() {
		switch n := p.Expression(); n.Kind {
		case unstable.Table:
			table, _ = w.key("", n.Key())
		case unstable.ArrayTable:
			path, line := w.key("", n.Key())
			table = Element(path, w.tables[path])
			w.tables[path]++
			w.lines[table] = line
		case unstable.KeyValue:
			w.keyValue(table, n)
		}
	}
	return w.lines
}

type lineWalker struct {
	ends   []int          // offsets of line ends
	lines  map[string]int // by path; a key that appears again keeps its first line
	tables map[string]int // how many [[tables]] a path has so far
}

func (w *lineWalker) keyValue(table string, n *unstable.Node) {
	path, line := w.key(table, n.Key())
	w.value(path, line, n.Value())
}

// value walks an inline table or a list. line is that of what is around it.
func (w *lineWalker) value(path string, line int, n *unstable.Node) {
	if n.Raw.Length > 0 { // the parser gives lists no position
		line = w.lineAt(n.Raw)
	}
	if _, ok := w.lines[path]; !ok {
		w.lines[path] = line
	}
	it := n.Children()
	for i := 0; it.Next(); i++ {
		switch n.Kind {
		case unstable.InlineTable:
			w.keyValue(path, it.Node())
		case unstable.Array:
			w.value(Element(path, i), line, it.Node())
		}
	}
}

// key returns the path and the line of a dotted key below table.
func (w *lineWalker) key(table string, it unstable.Iterator) (path string, line int) {
	path = table
	for it.Next() {
		if n := w.tables[path]; n > 0 { // [a.b] after [[a]] is in the last a
			path = Element(path, n-1)
		}
		path = Join(path, string(it.Node().Data))
		line = w.lineAt(it.Node().Raw)
		if _, ok := w.lines[path]; !ok {
			w.lines[path] = line
		}
	}
	return path, line
}

func (w *lineWalker) lineAt(r unstable.Range) int {
	i, _ := slices.BinarySearch(w.ends, int(r.Offset))
	return i + 1
}
