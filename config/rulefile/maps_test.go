package rulefile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dmarcgate/config/tomlfile"
	"dmarcgate/policy"
	"dmarcgate/policy/lint"
	"dmarcgate/policy/pattern"
)

// mapRule is a rule that names maps, and lets nothing in.
func mapRule(id, match string) string {
	return fmt.Sprintf("[[rule]]\nid = %q\nowner = \"o\"\ncreated = 2026-11-02\nmode = \"enforce\"\naction = \"reject\"\n[rule.match]\n%s\n", id, match)
}

// write puts a file below dir in place, as a program that is careful does.
func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// decided is what the rules of a set do with a failing message of an author.
func decided(s *Set, author string) string {
	set := policy.Settings{Profile: policy.Strict, EnforceShare: 100, Rules: s.Rules}
	d := set.Decide(policy.Facts{
		FromField: policy.FromOneMailbox, Version: policy.FactsVersion, Recipients: []string{"rcpt.example"},
		Authors: []policy.Author{{Domain: author, Org: author, Verdict: failed}},
	})
	return d.Rule
}

func TestAMapIsReadOnceForItsKind(t *testing.T) {
	dir := ruleDir(t, map[string]string{
		"a.toml": mapRule("a", `author = ["map:maps/d.txt", "x.example"]`+"\n"+`not_rcpt_domain = ["map:maps/d.txt"]`),
		"b.toml": mapRule("b", `author = ["map:maps/d.txt"]`+"\n"+`client = ["map:n.txt"]`),
	})
	write(t, dir, "maps/d.txt", "# ours\nbank.example # since May\n\n.shop.example\n")
	write(t, dir, "n.txt", "192.0.2.0/24\n2001:db8::1\n")
	now := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	s, err := Load(dir, Options{Options: lint.Options{Now: now}})
	if err != nil {
		t.Fatal(err)
	}
	want := []MapFile{{filepath.Join(dir, "maps/d.txt"), 2, now}, {filepath.Join(dir, "n.txt"), 2, now}}
	if fmt.Sprint(s.Maps) != fmt.Sprint(want) {
		t.Errorf("Maps = %v; want %v", s.Maps, want)
	}
	list := s.Rules.List()
	if a, b := list[0].Match.Author[0], list[1].Match.Author[0]; a.Map() == nil || a.Map() != b.Map() || a.Map() != list[0].Match.Not.RcptDomain[0].Map() {
		t.Errorf("maps = %p and %p; want one that the rules share", a.Map(), b.Map())
	}
	for author, want := range map[string]string{"bank.example": "a", "x.example": "a", "a.shop.example": "a", "other.example": ""} {
		if got := decided(s, author); got != want {
			t.Errorf("rule for %s = %q; want %q", author, got, want)
		}
	}
}

func TestProblemsOfMapsNameTheLineOfTheMapOrOfTheRule(t *testing.T) {
	dir := ruleDir(t, map[string]string{
		"a.toml": mapRule("a", `author = [
  "map:bad.txt", "map:absent.txt",
  "map:../a.txt", "map:/etc/passwd", "map:.hidden", "map:a/.git/x", "map:", "map:fifo", "map:sub", "map:\u001b",
]`),
		"b.toml": mapRule("b", `author = ["map:bad.txt"]`+"\n"+`client = ["map:bad.txt"]`),
	})
	write(t, dir, "bad.txt", "bank.example\n*.example\n\n192.0.2.1\n")
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for item, want := range map[string]string{
		"bad.txt":     "bad.txt:2: \"*.example\" is not a domain",
		"absent.txt":  "a.toml:8: rule.match.author: there is no such file: ",
		"../a.txt":    `a.toml:8: rule.match.author: "../a.txt" cannot name a map; `,
		"/etc/passwd": `a.toml:8: rule.match.author: "/etc/passwd" cannot name a map; `,
		".hidden":     `a.toml:8: rule.match.author: ".hidden" cannot name a map; `,
		"a/.git/x":    `a.toml:8: rule.match.author: "a/.git/x" cannot name a map; `,
		"":            `a.toml:8: rule.match.author: "" cannot name a map; `,
		"fifo":        "a.toml:8: rule.match.author: the map is not a file; ",
		"sub":         "a.toml:8: rule.match.author: the map is not a file; ",
		`\u001b`:      `a.toml:8: rule.match.author: "\x1b" cannot name a map; `,
	} {
		write(t, dir, "a.toml", mapRule("a", "author = [\"x.example\", \"map:"+item+"\"]"))
		_, err := Load(dir, Options{})
		if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), dir+"/", ""), want) {
			t.Errorf("Load with the map %q = %v; want %s", item, err, want)
		}
	}
	_, err := Load(dir, Options{})
	if n := strings.Count(fmt.Sprint(err), "/bad.txt:4: "); n != 1 {
		t.Errorf("Load = %v; want one problem in line 4 of the map, as domains are", err)
	}
}

