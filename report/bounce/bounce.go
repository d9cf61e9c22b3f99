// Package bounce takes mail for the return paths of report mails (report/verp),
// over LMTP or from a maildir, and finds out whether a delivery has failed
// (RFC 3464).
package bounce

import (
	"context"
	"errors"
	"time"
)

// Kind says what came back. The zero value changes nothing.
type Kind string

const (
	Answer  Kind = ""        // something else: a text by a person, an automatic answer
	Failed  Kind = "failed"  // the delivery has failed for good
	Delayed Kind = "delayed" // the delivery goes on
	Passed  Kind = "passed"  // delivered, relayed or expanded
)

// Bounce is one mail that came back. The texts are foreign: printable ASCII of
// at most 200 bytes.
type Bounce struct {
	Token    string // of the return path, checked; see report/verp
	Kind     Kind
	Status   string // enhanced status code, such as "5.1.1"; may be empty
	MTA      string // that reports
	Text     string // its diagnostic
	Received time.Time
}

// Handler stores a bounce and returns when the bounce is committed. The same
// bounce may come again, after a crash between the commit and the answer: at
// most one failure counts for a token. An error that is ErrFull says that there
// is no space; every error makes the MTA try again.
type Handler func(ctx context.Context, b Bounce) error

// ErrFull means that a bounce cannot be stored for lack of space.
var ErrFull = errors.New("no space to store bounces")
