package suites

import (
	"fmt"
	"strconv"
	"strings"
)

// Node is one value of a YAML file: a scalar (Text), a list (Items) or a map
// (Keys, with a value in Items for each).
type Node struct {
	Text  string
	Keys  []string
	Items []Node
}

// Get returns the value of a key, the last if it occurs twice, and the zero
// Node if the map has none.
func (n Node) Get(key string) Node {
	for i := len(n.Keys) - 1; i >= 0; i-- {
		if n.Keys[i] == key {
			return n.Items[i]
		}
	}
	return Node{}
}

// Has reports whether the map has the key.
func (n Node) Has(key string) bool {
	for _, k := range n.Keys {
		if k == key {
			return true
		}
	}
	return false
}

// Texts returns the scalars of a list, or a scalar as a list of one.
func (n Node) Texts() []string {
	if n.Keys == nil && n.Items == nil {
		return []string{n.Text}
	}
	out := []string{}
	for _, item := range n.Items {
		out = append(out, item.Text)
	}
	return out
}

// YAML reads the documents of a file, as much of the language as the suites
// use: maps and lists in blocks, lists in brackets on one line, plain and
// quoted scalars, block scalars. "\xNN" is that byte, not that character,
// because the suite of SPF means bytes. What it does not know is an error, or
// the text as it stands.
func YAML(text string) ([]Node, error) {
	var docs []Node
	r := &reader{}
	flush := func() error {
		n, err := r.document()
		if err == nil && (n.Keys != nil || n.Items != nil) {
			docs = append(docs, n)
		}
		return err
	}
	for i, line := range strings.Split(text, "\n") {
		if line == "---" {
			if err := flush(); err != nil {
				return nil, err
			}
			r = &reader{}
			continue
		}
		r.lines = append(r.lines, numbered{i + 1, line})
	}
	return docs, flush()
}

// numbered is a line with its number in the file.
type numbered struct {
	n    int
	text string
}

// indent returns how far the line is indented.
func (l numbered) indent() int { return len(l.text) - len(strings.TrimLeft(l.text, " ")) }

// reader reads one document, line after line.
type reader struct {
	lines []numbered
}

func (r *reader) document() (Node, error) {
	n, err := r.block(0)
	if err == nil && r.skip() {
		err = fmt.Errorf("line %d: not understood: %q", r.lines[0].n, r.lines[0].text)
	}
	return n, err
}

// skip goes to the next line that is neither empty nor a comment.
func (r *reader) skip() bool {
	for ; len(r.lines) > 0; r.lines = r.lines[1:] {
		if s := strings.TrimLeft(r.lines[0].text, " "); s != "" && s[0] != '#' {
			return true
		}
	}
	return false
}

// block reads a map or a list, if the next line is indented by least or more.
func (r *reader) block(least int) (Node, error) {
	if !r.skip() || r.lines[0].indent() < least {
		return Node{}, nil
	}
	indent := r.lines[0].indent()
	n := Node{Items: []Node{}}
	list := isItem(r.lines[0].text[indent:])
	for r.skip() && r.lines[0].indent() == indent && isItem(r.lines[0].text[indent:]) == list {
		item, key, err := r.entry(indent, list)
		if err != nil {
			return Node{}, err
		}
		n.Items = append(n.Items, item)
		if !list {
			n.Keys = append(n.Keys, key)
		}
	}
	return n, nil
}

func isItem(s string) bool { return s == "-" || strings.HasPrefix(s, "- ") }

// entry reads an item of a list, or a key with its value.
func (r *reader) entry(indent int, list bool) (value Node, key string, err error) {
	line := r.lines[0]
	content := line.text[indent:]
	if !list {
		key, content, err = cutKey(content)
		if err != nil {
			return Node{}, "", fmt.Errorf("line %d: %w", line.n, err)
		}
		r.lines = r.lines[1:]
		value, err = r.value(line, content, indent)
		return value, key, err
	}
	if content = strings.TrimLeft(content[1:], " "); isMap(content) {
		// "- key: value" is a map that begins where the key does.
		r.lines[0].text = strings.Repeat(" ", len(line.text)-len(content)) + content
		value, err = r.block(indent + 1)
		return value, "", err
	}
	r.lines = r.lines[1:]
	value, err = r.value(line, content, indent)
	return value, "", err
}

func isMap(s string) bool {
	_, _, err := cutKey(s)
	return err == nil
}

