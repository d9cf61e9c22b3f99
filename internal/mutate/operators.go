package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"strings"
)

// changes collects the changes of a file.
type changes struct {
	name   string // of the file
	within string // function
	source []byte
	file   *token.File
	seen   map[string]int // by key without number
	list   []mutant
}

// swapped says what becomes of an operator. Comparisons move their border by
// one; negated conditions try the rest.
var swapped = map[token.Token]string{
	token.EQL: "!=", token.NEQ: "==",
	token.LSS: "<=", token.LEQ: "<", token.GTR: ">=", token.GEQ: ">",
	token.LAND: "||", token.LOR: "&&",
	token.ADD: "-", token.SUB: "+",
}

// visit makes the changes of one node; of its children it will be called again.
func (c *changes) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.ImportSpec, *ast.ArrayType: // the length of an array is room, not meaning
		return false
	case *ast.IfStmt:
		c.negate(n.Cond)
	case *ast.ForStmt:
		if n.Cond != nil {
			c.negate(n.Cond)
		}
	case *ast.CaseClause:
		c.caseClause(n)
	case *ast.BinaryExpr:
		if to, ok := swapped[n.Op]; ok {
			at := c.file.Offset(n.OpPos)
			c.add("swap", n, at, at+len(n.Op.String()), to)
		}
	case *ast.BasicLit:
		if n.Kind == token.INT {
			c.replace("one more", n, "("+n.Value+"+1)")
		}
	case *ast.Ident:
		switch n.Name {
		case "true":
			c.replace("flip", n, "false")
		case "false":
			c.replace("flip", n, "true")
		}
	case ast.Stmt:
		c.statement(n)
	}
	return true
}

// caseClause negates the conditions of a switch without a tag. They look like
// the values of one with a tag; what does not compile is sorted out later.
func (c *changes) caseClause(n *ast.CaseClause) {
	if len(n.List) != 1 {
		return
	}
	switch e := n.List[0].(type) {
	case *ast.BinaryExpr, *ast.UnaryExpr, *ast.CallExpr, *ast.Ident:
		c.negate(e)
	}
}

// statement leaves a statement out.
func (c *changes) statement(n ast.Stmt) {
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok == token.DEFINE {
			return // nothing else would compile
		}
	case *ast.ExprStmt, *ast.IncDecStmt, *ast.ReturnStmt, *ast.BranchStmt, *ast.DeferStmt, *ast.GoStmt, *ast.SendStmt:
	default:
		return
	}
	c.replace("leave out", n, "")
}

func (c *changes) negate(cond ast.Expr) {
	c.replace("negate", cond, "!("+c.text(cond)+")")
}

func (c *changes) replace(what string, n ast.Node, text string) {
	c.add(what, n, c.file.Offset(n.Pos()), c.file.Offset(n.End()), text)
}

// add notes a change. Equal ones in one function are told apart by number.
func (c *changes) add(what string, n ast.Node, start, end int, text string) {
	line := c.file.Line(n.Pos())
	key := fmt.Sprintf("%s %s: %s: %s", c.name, c.within, what, oneLine(c.text(n)))
	if _, literal := n.(*ast.BasicLit); literal || what == "flip" {
		key += " in " + oneLine(c.lineText(line))
	}
	if c.seen[key]++; c.seen[key] > 1 {
		key += fmt.Sprintf(" #%d", c.seen[key])
	}
	c.list = append(c.list, mutant{key: key, line: line, start: start, end: end, text: text})
}

func (c *changes) text(n ast.Node) string {
	return string(c.source[c.file.Offset(n.Pos()):c.file.Offset(n.End())])
}

func (c *changes) lineText(line int) string {
	rest := string(c.source[c.file.Offset(c.file.LineStart(line)):])
	text, _, _ := strings.Cut(rest, "\n")
	text, _, _ = strings.Cut(text, "//")
	return text
}

// oneLine is the text of a node in a key.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
