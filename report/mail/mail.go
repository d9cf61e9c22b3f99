// Package mail makes the mail that carries an aggregate report: header, MIME
// parts and DKIM signatures (RFC 9990, Section 3.5).
//
// Equal values give equal bytes, on any host and at any time: a report that has
// to be sent again is the same mail. So the signatures are made here: go-msgauth
// puts the present time into t=. The package sends nothing.
//
// Limits: a mail has ASCII only, in lines of at most 998 bytes (RFC 5322,
// Section 2.1.1). Recipients have a local part of atoms (RFC 5322, Section
// 3.2.3) and a domain in A-labels; for others Text returns an error.
package mail

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/emersion/go-message"
)

// Message is one report for one recipient.
type Message struct {
	Organization string    // display name of From; may be empty
	From         string    // address of the reporter
	To           string    // address of the recipient, from a DMARC record: foreign
	Submitter    string    // domain of the reporter
	PolicyDomain string    // domain that the report is about
	Begin, End   time.Time // the period; End is exclusive
	ID           string    // Report-ID: letters and digits
	Body         []byte    // the report, compressed with gzip
	Date         time.Time // when the mail was made first
}

// FileName returns the name of the attachment (RFC 9990, Section 3.5.2). The end
// in a file name is the last second of the period.
func (m Message) FileName() string {
	return fmt.Sprintf("%s!%s!%d!%d!%s.xml.gz", m.Submitter, m.PolicyDomain, m.Begin.Unix(), m.End.Unix()-1, m.ID)
}

// MessageID returns the Message-ID without angle brackets: of the report and
// the recipient.
func (m Message) MessageID() string {
	to := sha256.Sum256([]byte(m.To))
	return fmt.Sprintf("%s.%x@%s", m.ID, to[:8], domainOf(m.From))
}

// Text returns the mail with a signature by each key. Its lines end in CRLF. The
// error says which value cannot stand in a mail.
func (m Message) Text(keys ...*Key) ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	unsigned, err := m.unsigned()
	if err != nil {
		return nil, err
	}
	var signatures bytes.Buffer
	for _, k := range keys {
		signature, err := k.sign(unsigned, m.Date)
		if err != nil {
			return nil, fmt.Errorf("signing for %s: %w", k.Domain, err)
		}
		signatures.WriteString(signature)
	}
	return append(signatures.Bytes(), unsigned...), nil
}

// unsigned is the mail without signatures.
func (m Message) unsigned() ([]byte, error) {
	boundary := "report-" + m.ID
	var out bytes.Buffer
	w, err := message.CreateWriter(&out, header(
		"From: "+m.from(),
		"To: "+m.To,
		// Never encoded, and folded where any blank may stand (RFC 9990,
		// Section 3.5.2).
		"Subject: Report Domain: "+m.PolicyDomain+"\r\n Submitter: "+m.Submitter+"\r\n Report-ID: <"+m.ID+">",
		"Date: "+m.Date.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700"),
		"Message-ID: <"+m.MessageID()+">",
		"Auto-Submitted: auto-generated", // RFC 3834, Section 5
		"MIME-Version: 1.0",
		`Content-Type: multipart/mixed; boundary="`+boundary+`"`,
	))
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		part(w, m.words(), "Content-Type: text/plain; charset=us-ascii", "Content-Transfer-Encoding: 7bit"),
		part(w, m.Body,
			"Content-Type: application/gzip;\r\n name=\""+m.FileName()+`"`,
			"Content-Transfer-Encoding: base64",
			"Content-Disposition: attachment;\r\n filename=\""+m.FileName()+`"`),
		w.Close())
	return out.Bytes(), err
}

// header makes a header of whole fields, the first on top.
func header(fields ...string) message.Header {
	var h message.Header
	for i := len(fields) - 1; i >= 0; i-- { // each is put above the others
		h.AddRaw([]byte(fields[i] + "\r\n"))
	}
	return h
}

// part writes a part of a multipart body.
func part(w *message.Writer, body []byte, fields ...string) error {
	p, err := w.CreatePart(header(fields...))
	if err != nil {
		return err
	}
	_, err = p.Write(body)
	return errors.Join(err, p.Close())
}

// words is the part for people.
func (m Message) words() []byte {
	const stamp = "2006-01-02 15:04:05"
	return []byte(strings.Join([]string{
		"This is an aggregate DMARC report about mail that used the domain",
		m.PolicyDomain,
		"in its From field. The attached file has the report in XML, compressed",
		"with gzip. The DMARC record of the domain asks for reports to this address",
		"in its tag rua.",
		"",
		"Report domain: " + m.PolicyDomain,
		"Submitter: " + m.Submitter,
		"Report-ID: " + m.ID,
		"Period (UTC): " + m.Begin.UTC().Format(stamp) + " to " + m.End.UTC().Format(stamp),
		"",
	}, "\r\n"))
}
