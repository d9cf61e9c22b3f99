// Command conformance runs the test suites of third parties, and is the only
// writer of docs/conformance.md. With -check it compares the page with what
// the suites give and writes nothing.
//
// A suite is a Go test with a subtest for each case. The cases are counted from
// the events of "go test -json", so the page cannot claim what did not run: a
// case that fails or is skipped, or a suite without cases, is an error.
//
// # Failures
//
// Without the suites' data there is no page: that is an error, or with -check,
// unless DMARCGATE_TESTDATA is set, one line that says NOT RUN.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const page = "docs/conformance.md"

func main() {
	check := flag.Bool("check", false, "compare "+page+" with what the suites give")
	flag.Parse()
	if err := run(*check, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// run works in the top folder of the tree, from where make calls it.
func run(check bool, stdout io.Writer) error {
	dir, set, err := testdata()
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); err != nil {
		if check && !set {
			fmt.Fprintf(stdout, "conformance: NOT RUN, no data of the suites at %s (set DMARCGATE_TESTDATA)\n", dir)
			return nil
		}
		return fmt.Errorf("no data of the suites: %w (set DMARCGATE_TESTDATA)", err)
	}
	found, err := runSuites(dir)
	if err != nil {
		return err
	}
	for _, f := range found {
		fmt.Fprintf(stdout, "%s: %d cases, %d as expected\n", f.name, len(f.cases), len(f.cases)-len(f.deviations()))
	}
	text := render(found)
	if !check {
		return os.WriteFile(page, text, 0o644)
	}
	committed, err := os.ReadFile(page)
	if err == nil && !bytes.Equal(committed, text) {
		err = errors.New(page + " is not what the suites give; run make conformance and read the difference")
	}
	return err
}

// testdata returns the folder of the suites, and whether it was set.
func testdata() (dir string, set bool, err error) {
	dir, set = os.LookupEnv("DMARCGATE_TESTDATA")
	if !set {
		dir, err = filepath.Abs(filepath.Join("..", "shared", "testdata"))
	}
	return dir, set, err
}
