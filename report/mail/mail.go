// Package mail makes the mail that carries an aggregate report: header, MIME
// and DKIM signature (RFC 9990, Section 3.5).
//
// Equal values give equal bytes, on any host and at any time: a report that
// has to be sent again is the same mail. The package sends nothing.
package mail

import (
	"crypto"
	"time"
)

// Message is one report for one recipient.
type Message struct {
	Organization string    // display name of From; may be empty
	From         string    // address of the reporter
	To           string    // address of the recipient, from a DMARC record: foreign
	Submitter    string    // domain of the reporter
	PolicyDomain string    // domain that the report is about, A-labels
	Begin, End   time.Time // the period; End is exclusive
	ID           string    // Report-ID: letters and digits
	Body         []byte    // the report, compressed with gzip
	Date         time.Time // when the mail was made first
}

// Key signs mails for one selector of a domain.
type Key struct {
	Domain   string
	Selector string
	Signer   crypto.Signer // RSA or Ed25519
}

// LoadKey reads a private key in PEM from a file. Others than its owner and
// group must not be able to read the file.
func LoadKey(path, domain, selector string) (*Key, error) { return nil, nil }

// FileName returns the name of the attachment (RFC 9990, Section 3.5.2).
func (m Message) FileName() string { return "" }

// Text returns the mail with a signature by each key; its lines end in CRLF.
func (m Message) Text(keys ...*Key) ([]byte, error) { return nil, nil }
