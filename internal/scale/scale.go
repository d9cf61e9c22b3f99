// Package scale says how large tests are: the size of `make test`, or a multiple
// of that for `make soak`.
package scale

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

// Of is how many times more a test does than in `make test`: DMARCGATE_SCALE, 1 by
// default.
func Of(t testing.TB) int {
	t.Helper()
	n, err := parse(os.Getenv("DMARCGATE_SCALE"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func parse(text string) (int, error) {
	if text == "" {
		return 1, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("DMARCGATE_SCALE = %q; want a whole number from 1 up", text)
	}
	return n, nil
}
