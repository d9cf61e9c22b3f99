package casefile

import (
	"slices"

	"dmarcgate/milter"
)

// Case is a case file.
type Case struct {
	Proves   string              // the first paragraph
	Sections map[string]string   // config, rules, zone, sign, message and want, without escapes and placeholders
	Envelope map[string][]string // values by key, in their order
}

// Letter is a message with its envelope: the fields of the header as they were
// signed, and the body in CRLF.
type Letter struct {
	Env    *milter.Envelope
	Header [][]byte
	Body   []byte
}

// What a case says when it does not say otherwise.
const (
	DefaultMail = "<user@bank.example>"   // reverse path
	DefaultRcpt = "user@receiver.example" // recipient

	defaultMessage = "From: user@bank.example\nSubject: hello\n\nbody\n"
	defaultPolicy  = "_dmarc.bank.example. TXT \"v=DMARC1; p=reject\"\n"
)

// Sections and keys of the envelope, in the order in which they are written.
var (
	sectionNames = []string{"config", "rules", "envelope", "zone", "sign", "message", "want"}
	envelopeKeys = []string{
		"client", "helo", "mail_from", "profile", "quarantine", "recipient", "name", "tls", "auth", "trusted", "dns-timeout",
		"args", "rcpt", "mta",
	}
)

// One returns the last value of a key of the envelope, and what stands for it when
// there is none.
func (c *Case) One(key, otherwise string) string {
	if v := c.Envelope[key]; len(v) > 0 {
		return v[len(v)-1]
	}
	return otherwise
}

// Recipients are those of "recipient" lines; without any, those of "rcpt" lines
// and the usual one.
func (c *Case) Recipients() []string {
	if all := c.Envelope["recipient"]; len(all) > 0 {
		return all
	}
	return append(slices.Clone(c.Envelope["rcpt"]), "<"+DefaultRcpt+">")
}
