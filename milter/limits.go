package milter

import "time"

// Limits bounds what a peer can make this process hold. A field that is zero
// stands for its default.
type Limits struct {
	// Connections is how many are served at once. Beyond it accepting pauses.
	Connections int
	// HeaderFields and HeaderBytes bound one message's header. Fields beyond
	// them are not kept, and Envelope.HeaderTruncated is set.
	HeaderFields int
	HeaderBytes  int
	// FrameBytes bounds one frame of header, body or macros.
	FrameBytes int
	// Recipients bounds Envelope.Rcpts. Further ones are not kept, and
	// Envelope.RcptsTruncated is set.
	Recipients int
	// NegotiateTimeout is how long after connecting a peer may take for its
	// offer, and FirstTimeout how long after that for its first command. Both
	// bound the whole, however often a byte comes: a peer that is no MTA holds
	// its place no longer.
	NegotiateTimeout, FirstTimeout time.Duration
	// IdleTimeout is how long a peer may be silent. It must be longer than
	// any client can keep its SMTP server waiting: a milter that hangs up
	// first makes the MTA use its default action.
	IdleTimeout time.Duration
	// WriteTimeout is how long a peer may take to read an answer.
	WriteTimeout time.Duration
}

const (
	// maxEnvelopeFrame bounds CONNECT, HELO, MAIL, RCPT and UNKNOWN: an SMTP
	// command line has at most 2,048 bytes in Postfix (line_length_limit) and
	// Sendmail (MAXLINE).
	maxEnvelopeFrame = 8 << 10
	// maxShortFrame bounds frames that carry nothing or a few numbers.
	maxShortFrame = 1 << 10
	// keepBuffer is the largest buffer for answers that is kept for others.
	keepBuffer = 16 << 10
)

// DefaultLimits returns the limits that a zero Limits stands for.
func DefaultLimits() Limits {
	return Limits{
		Connections:  4096,
		HeaderFields: 1000,
		HeaderBytes:  512 << 10, // Sendmail's own limit is 32 KiB (MaxHeadersLength); Postfix has none
		FrameBytes:   128 << 10, // twice MILTER_MAX_DATA_SIZE, the largest that an MTA sends
		Recipients:   1000,      // Postfix: smtpd_recipient_limit
		// MTAs make their offer when they have connected: Postfix gives up after
		// 30 s (milter_connect_timeout).
		NegotiateTimeout: 30 * time.Second,
		// Postfix sends CONNECT at once. Sendmail first connects to all its other
		// filters, to each for up to 5 minutes (T=C:5m).
		FirstTimeout: 5 * time.Minute,
		IdleTimeout:  15 * time.Minute,
		WriteTimeout: 30 * time.Second,
	}
}

// withDefaults puts the default in place of each limit that is not set.
func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	for _, n := range []struct{ set, def *int }{
		{&l.Connections, &d.Connections}, {&l.HeaderFields, &d.HeaderFields}, {&l.HeaderBytes, &d.HeaderBytes},
		{&l.FrameBytes, &d.FrameBytes}, {&l.Recipients, &d.Recipients},
	} {
		if *n.set <= 0 {
			*n.set = *n.def
		}
	}
	for _, t := range []struct{ set, def *time.Duration }{
		{&l.NegotiateTimeout, &d.NegotiateTimeout}, {&l.FirstTimeout, &d.FirstTimeout},
		{&l.IdleTimeout, &d.IdleTimeout}, {&l.WriteTimeout, &d.WriteTimeout},
	} {
		if *t.set <= 0 {
			*t.set = *t.def
		}
	}
	return l
}

// frame returns the largest length word that a frame of cmd may have.
func (l Limits) frame(cmd byte) int {
	switch cmd {
	case cmdConnect, cmdHelo, cmdMail, cmdRcpt, cmdUnknown:
		return maxEnvelopeFrame
	case cmdHeader, cmdBody, cmdEndOfMessage, cmdMacro:
		return l.FrameBytes
	}
	return maxShortFrame
}
