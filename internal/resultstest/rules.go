package resultstest

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"dmarcgate/config/rulefile"
	"dmarcgate/policy/lint"
)

// Rules puts the text of a rule file into a directory, and reads it as the daemon
// does. Rules that do not load fail the test.
func Rules(t *testing.T, text string) *rulefile.Set {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := rulefile.Load(dir, rulefile.Options{Options: lint.Options{Now: time.Now(), Listeners: []string{"mta"}}})
	if err != nil {
		t.Fatalf("the rule does not load: %v\n%s", err, text)
	}
	return set
}
