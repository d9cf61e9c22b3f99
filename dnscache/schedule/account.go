package schedule

import (
	"net/netip"

	"dmarcgate/scope"
)

// Class says how much the verdict on a message needs a lookup. The zero Class
// is the one that gives way first.
type Class uint8

const (
	// Other is what a sender chose and what cannot align with the author
	// domain: keys of third parties' signatures and of ARC sets, the records of an
	// unaligned MAIL FROM.
	Other Class = iota

	// Author is the policy of the author domain, and what may align with it.
	// These lookups have a reserve of their own.
	Author

	classes = 2
)

// String returns the class as the metrics spell it.
func (c Class) String() string {
	if c == Author {
		return "author"
	}
	return "other"
}

// Account is what the lookups of one message are charged to, so that under
// pressure no message, client or zone takes the share of another. It may be
// used by many goroutines.
type Account struct {
	client  netip.Prefix      // behind a trusted relay; the zero prefix shares with its like
	message [classes]*account // guarded by Scheduler.mu
	spent   spent
}

// NewAccount makes the account of a message from client. Clients of one network
// share: a neighbour of an attacker shares with them, but only while there is
// pressure. Deferrals count the same networks.
func NewAccount(client netip.Addr) *Account {
	return &Account{client: scope.ClientNetwork(client), message: [classes]*account{{}, {}}}
}

// Bill is who a lookup is charged to, and in which class.
type Bill struct {
	Account *Account // nil: one message of our own
	Class   Class
}
