// Package suites reads the test suites of third parties, which are not part of
// the project. It is test support.
package suites

import (
	"os"
	"path/filepath"
	"testing"
)

// Read returns a file of the shared test data, for a test in a room of the
// second level (auth/spf). Where the data are is set by DMARCGATE_TESTDATA;
// when that is set, a file that is not there is a failure, and otherwise the
// test is skipped and says so.
func Read(t *testing.T, name string) []byte {
	t.Helper()
	dir, set := os.LookupEnv("DMARCGATE_TESTDATA")
	if !set {
		dir = filepath.Join("..", "..", "..", "shared", "testdata")
	}
	text, err := os.ReadFile(filepath.Join(dir, name))
	switch {
	case err != nil && set:
		t.Fatalf("DMARCGATE_TESTDATA is set: %v", err)
	case err != nil:
		t.Skipf("SKIPPED, no shared test data (set DMARCGATE_TESTDATA): %v", err)
	}
	return text
}
