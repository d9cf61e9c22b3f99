package xml

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"dmarcgate/report"
)

// Limits of a document. Zero values are the defaults.
type Limits struct {
	// Mail is how many bytes the mail has at most that carries the document: 10,000,000 by
	// default, which many receivers have for a limit (RFC 7489, Section 7.2.1.1).
	Mail int64
	// Expanded is how many bytes the document has at most before compression: 16 MiB by
	// default. Readers stop between 10 and 25 MB.
	Expanded int64
}

const (
	defaultMail     = 10_000_000
	defaultExpanded = 16 << 20

	// mailOverhead is more than what a mail has besides the document: header fields with a
	// signature, a text, MIME headers.
	mailOverhead = 16 << 10
	base64Line   = 76 // characters of a line (RFC 2045, Section 6.8), then CRLF

	maxParts = 1 << 12 // into which a period is cut at once
)

func (l Limits) withDefaults() Limits {
	if l.Mail <= 0 {
		l.Mail = defaultMail
	}
	if l.Expanded <= 0 {
		l.Expanded = defaultExpanded
	}
	return l
}

// compressed is how many compressed bytes a document has at most.
func (l Limits) compressed() int64 {
	return max(l.Mail-mailOverhead, 0) / (base64Line + 2) * (base64Line / 4 * 3)
}

// ErrTooLarge means that the messages of one second exceed the limits.
var ErrTooLarge = errors.New("report is too large, and its period cannot be split")

// Document is a report as it is sent.
type Document struct {
	Report *report.Report // its Records are gone
	// Err says why there is no document of the report: ErrInvalid or ErrTooLarge. The rest
	// is zero then.
	Err      error
	Body     []byte // compressed (RFC 1952), without name and time; valid until the next document
	SHA256   string // of Body, in hexadecimal digits
	Expanded int64  // bytes before compression
}

// Maker makes the documents of a period.
type Maker struct {
	Builder *report.Builder
	Limits  Limits
	// Forms says in which forms a report is wanted, each once; without any there is no
	// document of the report. It is not asked again for parts of a period.
	Forms func(*report.Report) []report.Form
}

// Made says what became of the reports of a period.
type Made struct {
	report.Counts
	Failed int64 // messages of Reported of which there is no document: the sum over documents with Err
}

// Make reads the rows of a period and calls f for each document. A report beyond the
// limits is made again for parts of its period, which adjoin and do not overlap; for this
// the rows are read again, once for all such reports. One report that cannot be written
// keeps no other from being made. An identity that cannot be written is an error at once.
func (m *Maker) Make(ctx context.Context, scan report.Scan, p report.Period, f func(Document) error) (made Made, err error) {
	if err := checkIdentity(m.Builder.Identity, m.Builder.Generator); err != nil {
		return made, err
	}
	k := &making{Maker: m, press: newPress(m.Limits), give: f}
	made.Counts, err = m.Builder.Build(ctx, scan, p, func(r *report.Report) error {
		for _, form := range m.Forms(r) {
			if err := k.one(r.In(form)); err != nil {
				return err
			}
		}
		return nil
	})
	for err == nil && len(k.again) > 0 {
		err = k.parts(ctx, scan)
	}
	made.Failed = k.failed
	return made, err
}

// making is one call of Make.
type making struct {
	*Maker
	press  *press
	give   func(Document) error
	again  []again
	failed int64
}

// again is a report that has to be made for parts of its period.
type again struct {
	form report.Form
	part report.Part
}

// one makes the document of a report, or notes the parts to make it in.
func (k *making) one(r *report.Report) error {
	doc, err := k.press.document(r)
	var large *tooLargeError
	switch {
	case errors.As(err, &large):
		periods := r.Period.Split(large.parts)
		if len(periods) < 2 {
			return k.fail(r, ErrTooLarge)
		}
		k.again = append(k.again, again{r.Form, report.Part{PolicyDomain: r.PolicyDomain, PolicyHash: r.PolicyHash, Periods: periods}})
		return nil
	case errors.Is(err, ErrInvalid):
		return k.fail(r, err)
	case err != nil:
		return fmt.Errorf("report of %s: %w", r.PolicyDomain, err)
	}
	return k.give(doc)
}

