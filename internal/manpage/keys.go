package manpage

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Table is one table of a file in TOML: what the comments of an example say of
// the table and of its keys. The keys before the first header belong to the
// table "".
type Table struct {
	Name    string // with its brackets, as "[dns]" and "[[listener]]"
	Comment []string
	Keys    []Key
}

// Key is one key of a table.
type Key struct {
	Name    string
	Comment []string // the lines above the key, without "#"
	Value   string   // as in the file
	Set     bool     // the key is not commented out, so that Value is an example, not the default
}

var (
	// keyLine is a key with its value, set or commented out; prose has a space
	// after the "#".
	keyLine = regexp.MustCompile(`^(#?)([a-z_]+) = (.*)$`)
	// tableLine is the header of a table, also of one that is commented out.
	tableLine = regexp.MustCompile(`^(#?)(\[+[a-z_.]+\]+)$`)
)

// Tables reads an example of a file, in which each key has its comment in the
// lines above it. A table that stands at several places is one Table. Of a key
// that stands at several places, the first with a comment counts; a key
// without a comment is passed over.
func Tables(example string) []Table {
	tables := []Table{{}}
	at, off := 0, false // the present table, and whether its header is commented out
	var comment []string
	for line := range strings.Lines(example) {
		line = strings.TrimRight(line, "\n")
		if m := tableLine.FindStringSubmatch(line); m != nil {
			off = m[1] != ""
			at = slices.IndexFunc(tables, func(t Table) bool { return t.Name == m[2] })
			if at < 0 {
				at = len(tables)
				tables = append(tables, Table{Name: m[2], Comment: comment})
			}
			comment = nil
			continue
		}
		if m := keyLine.FindStringSubmatch(line); m != nil {
			tables[at].add(Key{Name: m[2], Comment: comment, Value: m[3], Set: m[1] == "" || off})
			comment = nil
			continue
		}
		if text, ok := strings.CutPrefix(line, "#"); ok {
			comment = append(comment, text)
		} else {
			comment = nil
		}
	}
	return tables
}

func (t *Table) add(k Key) {
	if len(k.Comment) > 0 && !slices.ContainsFunc(t.Keys, func(o Key) bool { return o.Name == k.Name }) {
		t.Keys = append(t.Keys, k)
	}
}

// Text describes the keys of a table as a list.
func (t Table) Text() string {
	var b strings.Builder
	b.WriteString(".Bl -tag -width Ds\n")
	for _, k := range t.Keys {
		fmt.Fprintf(&b, ".It Ic %s\n%s", k.Name, Prose(k.Comment))
		word := "Default"
		if k.Set {
			word = "Example"
		}
		has := func(text string) bool {
			return slices.ContainsFunc(k.Comment, func(s string) bool { return strings.Contains(s, " "+text+":") })
		}
		if has(word) {
			continue
		}
		if has("Warning") {
			b.WriteString(".Pp\n") // the value is no part of the warning
		}
		fmt.Fprintf(&b, "%s:\n.Li %s\n", word, argument(k.Value))
	}
	return b.String() + ".El\n"
}

// wordLine is a word that a key may have, with its meaning behind it.
var wordLine = regexp.MustCompile(`^ +("[^"]*"(?: or "[^"]*")*) {2,}(\S.*)$`)

// Prose makes running text of the lines of a comment. Words in quotes with
// their meaning behind them become a list, and an empty line and "Warning:"
// begin a paragraph.
func Prose(lines []string) string {
	var b strings.Builder
	var running []string // of the present paragraph or item
	listed := false
	flush := func() {
		b.WriteString(Text(strings.Join(running, " ")))
		running = nil
	}
	closeList := func() {
		flush()
		if listed {
			b.WriteString(".El\n")
		}
		listed = false
	}
	for _, line := range lines {
		m := wordLine.FindStringSubmatch(line)
		text := strings.TrimSpace(line)
		switch {
		case m != nil && !listed:
			flush()
			b.WriteString(".Bl -tag -width Ds -compact\n")
			listed = true
			fallthrough
		case m != nil:
			flush()
			fmt.Fprintf(&b, ".It Li %s\n", argument(m[1]))
			running = append(running, m[2])
		case listed && strings.HasPrefix(line, strings.Repeat(" ", 5)):
			running = append(running, text)
		case text == "":
			closeList()
			b.WriteString(".Pp\n")
		case strings.HasPrefix(text, "Warning:"):
			closeList()
			b.WriteString(".Pp\n")
			running = append(running, text)
		default:
			if listed {
				closeList()
			}
			running = append(running, text)
		}
	}
	closeList()
	return b.String()
}
