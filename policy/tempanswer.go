package policy

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
func (a TempAnswer) String() string { return name(tempAnswers, a) }

// MarshalText implements encoding.TextMarshaler.
func (a TempAnswer) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText accepts the words of String.
func (a *TempAnswer) UnmarshalText(text []byte) error { return parse(tempAnswers, text, a) }

// Action is the action for Settings. That TempQuarantine does not wait is for
// Settings.MaxDefer to say, which is then 0.
func (a TempAnswer) Action() Action {
	if a == TempAccept {
		return Tag
	}
	return Tempfail
}
