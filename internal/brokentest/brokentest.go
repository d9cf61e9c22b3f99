// Package brokentest tests readers of files on files that are broken.
package brokentest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Files reads every file in dir, under the name "f". Each starts with the problems
// it has, one per "# want: " line, so adding a case needs no Go. read reports
// whether there is a result beside the error.
func Files(t *testing.T, dir string, read func(data []byte) (bool, error)) {
	t.Helper()
	paths, err := filepath.Glob(dir + "/*.toml")
	if err != nil || len(paths) < 20 {
		t.Fatalf("%d files in %s: %v; want at least 20", len(paths), dir, err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".toml"), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			some, err := read(data)
			if some || err == nil {
				t.Fatalf("the file is read, error %v; want an error and no result", err)
			}
			got := strings.ReplaceAll("\n"+err.Error(), "\nf: ", "\n")
			got = strings.ReplaceAll(got, "\nf:", "\n")[1:]
			if want := wants(string(data)); got != want {
				t.Errorf("problems = \n%s\nwant\n%s", got, want)
			}
		})
	}
}

func wants(data string) string {
	var lines []string
	for line := range strings.Lines(data) {
		w, ok := strings.CutPrefix(line, "# want: ")
		if !ok {
			break
		}
		lines = append(lines, strings.TrimSpace(w))
	}
	return strings.Join(lines, "\n")
}
