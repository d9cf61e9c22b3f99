package rulefile

// The codes of errors in rule files that policy does not find. They stay as they
// are: programs go by them.
const (
	CodeUnreadable = "unreadable"  // no TOML, an unknown key, or a value that cannot be read
	CodeFailedTest = "failed_test" // a test of a rule fails
)

// Codes returns them.
func Codes() []string { return []string{CodeUnreadable, CodeFailedTest} }
