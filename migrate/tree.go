package migrate

import (
	"fmt"
	"strings"
)

// node is a key with its value in a configuration of rspamd (UCL) or in JSON with
// comments: a text, or further nodes. Nodes of a list have no key.
type node struct {
	key   string
	line  int
	text  string
	items []node
	table bool // it has items, or is an empty table or list
}

// texts are the texts of a list, or the one text.
func (n node) texts() []item {
	if !n.table {
		return []item{{n.text, 0}}
	}
	var out []item
	for _, i := range n.items {
		if !i.table {
			out = append(out, item{i.text, 0})
		}
	}
	return out
}

// find returns the last item with a key.
func (n node) find(key string) (node, bool) {
	for i := len(n.items) - 1; i >= 0; i-- {
		if strings.EqualFold(n.items[i].key, key) {
			return n.items[i], true
		}
	}
	return node{}, false
}

// parseTree reads both forms: keys and values are words or quoted texts, "=" or ":"
// stands between them or nothing before "{" and "[", and ",", ";" or the end of the line
// behind them. "#" and "/* */" are comments. Directives such as .include are nodes whose
// key begins with a dot; nobody follows them. The error names the line; what
// was read before it is returned.
func parseTree(text string) (node, error) {
	p := parser{rest: text, line: 1}
	p.skip()
	if strings.HasPrefix(p.rest, "{") { // JSON
		p.take(1)
		root, err := p.table('}', 0)
		return root, err
	}
	return p.table(0, 0)
}

type parser struct {
	rest string
	line int
	keys int
}

func (p *parser) fail(what string) error { return fmt.Errorf("line %d: %s", p.line, what) }

// take drops n bytes.
func (p *parser) take(n int) string {
	s := p.rest[:n]
	p.rest = p.rest[n:]
	p.line += strings.Count(s, "\n")
	return s
}

// skip drops blanks, ends of values and comments.
func (p *parser) skip() {
	for {
		trimmed := strings.TrimLeft(p.rest, " \t\r\n,;\ufeff")
		p.take(len(p.rest) - len(trimmed))
		switch {
		case strings.HasPrefix(p.rest, "#"):
			end := strings.IndexByte(p.rest, '\n')
			if end < 0 {
				end = len(p.rest)
			}
			p.take(end)
		case strings.HasPrefix(p.rest, "/*"):
			end := strings.Index(p.rest, "*/")
			if end < 0 {
				end = len(p.rest) - 2
			}
			p.take(end + 2)
		default:
			return
		}
	}
}

// closed reports whether the table or list ends here, and drops its end.
func (p *parser) closed(end byte) (bool, error) {
	p.skip()
	switch {
	case p.rest == "" && end == 0:
		return true, nil
	case p.rest == "":
		return false, p.fail("the file ends in a table or list")
	case end != 0 && p.rest[0] == end:
		p.take(1)
		return true, nil
	}
	return false, nil
}

func (p *parser) table(end byte, depth int) (node, error) {
	out := node{line: p.line, table: true}
	for {
		if done, err := p.closed(end); done || err != nil {
			return out, err
		}
		key, err := p.key()
		if err != nil {
			return out, err
		}
		at := p.line
		item, err := p.value(depth)
		item.key, item.line = key, at
		out.items = append(out.items, item)
		if err != nil {
			return out, err
		}
	}
}

func (p *parser) list(depth int) (node, error) {
	out := node{line: p.line, table: true}
	for {
		if done, err := p.closed(']'); done || err != nil {
			return out, err
		}
		item, err := p.value(depth)
		out.items = append(out.items, item)
		if err != nil {
			return out, err
		}
	}
}

// key reads a key and what stands between key and value.
func (p *parser) key() (string, error) {
	if p.keys++; p.keys > maxKeys {
		return "", p.fail(fmt.Sprintf("an import reads %d keys", maxKeys))
	}
	key, err := p.word(" \t\r\n=:{}[]()\",;#")
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(key, ".") { // the arguments of a directive: .include(try=true)
		if rest := strings.TrimLeft(p.rest, " "); strings.HasPrefix(rest, "(") {
			if end := strings.IndexAny(p.rest, ")\n"); end >= 0 {
				p.take(end + 1)
			}
		}
	}
	trimmed := strings.TrimLeft(p.rest, " \t")
	p.take(len(p.rest) - len(trimmed))
	if p.rest != "" && (p.rest[0] == '=' || p.rest[0] == ':') {
		p.take(1)
	}
	trimmed = strings.TrimLeft(p.rest, " \t")
	p.take(len(p.rest) - len(trimmed))
	return key, nil
}

// value reads a text, a table or a list. A named section of UCL, `rule "X" {`, is a table
// in a table.
func (p *parser) value(depth int) (node, error) {
	if depth >= maxDepth {
		return node{}, p.fail(fmt.Sprintf("tables are nested more than %d deep", maxDepth))
	}
	at := p.line
	switch {
	case p.rest == "" || strings.ContainsRune("\n;,", rune(p.rest[0])):
		return node{line: at}, nil
	case p.rest[0] == '{':
		p.take(1)
		return p.table('}', depth+1)
	case p.rest[0] == '[':
		p.take(1)
		return p.list(depth + 1)
	}
	text, err := p.word("\n,;{}[]#")
	if err != nil {
		return node{}, err
	}
	text = strings.TrimSpace(text)
	trimmed := strings.TrimLeft(p.rest, " \t")
	if strings.HasPrefix(trimmed, "{") {
		p.take(len(p.rest) - len(trimmed) + 1)
		inner, err := p.table('}', depth+1)
		inner.key, inner.line = text, at
		return node{line: at, items: []node{inner}, table: true}, err
	}
	return node{line: at, text: text}, nil
}

// word reads a quoted text, or up to one of the characters of stop.
func (p *parser) word(stop string) (string, error) {
	if !strings.HasPrefix(p.rest, `"`) {
		end := strings.IndexAny(p.rest, stop)
		if end < 0 {
			end = len(p.rest)
		}
		if end == 0 {
			return "", p.fail(fmt.Sprintf("%q is not expected here", p.rest[:1]))
		}
		return p.take(end), nil
	}
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			p.take(i + 1)
			return b.String(), nil
		case c == '\\' && i+1 < len(p.rest):
			i++
			b.WriteByte(p.rest[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", p.fail("a quote is not closed")
}
