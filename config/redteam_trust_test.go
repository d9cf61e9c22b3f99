package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dmarcgate/config/tomlfile"
)

// Every file is a configuration whose lists would let spoofs past DMARC, or one
// that looks like it and is right. Its first line has the findings, "error" or
// "warning", line of the file, key and the begin of the text, separated by "; ",
// or "holds"; its second says why. Adding one needs no Go.
func TestParseHoldsTrustedListsToTheLevelsOfRules(t *testing.T) {
	paths, err := filepath.Glob("testdata/redteam-trust/*.toml")
	if err != nil || len(paths) < 40 {
		t.Fatalf("%d files: %v; want at least 40", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".toml"), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.SplitN(string(data), "\n", 3)
			if !strings.HasPrefix(lines[1], "# ") || !strings.HasSuffix(lines[1], ".") {
				t.Errorf("second line %q; want a sentence that says why", lines[1])
			}
			found := trustFindings(t, data)
			want := strings.Split(strings.TrimPrefix(lines[0], "# "), "; ")
			if want[0] == "holds" {
				want = nil
			}
			if len(found) != len(want) {
				t.Fatalf("findings = %q; want %q", found, want)
			}
			for i := range want {
				if !strings.HasPrefix(found[i], want[i]) {
					t.Errorf("finding %q; want %q", found[i], want[i])
				}
			}
		})
	}
}

// trustFindings returns errors and warnings as "error 7: key: text", and checks
// that each says where it is and how to fix it.
func trustFindings(t *testing.T, data []byte) []string {
	t.Helper()
	c, err := Parse("f", data)
	level, problems := "warning", []tomlfile.Problem(nil)
	if err != nil {
		level, problems = "error", err.(*tomlfile.Errors).Problems
	} else {
		problems = c.Warnings()
	}
	var found []string
	for _, p := range problems {
		if p.File == "" || p.Line == 0 || p.Key == "" || p.Fix == "" {
			t.Errorf("problem %+v; want file, line, key and fix", p)
		}
		found = append(found, fmt.Sprintf("%s %d: %s: %s", level, p.Line, p.Key, p.Text))
	}
	return found
}
