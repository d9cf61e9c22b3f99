package rooms

import (
	"errors"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// limitRow is a row of docs/limits.md that names a constant: its room, its name
// and its value.
var limitRow = regexp.MustCompile("(?m)^\\| `([a-z/]+) ([A-Za-z]+)` \\| ([0-9]+) ")

// TestLimitsPageHasTheValuesOfTheSource compares each value of docs/limits.md
// with the constant that it names.
func TestLimitsPageHasTheValuesOfTheSource(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/limits.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := limitRow.FindAllStringSubmatch(string(page), -1)
	if len(rows) < 25 {
		t.Fatalf("docs/limits.md has %d limits with a constant; want at least 25", len(rows))
	}
	constants := map[string]*types.Scope{}
	for _, row := range rows {
		room, name, want := row[1], row[2], row[3]
		if constants[room] == nil {
			constants[room] = constantsOf(t, room)
		}
		c, ok := constants[room].Lookup(name).(*types.Const)
		if !ok {
			t.Errorf("docs/limits.md names %s in %s, and there is no such constant", name, room)
			continue
		}
		if got := constant.ToInt(c.Val()).ExactString(); got != want {
			t.Errorf("docs/limits.md: %s %s is %s; want %s", room, name, want, got)
		}
	}
}

// constantsOf returns the names of a room. What it imports is not looked at: the
// value of a limit needs no other room.
func constantsOf(t *testing.T, room string) *types.Scope {
	t.Helper()
	fset := token.NewFileSet()
	paths, err := filepath.Glob(filepath.Join(root, room, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	conf := types.Config{Importer: nothing{}, Error: func(error) {}}
	pkg, _ := conf.Check(room, fset, files, nil) // incomplete, which is enough
	return pkg.Scope()
}

// nothing imports no package.
type nothing struct{}

func (nothing) Import(path string) (*types.Package, error) { return nil, errors.New(path) }
