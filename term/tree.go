package term

import (
	"fmt"
	"io"
)

// Node is a line of a tree with what hangs below it. The text is printed as it
// is: what comes from mail or DNS goes through [Printable] first.
type Node struct {
	Text     string
	children []*Node
}

// Add hangs a line below n and returns it. The arguments are those of
// fmt.Sprintf.
func (n *Node) Add(format string, args ...any) *Node {
	child := &Node{Text: fmt.Sprintf(format, args...)}
	n.children = append(n.children, child)
	return child
}

// Children returns the lines below n, in their order.
func (n *Node) Children() []*Node { return n.children }

// Print writes the tree with branches as tree(1) draws them.
func (n *Node) Print(w io.Writer) error {
	_, err := fmt.Fprintln(w, n.Text)
	for i, c := range n.children {
		if err == nil {
			err = c.branch(w, "", i == len(n.children)-1)
		}
	}
	return err
}

func (n *Node) branch(w io.Writer, indent string, last bool) error {
	mark, below := "├─ ", "│  "
	if last {
		mark, below = "└─ ", "   "
	}
	_, err := fmt.Fprintf(w, "%s%s%s\n", indent, mark, n.Text)
	for i, c := range n.children {
		if err == nil {
			err = c.branch(w, indent+below, i == len(n.children)-1)
		}
	}
	return err
}

// maxAnswers is how many records of one answer the tree shows; JSON has all.
const maxAnswers = 20

// Answer hangs the records of a DNS answer below n, or that there are none.
// nxdomain says that the name does not exist at all.
func (n *Node) Answer(records []string, nxdomain bool) {
	switch {
	case nxdomain:
		n.Add("no such name")
	case len(records) == 0:
		n.Add("no record")
	}
	for i, r := range records {
		if i == maxAnswers {
			n.Add("and %d more", len(records)-i)
			return
		}
		n.Add("%q", Printable(r))
	}
}
