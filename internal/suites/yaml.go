package suites

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Node is one value of a YAML file: a scalar (Text), a list (Items) or a map
// (Keys, with a value in Items for each). Unlike a map of Go it keeps the order
// of the keys, and a key that occurs twice.
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
func (n Node) Has(key string) bool { return slices.Contains(n.Keys, key) }

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

// YAML reads the documents of a file, each a map or a list. In a double-quoted
// scalar, "\xNN" is that byte, not that character, because the suite of SPF means
// bytes. Documents without content are left out. An error names its line.
func YAML(text string) ([]Node, error) {
	var docs []Node
	for d := yaml.NewDecoder(strings.NewReader(text)); ; {
		var doc yaml.Node
		if err := d.Decode(&doc); errors.Is(err, io.EOF) {
			return docs, nil
		} else if err != nil {
			return nil, err
		}
		top := doc.Content[0]
		switch {
		case top.Kind != yaml.ScalarNode:
			docs = append(docs, nodeOf(top))
		case top.ShortTag() != "!!null":
			return nil, fmt.Errorf("line %d: neither a map nor a list: %q", top.Line, top.Value)
		}
	}
}

func nodeOf(y *yaml.Node) Node {
	switch {
	case y.Kind != yaml.ScalarNode:
	case y.Style&yaml.DoubleQuotedStyle != 0:
		return Node{Text: bytesOf(y.Value)}
	default:
		return Node{Text: y.Value}
	}
	n := Node{Items: []Node{}}
	for i, item := range y.Content {
		if y.Kind == yaml.MappingNode && i%2 == 0 {
			n.Keys = append(n.Keys, item.Value)
		} else {
			n.Items = append(n.Items, nodeOf(item))
		}
	}
	return n
}

// bytesOf makes a byte of each character below U+0100.
func bytesOf(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < 0x100 {
			b.WriteByte(byte(r))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
