package config

import (
	"fmt"
	"slices"

	"dmarcgate/policy"
)

// TempAnswer is what is done with a message whose verdict hangs on a DNS
// failure, in the words of the configuration. The zero value delivers.
type TempAnswer uint8

// The answers.
const (
	TempAccept     TempAnswer = iota // deliver with the quarantine header field
	TempTempfail                     // 4xx, for a domain no longer than max_defer
	TempQuarantine                   // at once what follows on max_defer: what quarantine means for the listener
)

var tempAnswers = []string{"accept", "tempfail", "quarantine"}

// String returns the word used in the configuration file.
func (a TempAnswer) String() string {
	if int(a) >= len(tempAnswers) {
		return "invalid"
	}
	return tempAnswers[a]
}

// MarshalText implements encoding.TextMarshaler.
func (a TempAnswer) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText accepts the words of String.
func (a *TempAnswer) UnmarshalText(text []byte) error {
	i := slices.Index(tempAnswers, string(text))
	if i < 0 {
		return fmt.Errorf("%q is none of %q", text, tempAnswers)
	}
	*a = TempAnswer(i)
	return nil
}

// Action is the action for policy.Settings. That TempQuarantine does not wait is for
// MaxDefer to say, which is then 0.
func (a TempAnswer) Action() policy.Action {
	if a == TempAccept {
		return policy.Tag
	}
	return policy.Tempfail
}
