package rooms

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// temporaryReply is a call that makes a reply with a 4xx code.
var temporaryReply = regexp.MustCompile(`Refuse\((4[0-9]{2}), "(4\.[0-9]+\.[0-9]+)"`)

func TestTemporaryFailuresPageListsEveryReplyOfTheSource(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/temporary-failures.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, s := range sources(t) {
		if s.test || strings.HasPrefix(s.room, "internal/") {
			continue
		}
		text, err := os.ReadFile(s.path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range temporaryReply.FindAllSubmatch(text, -1) {
			found++
			if reply := "| `" + string(m[1]) + " " + string(m[2]) + " "; !strings.Contains(string(page), reply) {
				t.Errorf("%s replies %s %s, and docs/temporary-failures.md has no row for this reply", s.path, m[1], m[2])
			}
		}
	}
	if found < 3 {
		t.Errorf("found %d temporary replies in the source; want at least 3", found)
	}
}

// deferring has the functions of policy that make an answer temporary, each with
// the words of docs/temporary-failures.md that describe the cause.
var deferring = map[string]string{
	"decideTemporary": "## Incomplete DMARC check",
	"pressed":         "; what could change the answer was not found out",
	"outcome":         "## Rules with action tempfail",
	"Action":          "`[temperror] ours = \"tempfail\"`", // of TempAnswer, the words of [temperror]
}

func TestTemporaryFailuresPageListsEveryDecisionToDefer(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/temporary-failures.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, room := range []string{"policy", "config", "enforce", "milter"} {
		paths, err := filepath.Glob(filepath.Join(root, room, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || !defers(fn) {
					continue
				}
				found[fn.Name.Name] = true
				if words, known := deferring[fn.Name.Name]; !known || !strings.Contains(string(page), words) {
					t.Errorf("%s: %s makes an answer temporary, and docs/temporary-failures.md does not describe the cause", path, fn.Name.Name)
				}
			}
		}
	}
	for name := range deferring {
		if !found[name] {
			t.Errorf("no function %s makes an answer temporary: remove it from deferring", name)
		}
	}
}

// defers reports whether a function gives the value Tempfail to something, or
// returns it.
func defers(fn *ast.FuncDecl) bool {
	found := false
	ast.Inspect(fn, func(n ast.Node) bool {
		var values []ast.Expr
		switch n := n.(type) {
		case *ast.AssignStmt:
			values = n.Rhs
		case *ast.KeyValueExpr:
			values = []ast.Expr{n.Value}
		case *ast.ReturnStmt:
			values = n.Results
		}
		for _, v := range values {
			if s, ok := v.(*ast.SelectorExpr); ok {
				v = s.Sel
			}
			if id, ok := v.(*ast.Ident); ok && id.Name == "Tempfail" {
				found = true
			}
		}
		return true
	})
	return found
}

// causeWord is a word of dmarc.Cause in its method String.
var causeWord = regexp.MustCompile(`case Cause[A-Z][a-z]+:\n\t\treturn "([a-z]+)"`)

func TestTemporaryFailuresPageListsEveryCauseOfTempError(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/temporary-failures.md"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "auth/dmarc/result.go"))
	if err != nil {
		t.Fatal(err)
	}
	words := causeWord.FindAllSubmatch(text, -1)
	if len(words) < 4 {
		t.Fatalf("found %d causes in auth/dmarc/result.go; want at least 4", len(words))
	}
	for _, w := range words {
		if row := "| `cause=" + string(w[1]) + "` |"; !strings.Contains(string(page), row) {
			t.Errorf("docs/temporary-failures.md has no row %s", row)
		}
	}
}
