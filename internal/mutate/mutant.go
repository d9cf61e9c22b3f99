package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mutant is one change of one file.
type mutant struct {
	key  string // says what is changed; stays the same when lines move
	path string // of the file
	line int

	start, end int // the bytes that text replaces
	text       string
}

// apply returns the changed file.
func (m mutant) apply(source []byte) []byte {
	return slices.Concat(source[:m.start], []byte(m.text), source[m.end:])
}

// mutants returns every change of a package, in the order of its files.
func mutants(root, folder string) ([]mutant, error) {
	paths, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
	if err != nil {
		return nil, err
	}
	var all []mutant
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		list, err := ofFile(filepath.ToSlash(filepath.Join(folder, filepath.Base(path))), source)
		if err != nil {
			return nil, err
		}
		for i := range list {
			list[i].path = path
		}
		all = append(all, list...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("nothing to change in %s", filepath.Join(root, folder))
	}
	return all, nil
}

// ofFile returns every change of a file. name begins the keys.
func ofFile(name string, source []byte) ([]mutant, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	c := &changes{name: name, source: source, file: fset.File(file.FileStart), seen: map[string]int{}}
	for _, decl := range file.Decls {
		c.within = "top"
		if f, ok := decl.(*ast.FuncDecl); ok {
			c.within = f.Name.Name
			if f.Name.Name == "String" && f.Recv != nil {
				c.within = receiver(f.Recv) + ".String"
			}
		}
		ast.Inspect(decl, c.visit)
	}
	return c.list, nil
}

// receiver names the type of a receiver: many have a String.
func receiver(recv *ast.FieldList) string {
	t := recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if id, ok := t.(*ast.Ident); ok {
		return id.Name
	}
	return "?"
}

// sample chooses n changes, all for 0, in their order.
func sample(all []mutant, n int, seed uint64) []mutant {
	if n == 0 || n >= len(all) {
		return all
	}
	chosen := rand.New(rand.NewPCG(seed, 0)).Perm(len(all))[:n]
	slices.Sort(chosen)
	list := make([]mutant, n)
	for i, at := range chosen {
		list[i] = all[at]
	}
	return list
}
