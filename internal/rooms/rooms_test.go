package rooms

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "dmarcgate"

// root is the top of the tree, seen from here.
const root = "../.."

// allowed says which rooms a room may import. "auth/*" stands for every room
// below auth. Arrows only point down; who needs another one moves the code.
// Every room may import term and scope, which import none. internal is for tests and for
// the demo command.
var allowed = map[string][]string{
	"cmd/dmarcgate":         {"admin", "auth", "auth/*", "config", "dnscache", "enforce", "explain", "message", "metrics", "milter", "policy", "policy/*", "results", "results/*", "site", "survey", "whatif", "lookup", "control", "store", "site/check", "daemon", "daemon/*", "config/*", "rules", "setup", "doctor", "doctor/gather", "migrate", "migrate/*", "report/queue", "reports", "internal/*"},
	"explain":               {"admin", "auth/*", "config", "dnscache", "enforce", "explain/casefile", "explain/second", "message", "milter", "policy", "policy/sampling", "policy/pattern", "policy/replay", "results", "results/blob", "site"},
	"control":               {"admin", "auth/dmarc", "config", "dnscache", "results", "results/dbread", "results/pg", "results/sqlite", "site"},
	"site/shape":            {"auth/dmarc", "config", "policy"},
	"store":                 {"admin", "config", "daemon/storekeeper", "policy", "results", "results/blob", "results/opendmarc", "results/sqlite", "site", "daemon/logging"},
	"site/check":            {"config", "site", "policy/sum"},
	"explain/casefile":      {"auth/authres", "auth/dmarc", "config", "config/rulefile", "config/tomlfile", "dnscache", "message", "milter", "policy", "policy/sampling", "policy/pattern", "site"},
	"setup":                 {"admin", "config", "mta/postfix", "policy", "results", "mta/sendmail"},
	"doctor":                {"admin", "config", "mta/postfix", "policy", "report/identity", "site"},
	"doctor/gather":         {"admin", "config", "dnscache/wire", "doctor", "mta/postfix", "policy", "report/identity", "results/dbread", "site", "site/check"},
	"migrate":               {"config", "config/*", "policy", "policy/*"},
	"migrate/transfer":      {"migrate", "site"},
	"explain/second":        {"auth/dkim", "auth/spf", "dnscache", "milter", "policy"},
	"whatif":                {"site/shape", "config", "policy", "policy/replay", "results", "site", "survey", "auth/dmarc", "policy/sum"},
	"survey":                {"policy", "policy/replay", "results", "auth/dmarc"},
	"lookup":                {"auth/dmarc", "auth/spf", "dnscache", "message", "policy", "policy/lint/holder", "report/consent", "site", "auth/dkim"},
	"site":                  {"site/shape", "admin", "auth", "auth/*", "config", "dnscache", "enforce", "metrics", "milter", "policy", "policy/sampling", "results", "results/*", "dnscache/schedule", "config/rulefile", "policy/sum", "report/gate"},
	"enforce":               {"milter", "message", "auth", "auth/*", "policy", "policy/sampling", "results", "metrics"},
	"admin":                 {"results", "policy", "dnscache", "metrics", "auth/*", "report/queue"},
	"report/consent":        {"auth/dmarc", "dnscache", "message"},
	"report/queue":          {},
	"report/queue/schema":   {},
	"report/queue/tables":   {"report/queue"},
	"report/queue/file":     {"report/queue", "report/queue/schema", "report/queue/tables", "results/dbfile"},
	"report/queue/pg":       {"report/queue", "report/queue/tables", "results/pg"},
	"report/mail":           {"report/private"},
	"report/deliver":        {"report/private"},
	"report/private":        {},
	"report/verp":           {},
	"report/bounce":         {"report/verp"},
	"report/gate":           {"message", "policy/pattern", "report/consent", "auth/dmarc"},
	"report/sending":        {"metrics", "report", "report/xml", "report/queue", "report/gate", "report/mail", "report/deliver", "report/due", "report/verp", "report/bounce", "report/consent", "results"},
	"report/due":            {"auth/dmarc", "dnscache", "report", "report/consent", "report/gate", "report/queue"},
	"daemon/reporter":       {"admin", "config", "dnscache", "metrics", "milter", "report", "report/*", "results", "results/*", "site", "site/shape"},
	"report/identity":       {"auth", "auth/*", "message", "report/gate"},
	"report":                {"auth/dmarc", "policy", "results"},
	"reports":               {"admin", "config", "dnscache", "message", "report", "report/*", "results", "site", "site/shape"},
	"report/xml":            {"report", "auth/dmarc"},
	"auth":                  {"message", "auth/*"},
	"results":               {"policy", "auth/dmarc"},
	"results/blob":          {"results", "policy", "auth/dmarc"},
	"results/history":       {"auth/dmarc", "policy"},
	"results/dbfile":        {},
	"results/dbread":        {"results", "results/dbfile", "results/blob"},
	"results/sqlite":        {"results", "results/dbfile", "results/dbread", "results/blob", "results/history", "policy", "metrics", "auth/dmarc"},
	"results/pg":            {"results", "results/blob", "policy", "metrics", "report/queue/schema"},
	"results/opendmarc":     {"results", "policy", "auth/dmarc", "message"},
	"config":                {"policy", "policy/*", "auth/authres", "config/tomlfile"},
	"policy":                {"auth/dmarc", "policy/index", "policy/pattern", "policy/sampling"},
	"policy/index":          {"policy/pattern"},
	"policy/sampling":       {},
	"policy/sum":            {"policy", "policy/pattern"},
	"policy/lint":           {"auth/dmarc", "policy", "policy/lint/holder", "policy/pattern", "policy/ruletest"},
	"policy/lint/holder":    {"policy/pattern"},
	"policy/pattern":        {},
	"policy/replay":         {"policy"},
	"policy/ruletest":       {"auth/dmarc", "policy"},
	"auth/arc":              {"message", "auth/dkim"},
	"auth/dkim":             {"message", "auth/taglist"},
	"auth/spf":              {},
	"auth/dmarc":            {"auth/taglist"},
	"auth/authres":          {},
	"milter":                {"metrics"},
	"mta/postfix":           {},
	"mta/sendmail":          {},
	"dnscache":              {"dnscache/wire", "metrics", "dnscache/schedule", "dnscache/upstream"},
	"dnscache/wire":         {},
	"message":               {},
	"metrics":               {},
	"term":                  {},
	"scope":                 {},
	"daemon":                {"admin", "config", "daemon/*", "dnscache", "enforce", "metrics", "milter", "pages", "pages/view", "policy", "policy/sampling", "results", "results/*", "site", "policy/sum"},
	"pages":                 {"admin", "explain", "pages/view", "report/queue", "results", "site", "whatif"},
	"pages/view":            {"admin", "auth/dmarc", "config", "policy", "report/gate", "report/queue", "results"},
	"daemon/logging":        {"config", "metrics"},
	"daemon/memory":         {},
	"daemon/nameservers":    {"admin", "config", "dnscache", "metrics", "site"},
	"daemon/storekeeper":    {"admin", "results", "results/sqlite"},
	"daemon/system":         {"config", "milter"},
	"dnscache/schedule":     {"dnscache/wire"},
	"dnscache/upstream":     {"dnscache/schedule", "dnscache/wire", "metrics"},
	"auth/taglist":          {},
	"config/rulefile":       {"config", "config/tomlfile", "policy", "policy/*"},
	"config/tomlfile":       {"policy/pattern"},
	"rules":                 {"auth/dmarc", "config", "config/*", "policy", "policy/*", "results", "rules/dnscheck", "site", "survey"},
	"rules/dnscheck":        {"auth/dmarc", "auth/spf", "config", "config/tomlfile", "dnscache", "policy", "policy/lint", "policy/lint/holder", "policy/pattern", "site"},
	"internal/brokentest":   {},
	"internal/browsertest":  {},
	"internal/mutate":       {},
	"internal/bench":        {"internal/childtest", "milter", "message", "auth/dkim", "auth/dmarc", "auth/spf", "dnscache", "metrics", "policy", "policy/pattern", "results", "results/dbread", "results/sqlite", "internal/dkimtest", "internal/dnstest", "internal/miltertest", "policy/sum", "report", "report/xml", "report/deliver", "report/queue", "report/queue/file"},
	"internal/dashboard":    {},
	"internal/promtest":     {"internal/childtest"},
	"internal/daemontest":   {"internal/miltertest", "results/sqlite"},
	"internal/disktest":     {},
	"internal/dkimtest":     {},
	"internal/conformance":  {},
	"internal/dnstest":      {},
	"internal/miltertest":   {},
	"internal/childtest":    {},
	"internal/manpage":      {},
	"internal/mtatest":      {"internal/childtest"},
	"internal/packagetest":  {"internal/childtest"},
	"internal/patterntest":  {"policy/pattern"},
	"internal/pgtest":       {"internal/childtest"},
	"internal/queuetest":    {"internal/scale", "report/queue", "report/queue/tables"},
	"internal/receivedtest": {},
	"internal/reporttest":   {"auth/dmarc", "policy", "report", "results"},
	"internal/resultstest":  {"results", "policy", "policy/lint", "auth/dmarc", "config/rulefile", "policy/sum"},
	"internal/lintsound":    {"auth/dmarc", "policy", "policy/lint", "policy/pattern", "policy/ruletest"},
	"internal/rooms":        {},
	"internal/scale":        {},
	"internal/suites":       {},
}

