// Package bounce takes mail for the return paths of report mails (report/verp),
// over LMTP or from a maildir, and finds out whether a delivery has failed.
//
// A return path names one delivery. So the notice alone counts that something
// has failed (RFC 3464), not the recipient that it names: who knows a return
// path is the recipient of that mail or an MTA on the way. What is no notice is
// an Answer. The package stores nothing and sends nothing.
//
// # Limits
//
// Over LMTP: maxSessions at once, maxSession for each, maxMail bytes of a mail,
// a deadline for each command and for the text. Recipients are return paths that
// are valid and young enough, others are refused. Of a mail maxRead bytes are
// looked at, of its notice maxNotice.
//
// # Failures
//
// The answer to a mail follows the commit: 250 after the Handler, 452 when it
// says ErrFull, 451 for every other error. A file of a maildir is moved after the
// commit. So no bounce is lost, and a crash between commit and answer brings
// the same bounce again.
package bounce

import (
	"context"
	"errors"
	"time"

	"dmarcgate/report/verp"
)

// Kind says what came back. The zero value changes nothing.
type Kind string

const (
	Answer  Kind = ""        // no notice: a text by a person, an automatic answer
	Failed  Kind = "failed"  // the delivery has failed for good
	Delayed Kind = "delayed" // the delivery goes on
	Passed  Kind = "passed"  // delivered, relayed or expanded
)

// Bounce is one mail that came back. MTA and Text are foreign: printable ASCII
// of at most maxText bytes.
type Bounce struct {
	Token    string // of the return path, checked; see report/verp
	Kind     Kind
	Status   string // enhanced status code, such as "5.1.1"; may be empty
	MTA      string // that refused the mail, or else that reports
	Text     string // its diagnostic
	Received time.Time
}

// Handler stores a bounce and returns after the commit. The same bounce may come
// again: at most one failure counts for a token. An error makes the MTA try
// again; ErrFull says that space is what is missing.
type Handler func(ctx context.Context, b Bounce) error

// ErrFull means that a bounce cannot be stored for lack of space.
var ErrFull = errors.New("no space to store bounces")

// Intake says which return paths are taken, and who stores their bounces.
type Intake struct {
	Key    verp.Key
	Domain string // of the return paths
	Handle Handler
	Now    func() time.Time // nil is time.Now
}

func (in Intake) now() time.Time {
	if in.Now == nil {
		return time.Now()
	}
	return in.Now()
}

// handle makes a bounce of a mail to a token.
func (in Intake) handle(ctx context.Context, token string, mail []byte) error {
	b := read(mail)
	b.Token, b.Received = token, in.now()
	return in.Handle(ctx, b)
}
