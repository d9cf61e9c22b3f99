package policy

import (
	"net/netip"
	"time"

	"dmarcgate/auth/dmarc"
)

// MaxAuthors is how many author domains of one message are evaluated. RFC
// 9989, Section 11.5, asks for a cap; a From field with more is answered as
// one that cannot be read.
const MaxAuthors = 5

// From says what the From field gave, in the words of the message package.
type From string

// The outcomes of reading From. The zero value is treated as unparsable.
const (
	FromMissing          From = "missing"
	FromOneMailbox       From = "one"
	FromSeveralMailboxes From = "several_mailboxes" // all of one domain
	FromSeveralDomains   From = "several_domains"
	FromSeveralFields    From = "several_fields"
	FromEmptyGroup       From = "empty_group" // a group without a mailbox
	FromUnparsable       From = "unparsable"
)

// Facts is everything that a decision is made from, and everything that is
// stored of a message. It holds no local part, no subject and no text of the
// body. All domains are lower-case A-labels.
type Facts struct {
	Time     time.Time `json:"time"`
	Listener string    `json:"listener"`
	QueueID  string    `json:"qid"`

	Client     netip.Addr `json:"client"` // zero when the client has no IP address
	ClientName string     `json:"client_name,omitempty"`
	Helo       string     `json:"helo,omitempty"`
	Relay      netip.Addr `json:"relay,omitzero"`      // our own relay in front, when Client was read from its Received field
	NullPath   bool       `json:"null_path,omitempty"` // MAIL FROM:<>
	MailFrom   string     `json:"mail_from,omitempty"` // domain of MAIL FROM
	Recipients []string   `json:"rcpt,omitempty"`      // domains, each once; "" for an address without one

	Skip    Skip     `json:"skip,omitempty"`
	From    From     `json:"from,omitempty"`
	Cut     bool     `json:"cut,omitempty"` // the header was longer than the limits; its end is not known
	Authors []Author `json:"authors,omitempty"`
	SPF     SPF      `json:"spf"`
	HELO    SPF      `json:"spf_helo"`
	DKIM    []DKIM   `json:"dkim,omitempty"`
	ARC     ARC      `json:"arc,omitzero"`

	// Deferred is how long this author domain and client network have been
	// answered with tempfail so far; zero for the first time.
	Deferred time.Duration `json:"deferred_ns,omitempty"`
}

// SPF is the result for one identity (RFC 7208). Result is a word of RFC
// 8601, empty when the identity was not checked.
type SPF struct {
	Result string `json:"result,omitempty"`
	Domain string `json:"domain,omitempty"`
	Term   string `json:"term,omitempty"` // of the record: what matched or is at fault, as its owner wrote it
	Reason string `json:"reason,omitempty"`
}

// DKIM is the result of one signature (RFC 6376).
type DKIM struct {
	Result    string `json:"result"`
	Domain    string `json:"d,omitempty"`
	Selector  string `json:"s,omitempty"`
	Algorithm string `json:"a,omitempty"`
	B         string `json:"b,omitempty"` // the first characters of b=, RFC 6008
	Canon     string `json:"c,omitempty"` // of header and body, as "relaxed/simple"
	KeyBits   int    `json:"bits,omitempty"`
	Testing   bool   `json:"testing,omitempty"` // key with t=y
	Reason    string `json:"reason,omitempty"`

	// HeaderOK says that the header verified, From in it, whatever became of
	// the body; SignedAt is t=, zero without it.
	HeaderOK bool      `json:"header_ok,omitempty"`
	SignedAt time.Time `json:"t,omitzero"`
}

// ARC is the chain of a message (RFC 8617). Result is empty without one. What
// it says is worth no more than its sealers.
type ARC struct {
	Result     string   `json:"result,omitempty"` // pass or fail
	Reason     string   `json:"reason,omitempty"`
	OldestPass int      `json:"oldest_pass,omitempty"` // instance; 0 with a pass: the first
	Sealers    []Sealer `json:"sealers,omitempty"`     // oldest first
}

// Sealer is one hop of a chain.
type Sealer struct {
	Domain   string     `json:"d"`
	Selector string     `json:"s"`
	Recorded []Recorded `json:"recorded,omitempty"` // as far as it concerns an author domain
}

// Recorded is a result that a hop wrote down when it received the message.
type Recorded struct {
	Method string `json:"method"` // spf, dkim or dmarc
	Result string `json:"result"`
	Domain string `json:"domain"` // that was checked, lower-case A-labels
}

// Author is one author domain with what was found and concluded for it.
type Author struct {
	Domain       string        `json:"domain"`
	Org          string        `json:"org,omitempty"`
	PolicyDomain string        `json:"policy_domain,omitempty"`
	Source       string        `json:"source"`            // author, org, psd or none
	Record       string        `json:"record,omitempty"`  // as understood, printed again
	Defects      []string      `json:"defects,omitempty"` // of the record and the names asked, by their short names
	Verdict      dmarc.Verdict `json:"verdict"`
	// Draw is this message's number for pct, 0 to 99, from a keyed hash: the
	// same for a retry, and not computable by the sender. The message is
	// sampled when Draw < pct.
	Draw uint8 `json:"draw"`
}
