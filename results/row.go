package results

import (
	"fmt"
	"net/netip"
	"time"

	"dmarcgate/policy"
)

// State says whether a row counts in reports.
type State uint8

// The states of a row. Files hold their numbers.
const (
	Answered   State = iota // the MTA has the final answer
	Deferred                // answered with tempfail: the message will come again
	Unanswered              // the answer could not be written to the MTA
	Imported                // of another program: it only tells, and counts nowhere
)

// Row is one message: what was known, and what was decided.
type Row struct {
	Sequence int64 // given by the store, rising
	State    State
	Facts    policy.Facts
	Decision policy.Decision
	Settings string // policy.Settings.Sum of what decided; "" is not known

	// Shape tells settings apart that the facts came about under, in a short
	// form that whoever made the row can read; "" is not known. Under another
	// shape the same message can have other facts.
	Shape string
}

// author returns the author domain that decided, or else the first.
func (r *Row) author() *policy.Author {
	for i := range r.Facts.Authors {
		if r.Facts.Authors[i].Domain == r.Decision.Author {
			return &r.Facts.Authors[i]
		}
	}
	if len(r.Facts.Authors) > 0 {
		return &r.Facts.Authors[0]
	}
	return &policy.Author{}
}

// The bits of columns.flags. Files hold them.
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

// columns is a row as tables hold it: what rows are searched by, and the rest
// as a blob.
type columns struct {
	sequence     int64
	time         int64 // milliseconds since 1970, UTC
	state        State
	qid          string
	client       []byte // 4 or 16; none when the client has no address
	author       string
	policyDomain string // empty when it is the author's own name
	result       uint8
	requested    uint8
	disposition  uint8
	action       uint8
	override     string
	flags        uint8
	row          []byte
}

// columns returns the columns of a row. The bytes are valid until the next
// call.
func (e *encoder) columns(r *Row) (*columns, error) {
	author := r.author()
	e.out = columns{
		time: r.Facts.Time.UnixMilli(), state: r.State, qid: r.Facts.QueueID, client: e.address(r.Facts.Client),
		author: author.Domain, policyDomain: author.PolicyDomain, result: uint8(author.Verdict.Status),
		requested: uint8(r.Decision.Requested), disposition: uint8(r.Decision.Disposition), action: uint8(r.Decision.Action),
		override: string(r.Decision.Override), flags: r.flags(), row: e.out.row[:0],
	}
	c := &e.out
	if c.policyDomain == c.author {
		c.policyDomain = ""
	}
	e.begin(c.author, c.policyDomain)
	e.row(r)
	var err error
	c.row, err = e.appendTo(c.row)
	return c, err
}

// address returns the bytes of an address, in a buffer of the encoder.
func (e *encoder) address(a netip.Addr) []byte {
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

func (r *Row) flags() uint8 {
	var flags uint8
	if r.Decision.Override != policy.AsPublished {
		flags |= flagOverridden
	}
	if r.malformed() {
		flags |= flagMalformed
	}
	if r.Facts.Stale {
		flags |= flagStale
	}
	if r.Facts.Skip != policy.Evaluated {
		flags |= flagSkipped
	}
	if r.ruled() {
		flags |= flagRuled
	}
	return flags
}

// malformed reports whether a DMARC record or the From field has a defect.
// What was not evaluated has none.
func (r *Row) malformed() bool {
	if r.Facts.Skip != policy.Evaluated {
		return false
	}
	for i := range r.Facts.Authors {
		if len(r.Facts.Authors[i].Defects) > 0 || r.Facts.Authors[i].Verdict.Status == resultPermError {
			return true
		}
	}
	switch r.Facts.From {
	case policy.FromOneMailbox, policy.FromSeveralMailboxes, policy.FromSeveralDomains:
		return r.Facts.Cut
	}
	return true
}

// toRow returns the row.
func (c *columns) toRow() (r Row, err error) { return r, new(blob).read(c, &r) }

// read makes a row of its columns. What earlier programs have written may hold
// more than is to be stored.
func (b *blob) read(c *columns, r *Row) error {
	err := b.readStored(c, r)
	r.Facts.Scrub()
	return err
}

// readStored makes a row of its columns, as it is stored.
func (b *blob) readStored(c *columns, r *Row) error {
	*r = Row{Sequence: c.sequence, State: c.state}
	r.Facts.Time, r.Facts.QueueID = time.UnixMilli(c.time).UTC(), c.qid
	r.Facts.Client, _ = netip.AddrFromSlice(c.client)
	m, err := b.begin(c.row, c.author, c.policyDomain)
	if err == nil {
		m.row(r)
		err = m.err
	}
	if err != nil {
		*r = Row{}
		return fmt.Errorf("row %d: %w", c.sequence, err)
	}
	r.inferShortened()
	return nil
}