// cutKey parts "key: value".
func cutKey(s string) (key, value string, err error) {
	if strings.HasPrefix(s, `"`) || strings.HasPrefix(s, "'") {
		key, rest, err := quoted(s)
		value, found := strings.CutPrefix(rest, ":")
		if err != nil || !found {
			return "", "", fmt.Errorf("no key: %q", s)
		}
		return key, strings.TrimSpace(value), nil
	}
	key, value, found := strings.Cut(s+" ", ": ")
	if !found || key == "" {
		return "", "", fmt.Errorf("no key: %q", s)
	}
	return key, strings.TrimSpace(value), nil
}

// value reads what stands behind a key or the mark of an item, and below.
func (r *reader) value(line numbered, s string, indent int) (Node, error) {
	switch {
	case s == "":
		// A list may stand as far left as its key.
		if r.skip() && r.lines[0].indent() == indent && isItem(r.lines[0].text[indent:]) {
			return r.block(indent)
		}
		return r.block(indent + 1)
	case s[0] == '|' || s[0] == '>':
		return r.scalar(s, indent), nil
	}
	if strings.IndexByte("[\"'", s[0]) < 0 {
		s = r.further(s, indent)
	}
	n, rest, err := flow(s)
	if rest = strings.TrimLeft(rest, " "); err == nil && rest != "" && rest[0] != '#' {
		err = fmt.Errorf("more behind the value: %q", rest)
	}
	if err != nil {
		return Node{}, fmt.Errorf("line %d: %w", line.n, err)
	}
	return n, nil
}

// further adds to a plain scalar the lines below that go on with it.
func (r *reader) further(s string, parent int) string {
	for r.skip() && r.lines[0].indent() > parent && !isMap(strings.TrimLeft(r.lines[0].text, " ")) {
		s += " " + strings.Trim(r.lines[0].text, " ")
		r.lines = r.lines[1:]
	}
	return s
}

// scalar reads a block scalar: "|" keeps line breaks, ">" makes them spaces,
// "-" drops the last.
func (r *reader) scalar(mark string, parent int) Node {
	var lines []string
	indent := -1
	for ; len(r.lines) > 0; r.lines = r.lines[1:] {
		line := r.lines[0]
		blank := strings.Trim(line.text, " ") == ""
		if !blank && line.indent() <= parent {
			break
		}
		if indent < 0 && !blank {
			indent = line.indent()
		}
		lines = append(lines, line.text[min(max(indent, 0), len(line.text)):])
	}
	between := "\n"
	if mark[0] == '>' {
		between = " "
	}
	text := strings.TrimRight(strings.Join(lines, between), between+"\n")
	if text != "" && !strings.HasSuffix(mark, "-") {
		text += "\n"
	}
	return Node{Text: text}
}

// flow reads a value that stands on one line.
func flow(s string) (n Node, rest string, err error) {
	switch s[0] {
	case '[':
		return bracketed(s)
	case '"', '\'':
		n.Text, rest, err = quoted(s)
		return n, rest, err
	}
	text, _, _ := strings.Cut(s, " #")
	return Node{Text: strings.TrimRight(text, " ")}, "", nil
}

// bracketed reads a list of scalars.
func bracketed(s string) (n Node, rest string, err error) {
	n.Items = []Node{}
	for rest = strings.TrimLeft(s[1:], " "); rest != "" && rest[0] != ']'; rest = strings.TrimLeft(rest, ", ") {
		var text string
		if rest[0] == '"' || rest[0] == '\'' {
			if text, rest, err = quoted(rest); err != nil {
				return Node{}, "", err
			}
		} else {
			end := strings.IndexAny(rest+"]", ",]")
			text, rest = strings.TrimRight(rest[:end], " "), rest[end:]
		}
		n.Items = append(n.Items, Node{Text: text})
	}
	if rest == "" {
		return Node{}, "", fmt.Errorf("list without end: %q", s)
	}
	return n, rest[1:], nil
}

// quoted reads a scalar in quotes, which ends on its line.
func quoted(s string) (text, rest string, err error) {
	if s[0] == '\'' {
		for i := 1; i < len(s); i++ {
			switch {
			case s[i] != '\'':
			case strings.HasPrefix(s[i:], "''"):
				i++
			default:
				return strings.ReplaceAll(s[1:i], "''", "'"), s[i+1:], nil
			}
		}
		return "", "", fmt.Errorf("string without end: %q", s)
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			text, err = strconv.Unquote(nulEscapes(s[:i+1]))
			return text, s[i+1:], err
		}
	}
	return "", "", fmt.Errorf("string without end: %q", s)
}

// nulEscapes writes "\0" as Go has it.
func nulEscapes(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			if i++; s[i] == '0' {
				b.WriteString(`\x00`)
			} else {
				b.WriteString(s[i-1 : i+1])
			}
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
