package results

import (
	"bytes"
	"net/netip"
	"time"

	"dmarcgate/policy"
)

// Identity says under which store id rows are kept by a database that has the
// rows of several files: those with a sequence from FirstSeq on, up to the
// next identity of the file. A file has more than one after it was found to be
// a copy of another (results/pg).
type Identity struct {
	StoreID  string // 32 hexadecimal digits
	FirstSeq int64
}

// Opening is one time that a file was opened to be written. Two files with the
// same openings up to one of them have the same rows up to there.
type Opening struct {
	Token    string // 32 hexadecimal digits, random
	FirstSeq int64  // no row before it was written in this opening
}

// Shipment is a row as it is stored: its columns, and the encoded rest.
type Shipment struct {
	Sequence                               int64
	Time                                   time.Time // to the millisecond; the rest is in Encoded
	State                                  State
	QueueID                                string
	Client                                 netip.Addr // zero when there is none
	Author                                 string
	PolicyDomain                           string // "" when it is Author
	Result, Requested, Disposition, Action uint8  // the store's own numbers
	Override                               string
	Flags                                  uint32
	Encoded                                []byte
}

// Restate is a state that a row was given after it was stored.
type Restate struct {
	Sequence int64
	State    State
}

// Waiting is what has not been shipped yet.
type Waiting struct {
	Rows   int64     // rows that were purged may count, too
	Oldest time.Time // time of the first of them; zero when nothing waits
}

// Row returns the row itself.
func (s *Shipment) Row() (Row, error) {
	c := s.columns()
	return c.toRow()
}

func (s *Shipment) columns() columns {
	var e encoder
	return columns{
		sequence: s.Sequence, time: s.Time.UnixMilli(), state: s.State, qid: s.QueueID, client: e.address(s.Client),
		author: s.Author, policyDomain: s.PolicyDomain, row: s.Encoded,
	}
}

// MarkRuled reports whether the row names a rule, and sees to it that Flags say
// so: those of schema version 2 do not, until the store has looked through them.
func (s *Shipment) MarkRuled() bool {
	named := new(blob).namesRule(s.Encoded)
	if named {
		s.Flags |= flagRuled
	}
	return named
}

// Shorten makes the network of what tells the client's address (Privacy), and
// reports whether that changed anything. Of a row that cannot be read, it
// shortens the address in the column.
func (s *Shipment) Shorten() bool {
	before, blob := s.Client, s.Encoded
	s.Client = shortAddr(s.Client)
	r, err := s.Row()
	if err != nil {
		return s.Client != before
	}
	r.shorten()
	var e encoder
	c, err := e.columns(&r)
	if err != nil {
		return s.Client != before
	}
	s.Encoded = c.row
	return s.Client != before || !bytes.Equal(s.Encoded, blob)
}

// Clean takes out of the row what is not to be stored: local parts, as earlier
// programs wrote them with the destinations of DMARC records, and what makes it
// larger than MaxRowBytes. It reports whether that changed anything. A row that
// cannot be read stays as it is.
func (s *Shipment) Clean() bool {
	var r Row
	stored := s.columns()
	if new(blob).readStored(&stored, &r) != nil {
		return false
	}
	cleaned, trimmed := r.clean(), r.trim()
	if !cleaned && !trimmed { // it stays as a newer program may have written it
		return false
	}
	var e encoder
	c, err := e.columns(&r)
	if err != nil {
		return false
	}
	s.QueueID, s.Author, s.PolicyDomain, s.Override, s.Encoded = c.qid, c.author, c.policyDomain, c.override, c.row
	return true
}

// Sender is an organization and a network that mail of it came from, with one
// message of it.
type Sender struct {
	Org      string
	Net      netip.Prefix // /24 or /48
	Sequence int64
	Time     time.Time
	Passed   bool // DMARC did
}

// Sender returns what the row adds to the senders; false when it adds nothing.
func (s *Shipment) Sender() (Sender, bool) {
	r, err := s.Row()
	if err != nil {
		return Sender{}, false
	}
	who, ok := senderOf(&r)
	return Sender{who.org, who.net, s.Sequence, s.Time, r.author().Verdict.Status == resultPass}, ok
}

// Author returns the author domain that decided, or else the first, or one
// without a name.
func (r *Row) Author() *policy.Author { return r.author() }