// fail hands over a report of which there is no document.
func (k *making) fail(r *report.Report, err error) error {
	k.failed += r.Messages
	bare := *r
	bare.Records = nil
	return k.give(Document{Report: &bare, Err: err})
}

// parts makes the reports of one form that are noted.
func (k *making) parts(ctx context.Context, scan report.Scan) error {
	form := k.again[0].form
	var parts []report.Part
	var others []again
	for _, a := range k.again {
		if a.form == form {
			parts = append(parts, a.part)
		} else {
			others = append(others, a)
		}
	}
	k.again = others
	return k.Builder.BuildParts(ctx, scan, joinParts(parts), func(r *report.Report) error { return k.one(r.In(form)) })
}

// joinParts puts the periods of the same report together, in order.
func joinParts(parts []report.Part) []report.Part {
	var out []report.Part
	at := make(map[[2]string]int)
	for _, p := range parts {
		key := [2]string{p.PolicyDomain, p.PolicyHash}
		i, known := at[key]
		if !known {
			i = len(out)
			at[key] = i
			out = append(out, report.Part{PolicyDomain: p.PolicyDomain, PolicyHash: p.PolicyHash})
		}
		out[i].Periods = append(out[i].Periods, p.Periods...) // reports come in the order of their periods
	}
	return out
}

// tooLargeError means that a document is beyond the limits.
type tooLargeError struct{ parts int } // into which the period should be cut: a power of two

func (e *tooLargeError) Error() string {
	return fmt.Sprintf("the document is too large; its period needs %d parts", e.parts)
}

// press writes documents and compresses them, in memory that it uses again.
type press struct {
	limits   Limits
	zip      *gzip.Writer
	body     bytes.Buffer
	expanded int64
}

func newPress(l Limits) *press { return &press{limits: l.withDefaults(), zip: gzip.NewWriter(nil)} }

// errStop ends a document that is too large.
var errStop = errors.New("document is too large")

// Write takes the next part of a document.
func (p *press) Write(b []byte) (int, error) {
	p.expanded += int64(len(b))
	if p.expanded > p.limits.Expanded || int64(p.body.Len()) > p.limits.compressed() {
		return 0, errStop
	}
	return p.zip.Write(b)
}

// document makes a document. Of one that is too large it writes as much as it may, and
// concludes from this how large the whole would be.
func (p *press) document(r *report.Report) (Document, error) {
	p.body.Reset()
	p.zip.Reset(&p.body)
	p.expanded = 0
	records := int64(0)
	counted := *r
	counted.Records = func(yield func(*report.Record, error) bool) {
		for rec, err := range r.Records {
			if !yield(rec, err) {
				return
			}
			records++
		}
	}
	err := Write(p, &counted)
	if err == nil {
		err = p.zip.Close()
	}
	if errors.Is(err, errStop) || err == nil && int64(p.body.Len()) > p.limits.compressed() {
		return Document{}, &tooLargeError{p.needed(r.Rows, max(records, 1))}
	}
	if err != nil {
		return Document{}, err
	}
	sum := sha256.Sum256(p.body.Bytes())
	counted.Records = nil
	return Document{Report: &counted, Body: p.body.Bytes(), SHA256: hex.EncodeToString(sum[:]), Expanded: p.expanded}, nil
}

// needed is how many parts hold the whole, of which some records have been written. Mail
// does not come evenly, so parts get room for half as much again.
func (p *press) needed(rows, records int64) int {
	grown := float64(rows) / float64(records) * 1.5
	share := max(float64(p.expanded)/float64(p.limits.Expanded), float64(p.body.Len())/float64(max(p.limits.compressed(), 1)))
	parts := 2
	for float64(parts) < grown*share && parts < maxParts {
		parts *= 2
	}
	return parts
}
