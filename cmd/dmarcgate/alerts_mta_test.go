//go:build mta

package main

import (
	"strings"
	"testing"

	"dmarcgate/internal/promtest"
)

// promtool of Debian accepts the alert rules, and each alert fires and rests as its file of
// tests says.
func TestPromtoolTestsOfAlertsPass(t *testing.T) {
	out, err := promtest.Tool(t, "../../deploy/prometheus", "check", "rules", "dmarcgate.rules.yml")
	if err != nil {
		t.Errorf("promtool check rules: %v\n%s", err, out)
	}
	args := []string{"test", "rules"}
	for _, name := range alertNames(t) {
		args = append(args, "tests/"+name+".yml")
	}
	out, err = promtest.Tool(t, "../../deploy/prometheus", args...)
	if passed := strings.Count(out, "SUCCESS"); err != nil || passed != len(args)-2 {
		t.Errorf("promtool test rules: %v, %d of %d pass\n%s", err, passed, len(args)-2, out)
	}
}
