//go:build mta

package main

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// mandoc finds nothing wrong with the pages.
func TestManualPassesMandoc(t *testing.T) {
	pages, err := filepath.Glob(manualDir + "/*.[58]")
	if err != nil || len(pages) == 0 {
		t.Fatalf("pages = %q, %v", pages, err)
	}
	out, err := exec.Command("mandoc", append([]string{"-Tlint", "-Wwarning"}, pages...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("mandoc -Tlint -Wwarning: %v\n%s", err, out)
	}
}