// source is a parsed Go file.
type source struct {
	room string // folder, relative to the root
	path string
	test bool
	file *ast.File
}

// sources parses every Go file of the tree.
func sources(t *testing.T) []source {
	t.Helper()
	var out []source
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && name != ".." && (strings.HasPrefix(name, ".") || name == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(name) != ".go" {
			return nil
		}
		f, err := parser.ParseFile(fset, path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		room, err := filepath.Rel(root, filepath.Dir(path))
		out = append(out, source{filepath.ToSlash(room), path, strings.HasSuffix(name, "_test.go"), f})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 50 {
		t.Fatalf("found %d Go files; want the whole tree", len(out))
	}
	return out
}

func TestRoomsImportOnlyWhatTheTableAllows(t *testing.T) {
	seen := make(map[string]bool)
	for _, s := range sources(t) {
		list, ok := allowed[s.room]
		if !ok {
			t.Errorf("%s: the room %q is not in the table", s.path, s.room)
			continue
		}
		seen[s.room] = true
		for _, imp := range s.file.Imports {
			path, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			target, ours := strings.CutPrefix(path, module+"/")
			if ours && !s.test && !permits(list, target) {
				t.Errorf("%s imports %s; the table allows %s only %v", s.path, target, s.room, list)
			}
		}
	}
	for room := range allowed {
		if !seen[room] {
			t.Errorf("the room %q is in the table and not in the tree", room)
		}
	}
}

func permits(list []string, target string) bool {
	return target == "term" || target == "scope" || slices.ContainsFunc(list, func(entry string) bool {
		prefix, wild := strings.CutSuffix(entry, "*")
		return entry == target || wild && strings.HasPrefix(target, prefix)
	})
}

// What answers the MTA and what operators ask need rows, and no database.
func TestRoomsThatOnlyNeedRowsLinkNoSQLite(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", module+"/enforce", module+"/admin", module+"/results/pg").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(out)) {
		if strings.HasPrefix(path, "modernc.org/") || path == module+"/results/sqlite" {
			t.Errorf("enforce, admin or results/pg links %s", path)
		}
	}
}

// Only the demo may use test support in the program.
func TestOnlyTheDemoUsesTestSupport(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || strings.HasPrefix(s.room, "internal/") || strings.HasPrefix(filepath.Base(s.path), "demo") {
			continue
		}
		for _, imp := range s.file.Imports {
			if strings.Contains(imp.Path.Value, module+"/internal/") {
				t.Errorf("%s imports %s; only demo*.go may", s.path, imp.Path.Value)
			}
		}
	}
}

