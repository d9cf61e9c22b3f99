package explain

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The fixes are found by the reasons that auth/dkim gives, and must follow
// them.
func TestFixesOfDKIMHaveReason(t *testing.T) {
	files, err := filepath.Glob("../auth/dkim/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var source []byte
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, text...)
	}
	for reason := range fixes {
		if !bytes.Contains(source, []byte(strconv.Quote(reason))) {
			t.Errorf("auth/dkim has no reason %q", reason)
		}
	}
}
