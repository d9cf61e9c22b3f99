package rooms

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// mostOpened is how many files a recipe of docs/contributing.md opens.
const mostOpened = 4

var (
	fileName = regexp.MustCompile("`([A-Za-z0-9_./-]+\\.(?:go|md|toml|txt))`")
	declared = regexp.MustCompile("`([a-z0-9_./-]+\\.go)` `([A-Za-z.]+)`")
	goTest   = regexp.MustCompile(`(?m)^go test (?:-run '?([^' ]+)'? )?\./([a-z/]+)`)
)

func contributing(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs/contributing.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

func TestContributingPageHasShortRecipes(t *testing.T) {
	page := contributing(t)
	for _, title := range []string{"A counter", "A configuration key", "A case", "A fact of a row", "A subcommand", "A rule key", "A log line", "A limit"} {
		_, recipe, found := strings.Cut(page, "\n## "+title+"\n")
		recipe, _, _ = strings.Cut(recipe, "\n## ")
		if !found || !goTest.MatchString(recipe) {
			t.Errorf("docs/contributing.md has no recipe %q with a command", title)
		}
		if rows := strings.Count(recipe, "\n| ") - 1; rows < 1 || rows > mostOpened {
			t.Errorf("the recipe %q opens %d files; want 1 to %d", title, rows, mostOpened)
		}
	}
}

func TestContributingPageNamesFilesAndNamesThatExist(t *testing.T) {
	page := contributing(t)
	files := fileName.FindAllStringSubmatch(page, -1)
	if len(files) < 20 {
		t.Fatalf("docs/contributing.md names %d files; want at least 20", len(files))
	}
	for _, f := range files {
		if _, err := os.Stat(filepath.Join(root, f[1])); err != nil {
			t.Errorf("docs/contributing.md names a file that is not there: %v", err)
		}
	}
	names := declared.FindAllStringSubmatch(page, -1)
	if len(names) < 12 {
		t.Fatalf("docs/contributing.md names %d declarations; want at least 12", len(names))
	}
	for _, n := range append(names, mentions(page)...) {
		if !slices.Contains(declarations(t, n[1]), n[2]) {
			t.Errorf("docs/contributing.md: %s declares no %s", n[1], n[2])
		}
	}
}

// mentions returns further names that a row has for its file: methods such as
// `Match.clone` whose type the row names first.
func mentions(page string) (found [][]string) {
	method := regexp.MustCompile("`([A-Z][A-Za-z]+\\.[A-Za-z]+)`")
	for line := range strings.Lines(page) {
		n := declared.FindStringSubmatch(line)
		if n == nil || !strings.HasPrefix(line, "| `") {
			continue
		}
		for _, m := range method.FindAllStringSubmatch(line, -1) {
			if strings.HasPrefix(m[1], n[2]+".") {
				found = append(found, []string{"", n[1], m[1]})
			}
		}
	}
	return found
}

// declarations returns the names at the top level of a file, methods as
// Type.Name.
func declarations(t *testing.T, path string) (names []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if d.Recv != nil {
				of := d.Recv.List[0].Type
				if p, ok := of.(*ast.StarExpr); ok {
					of = p.X
				}
				if id, ok := of.(*ast.Ident); ok {
					name = id.Name + "." + name
				}
			}
			names = append(names, name)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					names = append(names, spec.Name.Name)
				case *ast.ValueSpec:
					for _, id := range spec.Names {
						names = append(names, id.Name)
					}
				}
			}
		}
	}
	return names
}

// testsIn returns what the tests of a folder declare.
func testsIn(t *testing.T, folder string) (names []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, folder, "*_test.go"))
	if err != nil || len(paths) == 0 {
		t.Errorf("no tests in %s, %v", folder, err)
	}
	for _, path := range paths {
		rel, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, declarations(t, rel)...)
	}
	return names
}

func TestContributingPageRunsTestsThatExist(t *testing.T) {
	commands := goTest.FindAllStringSubmatch(contributing(t), -1)
	if len(commands) < 8 {
		t.Fatalf("docs/contributing.md has %d test commands; want at least 8", len(commands))
	}
	for _, c := range commands {
		names := testsIn(t, c[2])
		for _, pattern := range strings.Split(c[1], "|") {
			wanted := regexp.MustCompile(pattern)
			if !slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, "Test") && wanted.MatchString(name) }) {
				t.Errorf("%s: no test of %s matches %q", c[0], c[2], pattern)
			}
		}
	}
}

// A page that claims a test has to name one that exists.
func TestReportFaultsPageNamesTestsThatExist(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/report-faults.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\|.*\| (`+"`"+`.*) \|$`).FindAllStringSubmatch(string(page), -1)
	if len(rows) < 25 {
		t.Fatalf("docs/report-faults.md has %d rows with tests; want at least 25", len(rows))
	}
	names := map[string][]string{}
	for _, row := range rows {
		folder := ""
		for _, word := range strings.Fields(strings.ReplaceAll(row[1], ",", " ")) {
			if room, found := strings.CutPrefix(word, "`"); found {
				folder = strings.TrimSuffix(room, "`")
				if names[folder] == nil {
					names[folder] = testsIn(t, folder)
				}
				continue
			}
			if !slices.Contains(names[folder], word) {
				t.Errorf("%q has no test %s", folder, word)
			}
		}
	}
}
