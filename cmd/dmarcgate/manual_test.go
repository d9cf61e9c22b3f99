package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"dmarcgate/config"
	"dmarcgate/config/rulefile"
	"dmarcgate/internal/manpage"
	"dmarcgate/site"
)

const manualDir = "../../deploy/man"

// manual is the pages of deploy/man by file name.
func manual(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(manualDir + "/*.[58]")
	if err != nil || len(files) == 0 {
		t.Fatalf("pages = %q, %v; want some", files, err)
	}
	pages := make(map[string]string)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pages[filepath.Base(file)] = string(text)
	}
	return pages
}

func commandLine(t *testing.T) *kong.Node {
	t.Helper()
	parser, err := kong.New(&cli{}, kong.Vars{"config": site.DefaultConfig})
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model.Node
}

// pageParts returns the words of the parts of a page that are written from the
// program, of one kind.
func pageParts(t *testing.T, page, kind string) [][]string {
	t.Helper()
	var out [][]string
	_, err := manpage.Fill(page, func(words []string) (string, error) {
		if words[0] == kind {
			out = append(out, words[1:])
		}
		return "", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Synopsis, options and keys of the pages are those of the program: to write
// them anew, run the test with -update.
func TestManualHasTheOptionsAndKeysOfTheProgram(t *testing.T) {
	root, pages := commandLine(t), manual(t)
	for name, page := range pages {
		want, err := manpage.Fill(page, func(words []string) (string, error) { return manualPart(root, pages, words) })
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		switch {
		case *update:
			if err := os.WriteFile(filepath.Join(manualDir, name), []byte(want), 0o644); err != nil {
				t.Error(err)
			}
		case want != page:
			t.Errorf("%s differs from the program: run go test -run TestManual ./cmd/dmarcgate -update", name)
		}
	}
}

// manualPart writes one part of a page.
func manualPart(root *kong.Node, pages map[string]string, words []string) (string, error) {
	switch kind := words[0]; kind {
	case "commands":
		return manpage.Commands(root, func(command string) string { return pageOf(pages, command) }), nil
	case "options":
		return manpage.Command(&kong.Node{Type: kong.ApplicationNode, Flags: root.Flags}), nil
	case "synopsis", "command":
		n, err := manpage.Find(root, words[1:])
		if err != nil {
			return "", err
		}
		if kind == "synopsis" {
			return manpage.Synopsis(n), nil
		}
		return manpage.Command(n), nil
	case "keys", "table":
		return manualKeys(words)
	}
	return "", fmt.Errorf("no part of this kind")
}

// manualKeys describes all tables of a file, or the keys of one, or with
// "table" what stands above its header.
func manualKeys(words []string) (string, error) {
	text, err := os.ReadFile(filepath.Join("../..", words[1]))
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, table := range manpage.Tables(string(text)) {
		switch {
		case len(words) == 2 && len(table.Keys) > 0:
			heading := table.Name
			if heading == "" {
				heading = "Keys before the first table"
			}
			fmt.Fprintf(&b, ".Ss %s\n%s%s", heading, manpage.Prose(table.Comment), table.Text())
		case len(words) == 3 && table.Name == words[2] && words[0] == "table":
			b.WriteString(manpage.Prose(table.Comment))
		case len(words) == 3 && table.Name == words[2]:
			b.WriteString(table.Text())
		}
	}
	if b.Len() == 0 {
		return "", fmt.Errorf("no such table")
	}
	return b.String(), nil
}

// pageOf returns the name of the page that has a command, or "" for the page
// of the program.
func pageOf(pages map[string]string, command string) string {
	for name, page := range pages {
		if name != "dmarcgate.8" && strings.Contains(page, `.\" begin synopsis `+command+"\n") {
			return strings.TrimSuffix(name, ".8")
		}
	}
	return ""
}

// Each command has one page; a page mentions no option that its commands have
// not.
func TestManualHasEveryCommandOnceAndNoOtherOption(t *testing.T) {
	root := commandLine(t)
	described := make(map[string][]string) // pages by command
	for name, page := range manual(t) {
		known := []string{"--help", "-h", "--version"}
		for _, words := range pageParts(t, page, "command") {
			n, err := manpage.Find(root, words)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			described[n.FullPath()] = append(described[n.FullPath()], name)
			for _, f := range n.Flags {
				known = append(known, "--"+f.Name, "--no-"+f.Name, "-"+string(f.Short))
			}
		}
		for _, flag := range manpage.Flags(page) {
			if !slices.Contains(known, flag) {
				t.Errorf("%s: %s is no option of a command of this page", name, flag)
			}
		}
	}
	for _, leaf := range (&kong.Application{Node: root}).Leaves(true) {
		if got := described[leaf.FullPath()]; len(got) != 1 {
			t.Errorf("%s is on the pages %q; want one: put a part \"command\" for it on a page", leaf.FullPath(), got)
		}
	}
}

// manualSections returns the words of Ic in each subsection of a page, as
// dotted keys.
func manualSections(page string) []string {
	var keys []string
	table := ""
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, ".Ss "); ok {
			table = strings.Trim(name, "[]") + "."
		}
		if key, ok := strings.CutPrefix(line, ".It Ic "); ok {
			keys = append(keys, strings.TrimPrefix(table, "Keys before the first table.")+key)
		}
	}
	return keys
}

func TestManualHasTheKeysOfBothFiles(t *testing.T) {
	pages := manual(t)
	for name, want := range map[string][]string{"dmarcgate.toml.5": config.Keys(), "dmarcgate-rules.5": rulefile.Keys()} {
		got := manualSections(pages[name])
		slices.Sort(got)
		want = slices.DeleteFunc(slices.Sorted(slices.Values(want)), func(k string) bool { return k == "rule.test" || k == "rule.match" })
		if !slices.Equal(got, want) {
			t.Errorf("%s has the keys\n%q\nwant\n%q", name, got, want)
		}
		last := func(keys []string) map[string]bool {
			names := make(map[string]bool)
			for _, k := range keys {
				names[k[strings.LastIndexByte(k, '.')+1:]] = true
			}
			return names
		}
		known := last(slices.Concat(config.Keys(), rulefile.Keys()))
		for _, word := range manpage.Words(pages[name], "Ic") {
			if !known[word] {
				t.Errorf("%s: %q is no key; the keys are %q", name, word, slices.Sorted(maps.Keys(known)))
			}
		}
	}
}

// References lead to pages of ours, or to pages of Postfix.
func TestManualReferencesExist(t *testing.T) {
	pages := manual(t)
	for name, page := range pages {
		for _, ref := range manpage.Words(page, "Xr") {
			words := strings.Fields(ref)
			if len(words) != 2 {
				t.Errorf("%s: reference %q; want a name and a section", name, ref)
				continue
			}
			if _, ours := pages[words[0]+"."+words[1]]; !ours && !slices.Contains([]string{"postconf 5", "master 5"}, ref) {
				t.Errorf("%s: there is no page %s", name, ref)
			}
		}
	}
}

// Command lines of the pages are such as the program takes, and examples of
// files load.
func TestManualExamplesWork(t *testing.T) {
	commands, files := 0, 0
	for name, page := range manual(t) {
		page = strings.ReplaceAll(page, "\\e\n", "")
		for line := range strings.Lines(page) {
			line, _ = strings.CutPrefix(strings.TrimSpace(line), ".Dl ")
			for _, c := range strings.Split(line, " && ") {
				c, _, _ = strings.Cut(c, " > ")
				if args, ok := strings.CutPrefix(c, "dmarcgate "); ok {
					commands++
					if err := parses(strings.Fields(strings.ReplaceAll(args, "'", ""))); err != nil {
						t.Errorf("%s: %q: %v", name, c, err)
					}
				}
			}
		}
		_, after, found := strings.Cut(page, ".Bd -literal -offset indent\n[[")
		if !found || !strings.HasSuffix(name, ".5") {
			continue
		}
		files++
		text, _, _ := strings.Cut("[["+after, ".Ed")
		var err error
		if name == "dmarcgate-rules.5" {
			_, err = rulefile.Parse(name, []byte(text))
		} else {
			_, err = config.Parse(name, []byte(text))
		}
		if err != nil {
			t.Errorf("%s: the example does not load: %v", name, err)
		}
	}
	if commands < 10 || files != 2 {
		t.Errorf("the pages show %d commands and %d files; want at least 10, and 2", commands, files)
	}
}

func TestVersionFlagPrintsTheVersion(t *testing.T) {
	_, want, _ := command("version")
	if code, out, stderr := command("--version"); code != exitOK || out != want || stderr != "" {
		t.Errorf("--version = %d, %q, %q; want 0 and %q", code, out, stderr, want)
	}
}
