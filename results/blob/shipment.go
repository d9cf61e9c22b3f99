package blob

import (
	"bytes"
	"net/netip"
	"time"

	"dmarcgate/results"
)

// Shipment is a row as it is stored: its columns, and the encoded rest.
type Shipment struct {
	Sequence                               int64
	Time                                   time.Time // to the millisecond; the rest is in Encoded
	State                                  results.State
	QueueID                                string
	Client                                 netip.Addr // zero when there is none
	Author                                 string
	PolicyDomain                           string // "" when it is Author
	Result, Requested, Disposition, Action uint8  // the store's own numbers
	Reason                                 string
	Flags                                  uint32
	Encoded                                []byte
}

// Row returns the row itself.
func (s *Shipment) Row() (results.Row, error) {
	c := s.columns()
	return c.Row()
}

func (s *Shipment) columns() Columns {
	var e Encoder
	return Columns{
		Sequence: s.Sequence, Time: s.Time.UnixMilli(), State: s.State, QueueID: s.QueueID, Client: e.Address(s.Client),
		Author: s.Author, PolicyDomain: s.PolicyDomain, Blob: s.Encoded,
	}
}

// MarkRuled reports whether the row names a rule, and sees to it that Flags say
// so: those of schema version 2 do not, until the store has looked through them.
func (s *Shipment) MarkRuled() bool {
	named := new(Reader).NamesRule(s.Encoded)
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
	s.Client = results.ShortAddr(s.Client)
	r, err := s.Row()
	if err != nil {
		return s.Client != before
	}
	r.Shorten()
	var e Encoder
	c, err := e.Columns(&r)
	if err != nil {
		return s.Client != before
	}
	s.Encoded = c.Blob
	return s.Client != before || !bytes.Equal(s.Encoded, blob)
}

// Clean takes out of the row what is not to be stored: local parts, as earlier
// programs wrote them with the destinations of DMARC records, and what makes it
// larger than MaxRowBytes. It reports whether that changed anything. A row that
// cannot be read stays as it is.
func (s *Shipment) Clean() bool {
	var r results.Row
	stored := s.columns()
	if new(Reader).readStored(&stored, &r) != nil {
		return false
	}
	cleaned, trimmed := r.Clean(), Trim(&r)
	if !cleaned && !trimmed { // it stays as a newer program may have written it
		return false
	}
	var e Encoder
	c, err := e.Columns(&r)
	if err != nil {
		return false
	}
	s.QueueID, s.Author, s.PolicyDomain, s.Reason, s.Encoded = c.QueueID, c.Author, c.PolicyDomain, c.Reason, c.Blob
	return true
}

// Sender returns what the row adds to the senders; false when it adds nothing.
func (s *Shipment) Sender() (results.Sender, bool) {
	r, err := s.Row()
	if err != nil {
		return results.Sender{}, false
	}
	who, ok := r.Sender()
	who.Sequence, who.Time = s.Sequence, s.Time
	return who, ok
}