// What cannot be read is not evaluated as well.
func TestARuleWithABrokenMapIsNoProblemBesideTheMap(t *testing.T) {
	dir := ruleDir(t, map[string]string{"a.toml": strings.Replace(relayRule, `client = ["192.0.2.0/28"]`, `spf_pass = ["map:bad.txt"]`, 1)})
	write(t, dir, "bad.txt", "*\n")
	_, err := Load(dir, Options{})
	var errs *tomlfile.Errors
	if !errors.As(err, &errs) || len(errs.Problems) != 1 || errs.Problems[0].File != filepath.Join(dir, "bad.txt") || errs.Problems[0].Line != 1 {
		t.Errorf("Load = %v; want line 1 of the map alone", err)
	}
}

func TestTooManyMapsAreRefused(t *testing.T) {
	var items []string
	dir := t.TempDir()
	for i := range maxMaps + 1 {
		name := fmt.Sprintf("%03d.txt", i)
		write(t, dir, name, "a.example\n")
		items = append(items, fmt.Sprintf("%q", mapPrefix+name))
	}
	write(t, dir, "a.toml", mapRule("a", "author = ["+strings.Join(items[:maxMaps], ", ")+"]"))
	if s, err := Load(dir, Options{}); err != nil || len(s.Maps) != maxMaps {
		t.Errorf("Load of %d maps = %v; want no error", maxMaps, err)
	}
	write(t, dir, "a.toml", mapRule("a", "author = ["+strings.Join(items, ", ")+"]"))
	if _, err := Load(dir, Options{}); err == nil || !strings.Contains(err.Error(), "there are more than 100 maps") {
		t.Errorf("Load of one map more = %v; want an error", err)
	}
}

func TestAChangedMapMakesTheSetStaleAndIsReadAgainAlone(t *testing.T) {
	dir := ruleDir(t, map[string]string{
		"a.toml": mapRule("a", `author = ["map:a.txt", "map:b.txt"]`),
	})
	write(t, dir, "a.txt", "a.example\n")
	write(t, dir, "b.txt", "b.example\n")
	at := func(hour int) Options {
		return Options{Options: lint.Options{Now: time.Date(2026, 11, 2, hour, 0, 0, 0, time.UTC)}}
	}
	first, err := Load(dir, at(1))
	if err != nil || first.Stale() {
		t.Fatalf("Load = %v, stale %v; want a fresh set", err, first.Stale())
	}
	write(t, dir, "b.txt", "c.example\n") // of the same size
	write(t, dir, "a.toml", "not TOML")   // the rule files count as they were
	if !first.Stale() {
		t.Fatal("Stale() = false after a map was replaced; want true")
	}
	second, err := first.Refresh(at(2))
	if err != nil || second.Stale() {
		t.Fatalf("Refresh = %v, stale %v; want a fresh set", err, second != nil && second.Stale())
	}
	for _, tt := range []struct {
		set    *Set
		author string
		want   string
	}{{first, "b.example", "a"}, {first, "c.example", ""}, {second, "b.example", ""}, {second, "c.example", "a"}, {second, "a.example", "a"}} {
		if got := decided(tt.set, tt.author); got != tt.want {
			t.Errorf("rule for %s = %q; want %q", tt.author, got, tt.want)
		}
	}
	if a, b := second.Maps[0].Read.Hour(), second.Maps[1].Read.Hour(); a != 1 || b != 2 {
		t.Errorf("maps were read at %d and %d; want only the second one again, at 2", a, b)
	}
	write(t, dir, "b.txt", "*\n")
	if _, err := second.Refresh(at(3)); err == nil || !strings.Contains(err.Error(), "b.txt:1: ") || decided(second, "c.example") != "a" {
		t.Errorf("Refresh with a broken map = %v; want its line, and the set before as it was", err)
	}
	if err := os.Remove(filepath.Join(dir, "b.txt")); err != nil || !second.Stale() {
		t.Errorf("Stale() = false without the file, %v; want true", err)
	}
}

