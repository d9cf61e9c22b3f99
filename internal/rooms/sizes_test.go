package rooms

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// Limits of a shipped room, without its tests. What grows beyond them is cut
// into rooms, see docs/rooms.md.
const (
	mostFiles        = 35
	mostLines        = 3500
	mostCommandLines = 2500 // of cmd/dmarcgate, which only reads flags and prints

	mostMedianLines   = 1000
	mostMedianExports = 12
)

// size is the size of a room without its tests.
type size struct {
	files, lines int
	exports      int // exported names at the top level: types, functions, constants, variables; no methods or fields
	in, out      int // rooms that import the room, rooms that the room imports
}

// sizes measures every room that has shipped code.
func sizes(t *testing.T) map[string]size {
	t.Helper()
	of := map[string]size{}
	uses := map[string]map[string]bool{}
	for _, s := range sources(t) {
		if s.test || strings.HasPrefix(s.room, "internal/") {
			continue
		}
		text, err := os.ReadFile(s.path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(token.NewFileSet(), s.path, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		z := of[s.room]
		z.files++
		z.lines += bytes.Count(text, []byte("\n"))
		z.exports += exports(f)
		of[s.room] = z
		if uses[s.room] == nil {
			uses[s.room] = map[string]bool{}
		}
		for _, imp := range f.Imports {
			if target, ours := strings.CutPrefix(strings.Trim(imp.Path.Value, `"`), module+"/"); ours && !strings.HasPrefix(target, "internal/") {
				uses[s.room][target] = true
			}
		}
	}
	for room, targets := range uses {
		z := of[room]
		z.out = len(targets)
		of[room] = z
		for target := range targets {
			z := of[target]
			z.in++
			of[target] = z
		}
	}
	return of
}

// exports counts the exported names that a file declares at its top level.
func exports(f *ast.File) int {
	n := 0
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.IsExported() {
				n++
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					if spec.Name.IsExported() {
						n++
					}
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						if name.IsExported() {
							n++
						}
					}
				}
			}
		}
	}
	return n
}

func TestShippedRoomsAreSmall(t *testing.T) {
	all := sizes(t)
	for room, z := range all {
		lines := mostLines
		if room == "cmd/dmarcgate" {
			lines = mostCommandLines
		}
		files := mostFiles
		if z.files > files || z.lines > lines {
			t.Errorf("%s has %d files and %d lines; the limits are %d and %d: cut a room: see docs/rooms.md", room, z.files, z.lines, files, lines)
		}
	}
}

// TestRoomsFigures holds the medians over all rooms, and prints the figures of
// every room (with -v).
func TestRoomsFigures(t *testing.T) {
	all := sizes(t)
	t.Logf("%-20s %5s %6s %7s %3s %3s", "room", "files", "lines", "exports", "in", "out")
	for _, room := range slices.Sorted(maps.Keys(all)) {
		z := all[room]
		t.Logf("%-20s %5d %6d %7d %3d %3d", room, z.files, z.lines, z.exports, z.in, z.out)
	}
	lines := median(all, func(z size) int { return z.lines })
	exports := median(all, func(z size) int { return z.exports })
	t.Logf("%d rooms; medians: %d files, %d lines (want at most %d), %d exports (want at most %d)", len(all),
		median(all, func(z size) int { return z.files }), lines, mostMedianLines, exports, mostMedianExports)
	if lines > mostMedianLines || exports > mostMedianExports {
		t.Errorf("the median room has %d lines and %d exported names; want at most %d and %d: cut rooms: see docs/rooms.md", lines, exports, mostMedianLines, mostMedianExports)
	}
}

// median returns the median of a figure over all rooms, the larger of two.
func median(all map[string]size, figure func(size) int) int {
	var list []int
	for _, z := range all {
		list = append(list, figure(z))
	}
	slices.Sort(list)
	return list[len(list)/2]
}
