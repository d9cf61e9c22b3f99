package dnscache

import "net/netip"

// Class says how much the verdict on a message needs a lookup. The zero Class
// is the one that gives way first.
type Class uint8

const (
	// Other is what a sender chose and what cannot align with the author
	// domain: keys of strangers' signatures and of ARC sets, the records of an
	// unaligned MAIL FROM.
	Other Class = iota

	// Author is the policy of the author domain, and what may align with it.
	// These lookups have a reserve of their own.
	Author
)

// Account is what the lookups of one message are charged to, so that under
// pressure no message, client or zone takes the share of another. It may be
// used by many goroutines.
type Account struct {
	client netip.Addr // behind a trusted relay; the zero address shares with its like
}

// NewAccount makes the account of a message from client.
func NewAccount(client netip.Addr) *Account { return &Account{client: client} }

// Charged returns a view whose lookups are charged to a message. A view that
// is not charged stands for one message of our own.
func (v View) Charged(a *Account, c Class) View {
	v.account, v.class = a, c
	return v
}
