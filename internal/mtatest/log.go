package mtatest

import (
	"context"
	"dmarcgate/internal/childtest"
	"fmt"
	"os"
	"slices"
	"strings"
)

// readLog returns a log as it is now; one that cannot be read is its error.
func readLog(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// waitLog waits until a line of the log holds all of the texts, and returns
// the first that does.
func waitLog(ctx context.Context, file string, texts []string) (string, error) {
	var found string
	err := childtest.Poll(ctx, func() bool {
		for line := range strings.Lines(readLog(file)) {
			missing := func(text string) bool { return !strings.Contains(line, text) }
			if strings.HasSuffix(line, "\n") && !slices.ContainsFunc(texts, missing) {
				found = strings.TrimSuffix(line, "\n")
				return true
			}
		}
		return false
	})
	if err != nil {
		return "", fmt.Errorf("no line of the log has %q: %w", texts, err)
	}
	return found, nil
}