func TestASetWithoutMapsIsNeverStale(t *testing.T) {
	s, err := Load(ruleDir(t, map[string]string{"a.toml": ruleFile("a")}), Options{})
	if err != nil || s.Stale() {
		t.Errorf("Load = %v, stale; want a fresh set", err)
	}
	if empty := new(Set); empty.Stale() {
		t.Error("Stale() of no rules = true; want false")
	}
}

// Half of a file is what is there while somebody rewrites it in place.
func TestAFileThatChangesIsReadAgainSomeTimes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for changes, want := range map[int]string{0: "0", 1: "1", reads - 1: "2", reads: ""} {
		n := 0
		if err := os.WriteFile(path, []byte("0"), 0o600); err != nil {
			t.Fatal(err)
		}
		data, _, err := readSettled(path, func() (data []byte, info os.FileInfo, err error) {
			data, info, err = readOnce(path, 10)
			if n++; n <= changes {
				write(t, filepath.Dir(path), "f", fmt.Sprint(n))
			}
			return data, info, err
		})
		if string(data) != want || errors.Is(err, errChanging) != (want == "") {
			t.Errorf("a file that changes %d times = %q, %v; want %q", changes, data, err, want)
		}
	}
}

func TestAFileHasChangedWhenSizeTimeOrInodeHas(t *testing.T) {
	at := midnight(2026, 11, 2)
	tests := []struct {
		name   string
		change func(dir, path string) error
		want   bool
	}{
		{"nothing", func(_, _ string) error { return nil }, false},
		{"size alone", func(_, path string) error {
			return errors.Join(os.WriteFile(path, []byte("ab"), 0o600), os.Chtimes(path, at, at))
		}, true},
		{"time alone", func(_, path string) error { return os.Chtimes(path, at, at.Add(time.Nanosecond)) }, true},
		{"another file of the same size and time", func(dir, path string) error {
			other := filepath.Join(dir, "other")
			return errors.Join(os.WriteFile(other, []byte("b"), 0o600), os.Chtimes(other, at, at), os.Rename(other, path))
		}, true},
		{"no file any more", func(_, path string) error { return os.Remove(path) }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "f")
			if err := errors.Join(os.WriteFile(path, []byte("a"), 0o600), os.Chtimes(path, at, at)); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := tt.change(dir, path); err != nil {
				t.Fatal(err)
			}
			if got := changed(path, info); got != tt.want {
				t.Errorf("changed() = %v; want %v", got, tt.want)
			}
		})
	}
}

func TestAMapOfAMillionLinesIsLoadedAndMatched(t *testing.T) {
	var names, nets strings.Builder
	for i := range pattern.MaxMapEntries / scale {
		fmt.Fprintf(&names, "partner-%07d.example\n", i)
		fmt.Fprintf(&nets, "%d.%d.%d.0/24\n", 1+i>>16, i>>8&255, i&255)
	}
	dir := ruleDir(t, map[string]string{"a.toml": mapRule("a", `author = ["map:names.txt"]`), "b.toml": mapRule("b", `client = ["map:nets.txt"]`)})
	write(t, dir, "names.txt", names.String())
	write(t, dir, "nets.txt", nets.String())
	begin := time.Now()
	s, err := Load(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d domains and as many networks in %v", s.Maps[0].Entries, time.Since(begin))
	if got := decided(s, "partner-0000007.example"); got != "a" || s.Maps[0].Entries != pattern.MaxMapEntries/scale {
		t.Errorf("rule for a partner = %q of %d; want a of %d", got, s.Maps[0].Entries, pattern.MaxMapEntries/scale)
	}
}

// scale divides what a test takes of the limits.
const scale = 10
