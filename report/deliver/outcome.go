package deliver

// Class says what became of an attempt. The zero value promises nothing.
type Class uint8

const (
	Retry    Class = iota // not delivered now; another attempt may succeed
	Sent                  // the smarthost has taken the mail over
	Refused               // this mail or recipient is refused for good
	OurFault              // this host, its account or the smarthost is wrong: other mails would fare the same
)

// String returns the class as metrics and JSON have it.
func (c Class) String() string {
	switch c {
	case Sent:
		return "sent"
	case Refused:
		return "refused"
	case OurFault:
		return "our_fault"
	}
	return "retry"
}

// Phase is how far an attempt came, in the order of the constants.
type Phase string

const (
	Connect  Phase = "connect"  // the smarthost's name, TCP, and TLS where the session begins with it
	Greeting Phase = "greeting" // its first reply, and EHLO
	StartTLS Phase = "starttls" // STARTTLS, handshake and certificate
	Auth     Phase = "auth"
	Mail     Phase = "mail"
	Rcpt     Phase = "rcpt"
	Data     Phase = "data" // DATA, and sending the text
	End      Phase = "end"  // the reply to the final dot
)

// Outcome is what became of one attempt. The texts are of the smarthost:
// printable ASCII, at most maxText bytes.
type Outcome struct {
	Class    Class
	Phase    Phase
	Host     string // the smarthost
	Code     int    // of the reply; 0 without a reply
	Enhanced string // such as "5.1.1" (RFC 3463); may be empty
	Text     string // of the reply or of the error
	TLS      string // version and cipher of the session; empty without TLS
}

// Uncertain reports whether the whole text was sent and no reply came: the
// recipient may have the mail, and another attempt may deliver a copy
// (RFC 5321, Section 4.5.3.2.6).
func (o Outcome) Uncertain() bool { return o.Class == Retry && o.Phase == End && o.Code == 0 }

// TooLarge reports whether the smarthost or the recipient refused the mail for
// its size (RFC 1870; RFC 3463, Sections 3.3 and 3.4). A mail of a shorter period may pass.
func (o Outcome) TooLarge() bool {
	if o.Class != Refused {
		return false
	}
	return o.Enhanced == "5.3.4" || o.Enhanced == "5.2.3" || o.Code == 552 && o.Enhanced == ""
}
