package results

import (
	"net/netip"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/scope"
)

// Sender is an organization and a network that mail of it came from, with one
// message of it.
type Sender struct {
	Org      string
	Net      netip.Prefix // /24 or /48
	Sequence int64
	Time     time.Time
	Passed   bool // DMARC did
}

// Sender returns what the row adds to the senders; false when it adds nothing.
func (r *Row) Sender() (Sender, bool) {
	a, client := r.Author(), r.Facts.Client.Unmap().WithZone("")
	if a.Org == "" || !client.IsValid() || r.Facts.Skip != policy.Evaluated {
		return Sender{}, false
	}
	return Sender{a.Org, scope.ClientNetwork(client), r.Sequence, r.Facts.Time, a.Verdict.Status == dmarc.Pass}, true
}

// Matches reports whether what is known of a sender is meant, Time being that
// of its last message. That a network holds the client is enough: it is met
// again, as a new one, with its next message.
func (s *Sender) Matches(p Purge) bool {
	return !p.Empty() && (p.Before.IsZero() || s.Time.Before(p.Before)) &&
		(!p.Client.IsValid() || s.Net.Overlaps(unmapped(p.Client))) &&
		(p.Domain == "" || scope.AtOrBelow(s.Org, p.Domain))
}
