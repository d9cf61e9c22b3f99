package blob

import (
	"fmt"
	"net/netip"
	"time"

	"dmarcgate/policy"
	"dmarcgate/results"
)

// The bits of columns.Flags. Files hold them.
const (
	flagOverridden = 1 << iota // the decision is not what the owner asked for
	flagMalformed              // of the DMARC record or of the From field
	flagStale                  // decided with DNS answers that had expired
	flagSkipped                // not evaluated
	flagRuled                  // names a rule, see ruled
)

// The numbers of results in SQL, which are those of dmarc.Status.
const (
	resultPass      = 1
	resultFail      = 2
	resultPermError = 4
)

// Columns is a row as tables hold it: what rows are searched by, and the rest
// as a blob.
type Columns struct {
	Sequence     int64
	Time         int64 // milliseconds since 1970, UTC
	State        results.State
	QueueID      string
	Client       []byte // 4 or 16; none when the client has no address
	Author       string
	PolicyDomain string // empty when it is the author's own name
	Result       uint8
	Requested    uint8
	Disposition  uint8
	Action       uint8
	Reason       string
	Flags        uint8
	Blob         []byte
}

// Columns returns the columns of a row. The bytes are valid until the next
// call.
func (e *Encoder) Columns(r *results.Row) (*Columns, error) {
	author := r.Author()
	e.out = Columns{
		Time: r.Facts.Time.UnixMilli(), State: r.State, QueueID: r.Facts.QueueID, Client: e.Address(r.Facts.Client),
		Author: author.Domain, PolicyDomain: author.PolicyDomain, Result: uint8(author.Verdict.Status),
		Requested: uint8(r.Decision.Requested), Disposition: uint8(r.Decision.Disposition), Action: uint8(r.Decision.Action),
		Reason: string(r.Decision.Reason), Flags: flags(r), Blob: e.out.Blob[:0],
	}
	c := &e.out
	if c.PolicyDomain == c.Author {
		c.PolicyDomain = ""
	}
	e.begin(c.Author, c.PolicyDomain)
	rowFields.write(e, r)
	var err error
	c.Blob, err = e.appendTo(c.Blob)
	return c, err
}

// Address returns the bytes of an address, in a buffer of the Encoder.
func (e *Encoder) Address(a netip.Addr) []byte {
	switch {
	case a.Is4():
		b := a.As4()
		return append(e.client[:0], b[:]...)
	case a.Is6():
		b := a.As16()
		return append(e.client[:0], b[:]...)
	}
	return e.client[:0]
}

func flags(r *results.Row) uint8 {
	var flags uint8
	if r.Decision.Reason != policy.AsPublished {
		flags |= flagOverridden
	}
	if malformed(r) {
		flags |= flagMalformed
	}
	if r.Facts.Stale {
		flags |= flagStale
	}
	if r.Facts.Skip != policy.Evaluated {
		flags |= flagSkipped
	}
	if r.Ruled() {
		flags |= flagRuled
	}
	return flags
}

// malformed reports whether a DMARC record or the From field has a defect.
// What was not evaluated has none.
func malformed(r *results.Row) bool {
	if r.Facts.Skip != policy.Evaluated {
		return false
	}
	for i := range r.Facts.Authors {
		if len(r.Facts.Authors[i].Defects) > 0 || r.Facts.Authors[i].Verdict.Status == resultPermError {
			return true
		}
	}
	switch r.Facts.FromField {
	case policy.FromOneMailbox, policy.FromSeveralMailboxes, policy.FromSeveralDomains:
		return r.Facts.HeaderTruncated
	}
	return true
}

// Row returns the row.
func (c *Columns) Row() (r results.Row, err error) { return r, new(Reader).Read(c, &r) }

// Read makes a row of its columns. What earlier programs have written may hold
// more than is to be stored.
func (b *Reader) Read(c *Columns, r *results.Row) error {
	err := b.readStored(c, r)
	results.Scrub(&r.Facts)
	return err
}

// readStored makes a row of its columns, as it is stored.
func (b *Reader) readStored(c *Columns, r *results.Row) error {
	*r = results.Row{Sequence: c.Sequence, State: c.State}
	r.Facts.Time, r.Facts.QueueID = time.UnixMilli(c.Time).UTC(), c.QueueID
	r.Facts.Client, _ = netip.AddrFromSlice(c.Client)
	m, err := b.begin(c.Blob, c.Author, c.PolicyDomain)
	if err == nil {
		rowFields.read(m, r)
		err = m.err
	}
	if err != nil {
		*r = results.Row{}
		return fmt.Errorf("row %d: %w", c.Sequence, err)
	}
	r.InferShortened()
	return nil
}