// Mail is verified by our own engines; those of others are for comparing, and
// one of them signs.
func TestOtherEnginesVerifyNoMail(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || strings.HasPrefix(s.room, "internal/") || s.room == "explain/second" {
			continue
		}
		for _, imp := range s.file.Imports {
			if strings.Contains(imp.Path.Value, "go-msgauth") || strings.Contains(imp.Path.Value, "blitiri.com.ar") {
				t.Errorf("%s imports %s; only tests and explain/second may", s.path, imp.Path.Value)
			}
		}
	}
}

// Mail leaves by one room, and another takes what comes back.
func TestOnlyReportsSpeakSMTP(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || strings.HasPrefix(s.room, "internal/") {
			continue
		}
		for _, imp := range s.file.Imports {
			path := strings.Trim(imp.Path.Value, `"`)
			if path == "net/smtp" || strings.HasPrefix(path, "github.com/emersion/go-smtp") && s.room != "report/deliver" && s.room != "report/bounce" {
				t.Errorf("%s imports %s; report/deliver sends mail, report/bounce takes bounces, and no other room speaks SMTP", s.path, path)
			}
		}
	}
}

func TestEveryRoomHasOnePackageComment(t *testing.T) {
	comments := make(map[string]int)
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		comments[s.room] += 0
		if s.file.Doc != nil {
			comments[s.room]++
		}
	}
	for room, n := range comments {
		if n != 1 {
			t.Errorf("the room %s has %d package comments; want 1", room, n)
		}
	}
}

func TestTheTopLevelHasWhatItsReadersLookFor(t *testing.T) {
	for _, name := range []string{"cmd", "milter", "policy", "dnscache", "metrics", "deploy", "go.mod", "go.sum", "README.md", "CHANGELOG.md", "Makefile", "docs"} {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Errorf("top level: %v", err)
		}
	}
}

// modernc.org/sqlite is generated against one version of modernc.org/libc and
// breaks silently with another.
func TestSQLiteHasTheLibcItWasMadeFor(t *testing.T) {
	list := func(module string) (version, mod string) {
		out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}} {{.GoMod}}", module).Output()
		if err != nil {
			t.Fatal(err)
		}
		version, mod, _ = strings.Cut(strings.TrimSpace(string(out)), " ")
		return version, mod
	}
	got, _ := list("modernc.org/libc")
	_, mod := list("modernc.org/sqlite")
	text, err := os.ReadFile(mod)
	if err != nil {
		t.Fatal(err)
	}
	if want := "modernc.org/libc " + got + "\n"; !strings.Contains(string(text), want) {
		t.Errorf("go.mod has modernc.org/libc %s; modernc.org/sqlite does not ask for it:\n%s", got, text)
	}
}
