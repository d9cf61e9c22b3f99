package survey

import (
	"slices"

	"dmarcgate/policy"
)

// forged is the evidence that a message is not from whom it says.
var forged = []policy.Evidence{policy.SendsNoMail, policy.NoSuchDomain, policy.SignsMail}

// genuine is the evidence that it is.
var genuine = []policy.Evidence{policy.ARCSealer, policy.Forwarder, policy.BodyChanged}

// Forged reports whether evidence says that a message is not from whom it says.
func Forged(e policy.Evidence) bool { return slices.Contains(forged, e) }

// Genuine reports whether evidence says that a message is from whom it says.
func Genuine(e policy.Evidence) bool { return slices.Contains(genuine, e) }

// Weigher returns what says which evidence the profile conformant would go by,
// rules aside, under the other settings.
func Weigher(s policy.Settings) func(policy.Facts) policy.Evidence {
	s.Profile, s.Rules, s.EnforceShare = policy.Conformant, policy.Rules{}, 100
	return func(f policy.Facts) policy.Evidence { return s.Decide(f).Evidence }
}
