package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const source = `package p

import "strings"

var room [4]int

// F is tested by nobody.
func F(a, b int) bool {
	if a < b && b != 3 {
		strings.ToUpper("x")
		return true
	}
	for i := 0; ; i++ {
		switch {
		case a == i:
			break
		}
	}
}
`

func TestWhatIsChanged(t *testing.T) {
	list, err := ofFile("p/f.go", []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range list {
		line := strings.Split(string(m.apply([]byte(source))), "\n")[m.line-1]
		got = append(got, strings.TrimPrefix(m.key, "p/f.go F: ")+" => "+strings.TrimSpace(line))
	}
	want := []string{
		"negate: a < b && b != 3 => if !(a < b && b != 3) {",
		"swap: a < b && b != 3 => if a < b || b != 3 {",
		"swap: a < b => if a <= b && b != 3 {",
		"swap: b != 3 => if a < b && b == 3 {",
		"one more: 3 in if a < b && b != 3 { => if a < b && b != (3+1) {",
		`leave out: strings.ToUpper("x") => `,
		"leave out: return true => ",
		"flip: true in return true => return false",
		"one more: 0 in for i := 0; ; i++ { => for i := (0+1); ; i++ {",
		"leave out: i++ => for i := 0; ;  {",
		"negate: a == i => case !(a == i):",
		"swap: a == i => case a != i:",
		"leave out: break => ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("changes:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestEqualChangesAreNumbered(t *testing.T) {
	list, err := ofFile("p/f.go", []byte("package p\n\nfunc (t *T) String() { f(); f() }\nfunc (T) Size() { f() }\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range list {
		got = append(got, m.key)
	}
	want := []string{"p/f.go T.String: leave out: f()", "p/f.go T.String: leave out: f() #2", "p/f.go Size: leave out: f()"}
	if !slices.Equal(got, want) {
		t.Errorf("keys = %q; want %q", got, want)
	}
}

func TestASampleIsTheSameEachTime(t *testing.T) {
	all := make([]mutant, 100)
	for i := range all {
		all[i].line = i
	}
	one, two, other := sample(all, 10, 1), sample(all, 10, 1), sample(all, 10, 2)
	if len(one) != 10 || !slices.Equal(one, two) || slices.Equal(one, other) {
		t.Errorf("samples = %v, %v and with another seed %v; want ten, twice the same", one, two, other)
	}
	if !slices.IsSortedFunc(one, func(a, b mutant) int { return a.line - b.line }) {
		t.Errorf("sample = %v; want the order of the files", one)
	}
	if len(sample(all, 0, 1)) != 100 || len(sample(all, 1000, 1)) != 100 {
		t.Error("sample of 0 and of more than all: want all")
	}
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestExplanationsAreRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "explained")
	write(t, dir, map[string]string{"explained": "# all\n\np/f.go F: negate: a\n\tbecause\n\tof this\nq/f.go F: negate: a\n  no\n"})
	got, err := readExplained(path)
	if err != nil || len(got) != 2 || got["p/f.go F: negate: a"] != "because of this" || !slices.Equal(got.of("q"), []string{"q/f.go F: negate: a"}) {
		t.Errorf("readExplained = %q, %v; want two", got, err)
	}
	for name, text := range map[string]string{"no reason": "p/f.go F: a\n", "no change": " because\n", "twice": "p/f.go F: a\n x\np/f.go F: a\n y\n"} {
		write(t, dir, map[string]string{"explained": text})
		if got, err := readExplained(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: readExplained = %q, %v; want an error that names the file", name, got, err)
		}
	}
	if got, err := readExplained(filepath.Join(dir, "absent")); got != nil || err != nil {
		t.Errorf("readExplained(no file) = %v, %v; want nothing", got, err)
	}
}

// module is a package of which one change survives, one does not compile, and
// one never ends.
var module = map[string]string{
	"go.mod": "module m\n\ngo 1.25\n",
	"p/p.go": `package p

func Least(a, b int) int {
	if a < b {
		return a
	}
	return b
}
`,
	"p/p_test.go": `package p

import "testing"

func TestLeast(t *testing.T) {
	if Least(1, 2) != 1 || Least(2, 1) != 1 {
		t.Fail()
	}
}
`,
	"survivors.txt": "p/p.go Least: swap: a < b\n\tequal numbers are equally small\n",
}

func runIn(t *testing.T, files map[string]string, args ...string) (code int, out string) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, files)
	var stdout, stderr strings.Builder
	code = run(append([]string{"-root", dir, "-explain", "survivors.txt", "-parallel", "1"}, args...), &stdout, &stderr)
	return code, stdout.String() + stderr.String()
}

func TestAPackageIsTried(t *testing.T) {
	const figures = "p: 3 changes, 2 killed (66.7 %), 1 survived, "
	code, out := runIn(t, module, "p")
	if code != 1 || !strings.Contains(out, figures+"0 of them not explained;") || strings.Contains(out, "SURVIVED") {
		t.Errorf("run = %d, %s; want 1, because two of three are less than 95 %%", code, out)
	}
	without := map[string]string{"survivors.txt": "p/p.go Least: gone\n\tnot true any more\n"}
	for name, text := range module {
		if name != "survivors.txt" {
			without[name] = text
		}
	}
	code, out = runIn(t, without, "p")
	if code != 1 || !strings.Contains(out, figures+"1 of them not explained") || !strings.Contains(out, "SURVIVED p/p.go Least: swap: a < b (line 4)") ||
		!strings.Contains(out, "EXPLAINED BUT DOES NOT SURVIVE p/p.go Least: gone") {
		t.Errorf("run = %d, %s; want 1 and both complaints", code, out)
	}
}

func TestWhatCannotBeTriedIsAnError(t *testing.T) {
	failing := map[string]string{"go.mod": module["go.mod"], "p/p.go": module["p/p.go"], "p/p_test.go": "package p\n\nimport \"testing\"\n\nfunc TestIt(t *testing.T) { t.Fail() }\n"}
	for name, tt := range map[string]struct {
		files map[string]string
		arg   string
	}{
		"no such package":    {module, "q"},
		"tests that fail":    {failing, "p"},
		"an unknown flag":    {module, "-x"},
		"bad explanations":   {map[string]string{"survivors.txt": "x\n"}, "p"},
		"a file that is bad": {map[string]string{"p/p.go": "package"}, "p"},
	} {
		if code, out := runIn(t, tt.files, tt.arg); code != 2 || out == "" {
			t.Errorf("%s: run = %d, %q; want 2 and why", name, code, out)
		}
	}
}

func TestChangesAreListed(t *testing.T) {
	code, out := runIn(t, module, "-list", "p")
	if code != 0 || strings.Count(out, "\n") != 3 {
		t.Errorf("run -list = %d, %s; want the three changes that compile", code, out)
	}
	if code, out = runIn(t, module, "-list", "-only", "Least: swap", "p"); code != 0 || out != "p/p.go Least: swap: a < b\n" {
		t.Errorf("run -list -only = %d, %s; want one", code, out)
	}
}

func TestEnoughIsGoodEnough(t *testing.T) {
	fates := func(kills, lives int) tally {
		t := tally{fates: map[string]fate{"p/a": broken}}
		for i := range kills {
			t.fates["p/k"+strings.Repeat("x", i)] = killed
		}
		for i := range lives {
			t.fates["p/s"+strings.Repeat("x", i)] = survived
		}
		return t
	}
	explained := explanations{"p/s": "x"}
	for _, tt := range []struct {
		name  string
		tally tally
		whole bool
		want  bool
	}{
		{"all killed but one, and that explained", fates(19, 1), true, true},
		{"one fewer", fates(18, 1), true, false},
		{"one that is not explained", fates(100, 2), true, false},
		{"nothing", fates(0, 0), false, false},
		{"an explanation that is not needed", fates(20, 0), true, false},
		{"the same in a sample, where it may just not have been tried", fates(20, 0), false, true},
	} {
		var out strings.Builder
		if got := tt.tally.report(&out, "p", explained, tt.whole, 0); got != tt.want {
			t.Errorf("%s: report = %t (%s); want %t", tt.name, got, out.String(), tt.want)
		}
	}
}
