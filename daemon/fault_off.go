//go:build !fault

package daemon

import (
	"time"

	"dmarcgate/milter"
	"dmarcgate/results/sqlite"
)

// wrapHandler is where the build tag fault plants failures; a daemon that is
// built without it has none.
func wrapHandler(h milter.Handler) milter.Handler { return h }

// wallClock is the clock of the host.
func wallClock() time.Time { return time.Now() }

// faultyMaintenance is where the build tag fault makes rounds of maintenance more frequent.
func faultyMaintenance(*sqlite.Options) {}
