package results

import (
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
)

// DaySum is how many messages of one day a store has of one kind. Messages that
// another program decided are in none.
type DaySum struct {
	Day         time.Time // its beginning, UTC
	State       State
	Skipped     bool // not evaluated: Result says nothing
	Result      dmarc.Status
	Requested   dmarc.Policy // the strictest policy published for a failing author domain
	Disposition policy.Disposition
	Messages    int64
}
