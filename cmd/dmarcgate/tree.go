package main

import (
	"fmt"
	"io"
	"strings"
)

// maxShown is how much of one text from outside is printed.
const maxShown = 500

// node is a line of a tree with what hangs below it.
type node struct {
	text     string
	children []*node
}

// add hangs a line below n and returns it. Text from mail or DNS goes through
// printable first.
func (n *node) add(format string, args ...any) *node {
	child := &node{text: fmt.Sprintf(format, args...)}
	n.children = append(n.children, child)
	return child
}

// print writes the tree with the branches of tree(1).
func (n *node) print(w io.Writer) error {
	_, err := fmt.Fprintln(w, n.text)
	for i, c := range n.children {
		if err == nil {
			err = c.branch(w, "", i == len(n.children)-1)
		}
	}
	return err
}

func (n *node) branch(w io.Writer, indent string, last bool) error {
	mark, below := "├─ ", "│  "
	if last {
		mark, below = "└─ ", "   "
	}
	_, err := fmt.Fprintf(w, "%s%s%s\n", indent, mark, n.text)
	for i, c := range n.children {
		if err == nil {
			err = c.branch(w, indent+below, i == len(n.children)-1)
		}
	}
	return err
}

// printable returns text from outside as it may go to a terminal: printable
// ASCII, of bounded length.
func printable(s string) string { return bounded(s, maxShown) }

// bounded is printable with another length, in bytes.
func bounded(s string, most int) string {
	cut := len(s) > most
	if cut {
		s = s[:most]
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	if cut {
		s += "..."
	}
	return s
}
