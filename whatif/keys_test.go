package whatif

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dmarcgate/config"
	"dmarcgate/site/shape"
)

// Who adds a key to the configuration is told here that what-if has to know
// what it does: config/keys_*.go list keys as applied or neutral, and every other
// key shapes facts.
func TestWhatIfKnowsTheClassOfEveryKey(t *testing.T) {
	shaping := make(map[string]bool)
	for _, key := range shape.Keys() {
		shaping[key] = true
		if affects[key] == nil {
			t.Errorf("affects[%q] is missing", key)
		}
	}
	for _, key := range config.Keys() {
		if marked := config.Applied(key) || config.Neutral(key); marked == shaping[key] {
			t.Errorf("key %s: listed in config/keys_*.go as applied or neutral: %v; among shape.Keys: %v; want one of them", key, marked, shaping[key])
		}
		delete(shaping, key)
	}
	for key := range shaping {
		t.Errorf("there is no key %s", key)
	}
}

// A key that nothing reads does nothing, whatever its class says.
func TestEveryKeyOfTheConfigurationIsReadBySomething(t *testing.T) {
	m := &module{fset: token.NewFileSet(), checked: make(map[string]*types.Package), uses: make(map[types.Object][]string)}
	configuration := m.check(t, "dmarcgate/config")
	for _, dir := range m.dirs(t) {
		m.check(t, dir)
	}
	paths := keyPaths(t)
	for _, key := range config.Keys() {
		path := paths[key]
		if path == nil {
			t.Errorf("config/keys_*.go do not say where key %s goes", key)
			continue
		}
		field := fieldOf(configuration, path)
		if field == nil {
			t.Fatalf("key %s: no field %v in config", key, path)
		}
		if len(m.uses[field]) == 0 {
			t.Errorf("key %s (%s) is read by nothing", key, strings.Join(path, "."))
		}
	}
}

// module type-checks the packages of this module, as far as it goes without
// those of others, and notes where fields are used.
type module struct {
	fset    *token.FileSet
	checked map[string]*types.Package
	uses    map[types.Object][]string // files, without the table of classes and what fills the fields in
}

const moduleRoot = ".."

// dirs are the packages of the program.
func (m *module) dirs(t *testing.T) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(moduleRoot, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); name == "testdata" || name == "internal" || name == "docs" || strings.HasPrefix(name, ".") && len(name) > 2 {
			return filepath.SkipDir
		}
		if files, _ := filepath.Glob(filepath.Join(path, "*.go")); files != nil {
			rel, _ := filepath.Rel(moduleRoot, path)
			paths = append(paths, "dmarcgate/"+filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil || len(paths) < 10 {
		t.Fatalf("packages %v, %v; want those of the module", paths, err)
	}
	return paths
}

func (m *module) check(t *testing.T, path string) *types.Package {
	t.Helper()
	if pkg := m.checked[path]; pkg != nil {
		return pkg
	}
	names, _ := filepath.Glob(filepath.Join(moduleRoot, strings.TrimPrefix(path, "dmarcgate/"), "*.go"))
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(m.fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	info := &types.Info{Uses: make(map[*ast.Ident]types.Object), Selections: make(map[*ast.SelectorExpr]*types.Selection)}
	conf := types.Config{Error: func(error) {}, Importer: importFunc(func(p string) (*types.Package, error) {
		if strings.HasPrefix(p, "dmarcgate/") && !strings.Contains(p, "/internal/") {
			return m.check(t, p), nil
		}
		empty := types.NewPackage(p, filepath.Base(p)) // of others nothing is known
		empty.MarkComplete()
		return empty, nil
	})}
	pkg, _ := conf.Check(path, m.fset, files, info)
	m.checked[path] = pkg
	for _, f := range files {
		if filepath.Base(m.fset.Position(f.Pos()).Filename) == "shape.go" {
			continue
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); !ok || !slices.Contains(fillingIn, fn.Name.Name) || path != "dmarcgate/config" {
				m.note(d, info)
			}
		}
	}
	return pkg
}

// fillingIn are the functions of config that give values to fields.
var fillingIn = []string{"fields", "mailFields", "dnsFields", "serviceFields", "listenerFields", "relayFields", "reportFields", "destinationFields",
	"Default", "mailDefaults", "dnsDefaults", "serviceDefaults", "reportDefaults", "defaultListener", "derive"}

// note notes what is used in a declaration.
func (m *module) note(d ast.Decl, info *types.Info) {
	ast.Inspect(d, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && info.Uses[id] != nil {
			m.uses[info.Uses[id]] = append(m.uses[info.Uses[id]], filepath.Base(m.fset.Position(id.Pos()).Filename))
		}
		return true
	})
}

type importFunc func(path string) (*types.Package, error)

func (f importFunc) Import(path string) (*types.Package, error) { return f(path) }

// keyPaths reads from config/keys_*.go into which field each key goes, as
// Config, DNS, Timeout.
func keyPaths(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(moduleRoot + "/config/keys_*.go")
	if err != nil {
		t.Fatal(err)
	}
	var decls []ast.Decl
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		decls = append(decls, f.Decls...)
	}
	roots := map[string][2]string{"mailFields": {"Config", ""}, "dnsFields": {"Config", ""}, "serviceFields": {"Config", ""}, "listenerFields": {"Listener", "listener"}, "relayFields": {"TrustedRelay", "trusted_relay"}, "reportFields": {"Config", ""}, "destinationFields": {"ReportDestination", "reports.destination"}}
	paths := make(map[string][]string)
	for _, d := range decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || roots[fn.Name.Name][0] == "" {
			continue
		}
		root := roots[fn.Name.Name]
		ast.Inspect(fn, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 2 {
				return true
			}
			key := root[1] + literal(call.Args[0])
			if to, ok := call.Args[1].(*ast.UnaryExpr); ok && to.Op == token.AND {
				path := []string{}
				for at, ok := to.X.(*ast.SelectorExpr); ok; at, ok = at.X.(*ast.SelectorExpr) {
					path = append(path, at.Sel.Name)
				}
				path = append(path, root[0])
				slices.Reverse(path)
				paths[key] = path
			}
			return true
		})
	}
	return paths
}

// literal is the text of "x" or of path+"x".
func literal(e ast.Expr) string {
	if b, ok := e.(*ast.BinaryExpr); ok {
		e = b.Y
	}
	l, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	s, _ := strconv.Unquote(l.Value)
	return s
}

// fieldOf follows a path of fields from a type of a package.
func fieldOf(pkg *types.Package, path []string) types.Object {
	var at types.Object = pkg.Scope().Lookup(path[0])
	for _, name := range path[1:] {
		if at == nil {
			return nil
		}
		s, ok := at.Type().Underlying().(*types.Struct)
		if !ok {
			return nil
		}
		at = nil
		for i := range s.NumFields() {
			if s.Field(i).Name() == name {
				at = s.Field(i)
			}
		}
	}
	return at
}
