package milter

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"time"
)

// Envelope is what is known of a message besides its content. All its text was
// written by a third party.
type Envelope struct {
	// Listener is the name of the server that the MTA connected to.
	Listener string
	// Client is the address of the SMTP client; zero when it has none.
	Client netip.Addr
	// Local tells that the message comes from a program of the MTA's host and
	// not over a network: by a local socket, so that Client is zero, or by
	// sendmail(1) and non_smtpd_milters of Postfix, which then plays a client
	// with a loopback address and port 0.
	Local bool
	// ClientName is the client's name as the MTA verified it, or "".
	ClientName string
	// Helo is what the client last called itself; "" after an XCLIENT in
	// Postfix, which does not repeat it.
	Helo string
	// MailFrom is the reverse path without brackets; "" is the null path.
	MailFrom string
	// MailArgs are the ESMTP parameters of MAIL.
	MailArgs []string
	// Rcpts are the recipients that the MTA accepted, without brackets.
	Rcpts []string
	// QueueID is the MTA's name of the message. An MTA may tell it late:
	// empty in Start, it can be set in Finish.
	QueueID string
	// Daemon is {daemon_name}, AuthType and Authenticated are {auth_type}
	// and {auth_authen}, MTAName is j.
	Daemon, AuthType, Authenticated, MTAName string
	// TLS is {tls_version}, the version that the client speaks; "" without
	// encryption, and when the MTA does not tell.
	TLS string
	// Received is when MAIL came.
	Received time.Time
	// HeaderTruncated tells that the header was longer than Limits allow, and
	// that its last fields are missing.
	HeaderTruncated bool
	// Overflow is what Handler.Overflow returned for this message; nil unless
	// HeaderTruncated.
	Overflow Overflow
	// RcptsTruncated tells that recipients are missing from Rcpts.
	RcptsTruncated bool
	// Negotiated is what the MTA lets us do.
	Negotiated Negotiated
}

// Handler is given each message once its header is complete. Its methods may
// be called by several connections at once.
type Handler interface {
	// Overflow is called before Start, once for a message whose header is
	// longer than Limits allow, at its first field beyond them. header is what
	// is kept. Of env, QueueID and Rcpts may still change.
	Overflow(env *Envelope, header [][]byte) Overflow

	// Start begins work on a message. Each element of header is a raw field,
	// top first: name, ":", value with folds as CRLF, CRLF. env and header
	// belong to the message from now on.
	//
	// ctx is done when the MTA aborts the message or goes away, and after its
	// answer was written. An MTA that goes away during Finish is noticed when
	// it is next told of the progress (Server.Progress); one that came by TCP,
	// where the first write to a peer that has gone succeeds, one later.
	Start(ctx context.Context, env *Envelope, header [][]byte) Message
}

// Overflow sees the fields of one header that are beyond Limits.
type Overflow interface {
	// Field is called for each of them, in their order, with a raw field as
	// Start would have got it. The bytes are not the callee's to keep. There are
	// at most three times Limits.FrameBytes, if all of them are folds.
	Field(raw []byte)
}

// Message receives the body in order, then answers. Its methods are called one
// after the other, though not by the same goroutine.
type Message interface {
	// Write takes the next part of the body, which is not the writer's to
	// keep. ErrSkip, or any other error, ends the body.
	io.Writer
	// Finish is called once at end of message, unless the message was aborted
	// or one of its methods has panicked. While it runs the MTA is kept
	// waiting, however long that takes: Finish must bound itself. It is waited
	// for even when ctx is done.
	Finish() Answer
}

// ErrSkip is returned by Message.Write when no more of the body is wanted.
var ErrSkip = errors.New("no more body wanted")
