package queue

import "time"

// Kind says what a report is about.
type Kind string

// The kinds of reports.
const (
	Aggregate Kind = "a" // RFC 9990
	Failure   Kind = "f" // RFC 9991
)

// State says where a report is on its way. No step leads out of the states from
// Done on, except Retry.
type State string

// The states of a report.
const (
	Planned State = "planned" // it has no body yet
	Ready   State = "ready"   // the body is stored, and deliveries are at work

	Done      State = "done"      // every delivery has ended
	Withheld  State = "withheld"  // a gate is shut; Why names the gate
	Withdrawn State = "withdrawn" // the domain asks for no reports any more
	Split     State = "split"     // too large: reports of parts of the period replace it
	Failed    State = "failed"    // no valid document could be made; Why says what is wrong
	Held      State = "held"      // it may have been sent before the queue was restored
)

// Ended reports whether nothing happens to the report without Retry.
func (s State) Ended() bool { return s != Planned && s != Ready }

// Report is one document for one policy domain.
type Report struct {
	ID           string // 32 hexadecimal digits
	Kind         Kind
	PolicyDomain string
	Begin, End   time.Time // UTC, the end exclusive
	PolicyHash   string
	Form         string // rfc9990 or rfc7489
	State        State
	Why          string
	Rows         int64 // of the store
	Messages     int64
	Records      int64
	Created      time.Time
	SHA256       string // of the body, hexadecimal; "" before there is one
	Size         int64  // of the body in bytes; 0 before there is one, and after it was deleted
	Deliveries   []Delivery
}

// Body is the document of a report.
type Body struct {
	Gzip    []byte
	Records int64 // of the document
}

// DeliveryState says where a delivery is on its way. No step leads out of the
// states from Sent on, except Retry, and a bounce from Sent to Refused.
type DeliveryState string

// The states of a delivery.
const (
	Due    DeliveryState = "due"    // to be tried at NextTry
	Trying DeliveryState = "trying" // an attempt has begun

	Sent         DeliveryState = "sent"         // the next server has taken the mail
	Refused      DeliveryState = "refused"      // a server has refused the mail, or a bounce came
	Expired      DeliveryState = "expired"      // temporary failures for too long
	Suppressed   DeliveryState = "suppressed"   // the address, host or domain is suppressed
	Unauthorized DeliveryState = "unauthorized" // the destination has not consented (RFC 9990, Section 4)
	DeliveryGone DeliveryState = "withdrawn"    // the record or the URI is gone
	DeliveryHeld DeliveryState = "withheld"     // a gate is shut, or the queue was restored
)

// Ended reports whether nothing happens to the delivery without Retry or a bounce.
func (s DeliveryState) Ended() bool { return s != Due && s != Trying }

// Delivery is one mail with one report to one recipient.
type Delivery struct {
	ID        int64  // of the database
	Key       string // canonical address: one delivery for each
	URI       string // as published
	Via       string // record or consent
	Host      string // domain of the address, for the limits of a day
	State     DeliveryState
	Why       string // of a state that no server has caused
	Attempts  int
	NextTry   time.Time
	FirstTry  time.Time // Date of the mail, and the begin of its 72 hours; zero before
	Code      int       // of the last reply, such as 250; 0 without one
	Enhanced  string    // such as 5.1.1
	Text      string    // of the last reply, printable, at most MaxText bytes
	ReplyID   string    // queue id of the next server
	VERP      string    // token of the envelope sender; bounces are found by it
	Suspected int       // copies that may have been sent because a host died
}

// Attempt is one try to deliver. It is committed when Begin returns.
type Attempt struct {
	Delivery int64 // ID
	N        int   // from 1 on
	At       time.Time
	// Date is that of the first attempt: the mail has the same bytes each time.
	Date time.Time
	// Again says that the attempt before began, and that nobody knows how it ended.
	Again bool
	// Mark is to be kept outside of the queue before the mail goes out.
	Mark Mark
}

// Outcome is how an attempt ended.
type Outcome struct {
	State    DeliveryState // Sent, Refused, Expired, or Due to try again
	Why      string        // short word of the class, for metrics and lists
	NextTry  time.Time     // with Due
	Host     string        // server that answered; "" without a connection
	Code     int
	Enhanced string
	Text     string
	ReplyID  string
	// Strike, when not nil, counts against the destination in the same transaction.
	Strike *Strike
}
