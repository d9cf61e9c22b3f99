//go:build fault

package setup

import (
	"os"
	"syscall"
)

// Variables of the environment for a program built with the tag fault: the step at
// which it kills itself, and that there is no guard then, as at a power cut.
const (
	killAt  = "DMARCGATE_KILL_AT"
	noGuard = "DMARCGATE_NO_GUARD"
)

// guarded reports whether a guard is started.
func guarded() bool { return os.Getenv(noGuard) == "" }

// reached is called after each step of a change.
func reached(step string) {
	if os.Getenv(killAt) == step {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
