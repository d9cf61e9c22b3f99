package rooms

import (
	"flag"
	"fmt"
	"go/doc"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of docs/rooms.md")

// level is a floor of the tree. A room below a named one has its level, unless
// it is named itself.
type level struct {
	number int
	what   string
	rooms  []string
}

// levels is the tree from top to bottom. A room imports rooms of lower levels,
// or of its own. A level may name a room that is not built yet.
var levels = []level{
	{8, "Program", []string{"cmd"}},
	{7, "Daemon", []string{"daemon", "pages"}},
	{6, "Tools for operators", []string{"explain", "lookup", "whatif", "survey", "rules", "report", "report/queue/file", "report/queue/pg", "report/queue/tables", "reports", "control", "store", "setup", "doctor", "migrate/transfer"}},
	{5, "Parts of a running system", []string{"site", "enforce", "admin", "daemon/storekeeper", "daemon/logging"}},
	{4, "Mechanisms together, configuration, stored rows", []string{"auth", "config", "migrate", "report/consent", "report/queue/schema", "report/queue", "results", "report/gate", "report/identity"}},
	{3, "Local policy", []string{"policy"}},
	{2, "Protocols", []string{"milter", "auth/arc", "auth/dkim", "auth/dmarc", "auth/spf", "dnscache", "mta"}},
	{1, "Formats of mail", []string{"message", "auth/authres", "auth/taglist"}},
	{0, "Basics", []string{"metrics", "scope", "term"}},
}

// levelOf returns the level of a room, or -1.
func levelOf(room string) int {
	found, longest := -1, 0
	for _, l := range levels {
		for _, name := range l.rooms {
			if (room == name || strings.HasPrefix(room, name+"/")) && len(name) > longest {
				found, longest = l.number, len(name)
			}
		}
	}
	return found
}

func TestRoomsImportNoRoomOfAHigherLevel(t *testing.T) {
	for room, list := range allowed {
		if strings.HasPrefix(room, "internal/") {
			continue
		}
		at := levelOf(room)
		if at < 0 {
			t.Errorf("the room %q has no level: add it to levels", room)
		}
		for other := range allowed {
			if !strings.HasPrefix(other, "internal/") && permits(list, other) && levelOf(other) > at {
				t.Errorf("%s, level %d, may import %s, level %d", room, at, other, levelOf(other))
			}
		}
	}
}

const (
	tablesBegin = "<!-- tables: go test ./internal/rooms -update -->\n"
	tablesEnd   = "<!-- end of tables -->\n"
)

func TestRoomsPageListsEveryRoom(t *testing.T) {
	path := filepath.Join(root, "docs/rooms.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(page), tablesBegin)
	_, after, ended := strings.Cut(rest, tablesEnd)
	if !found || !ended {
		t.Fatalf("docs/rooms.md needs the lines %q and %q around its tables", tablesBegin, tablesEnd)
	}
	want := before + tablesBegin + tables(t) + tablesEnd + after
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(page) {
		t.Errorf("docs/rooms.md differs from the import table and the package comments: run go test ./internal/rooms -update")
	}
}

// tables draws the rooms of every level, from the program to the basics.
func tables(t *testing.T) string {
	t.Helper()
	purposes := purposes(t)
	rooms := slices.Sorted(maps.Keys(allowed))
	var b strings.Builder
	for _, l := range levels {
		fmt.Fprintf(&b, "\n### Level %d: %s\n\n| room | purpose | may import |\n|---|---|---|\n", l.number, l.what)
		for _, room := range rooms {
			if !strings.HasPrefix(room, "internal/") && levelOf(room) == l.number {
				row(&b, room, purposes[room])
			}
		}
	}
	b.WriteString("\n### Support for tests\n\n| room | purpose | may import |\n|---|---|---|\n")
	for _, room := range rooms {
		if strings.HasPrefix(room, "internal/") {
			row(&b, room, purposes[room])
		}
	}
	b.WriteString("\n")
	return b.String()
}

func row(b *strings.Builder, room, purpose string) {
	imports := "-"
	if list := slices.Sorted(slices.Values(allowed[room])); len(list) > 0 {
		imports = "`" + strings.Join(list, "`, `") + "`"
	}
	fmt.Fprintf(b, "| [%s](../%s) | %s | %s |\n", room, room, strings.ReplaceAll(purpose, "|", `\|`), imports)
}

// purposes returns the first sentence of every package comment, without the
// name of the package.
func purposes(t *testing.T) map[string]string {
	t.Helper()
	of := map[string]string{}
	for _, s := range sources(t) {
		if s.test || s.file.Doc == nil {
			continue
		}
		synopsis := new(doc.Package).Synopsis(s.file.Doc.Text())
		words := strings.SplitN(synopsis, " ", 3)
		if len(words) < 3 || words[0] != "Package" && words[0] != "Command" || words[1] != filepath.Base(s.room) {
			t.Errorf("%s: the package comment begins %q; want %q and a verb", s.path, synopsis, "Package "+filepath.Base(s.room))
			continue
		}
		of[s.room] = strings.ToUpper(words[2][:1]) + words[2][1:]
	}
	return of
}
