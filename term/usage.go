package term

import "fmt"

// UsageError is a command line that must be changed before it can work: the
// command ends with exit code 2.
type UsageError struct{ error }

// Usagef makes a UsageError, whose text names the flag or argument. The arguments
// are those of fmt.Errorf.
func Usagef(format string, args ...any) error { return UsageError{fmt.Errorf(format, args...)} }
