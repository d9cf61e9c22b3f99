package mail

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"strings"
)

// The longest address and domain (RFC 5321, Sections 4.5.3.1.2 and 4.5.3.1.3),
// and limits of our own.
const (
	maxAddress      = 254
	maxLocalPart    = 64
	maxDomain       = 253
	maxLabel        = 63
	maxOrganization = 200 // bytes
	maxID           = 64
)

// check tells which value cannot stand in a mail.
func (m Message) check() error {
	switch {
	case !address(m.From) || !isDomain(domainOf(m.From), 2):
		return fmt.Errorf("the address of the reporter %q cannot be used", m.From)
	case !address(m.To):
		return fmt.Errorf("the address of the recipient %q cannot be used", m.To)
	case !isDomain(m.Submitter, 2):
		return fmt.Errorf("the domain of the reporter %q cannot be used", m.Submitter)
	// A public suffix of one label has no file name by RFC 9990, Section
	// 3.5.2, and yet its owner may ask for reports (RFC 9989, Section 4.8).
	case !isDomain(m.PolicyDomain, 1):
		return fmt.Errorf("the policy domain %q cannot be used", m.PolicyDomain)
	case m.ID == "" || len(m.ID) > maxID || !only(m.ID, alphanumeric):
		return fmt.Errorf("the Report-ID %q does not consist of letters and digits", m.ID)
	case len(m.Organization) > maxOrganization || strings.ContainsFunc(m.Organization, control):
		return fmt.Errorf("the organization %q cannot stand in a header field", m.Organization)
	case !m.Begin.Before(m.End) || m.Begin.Unix() < 0 || m.Date.IsZero():
		return errors.New("the report has no period or no date")
	case !bytes.HasPrefix(m.Body, []byte{0x1f, 0x8b}): // RFC 1952, Section 2.3.1
		return errors.New("the report is not compressed with gzip")
	}
	return nil
}

// from is the value of the From field.
func (m Message) from() string {
	name := m.Organization
	switch {
	case name == "":
		return m.From
	case only(name, func(c byte) bool { return c >= ' ' && c <= '~' }):
		name = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
	default:
		name = strings.ReplaceAll(mime.BEncoding.Encode("utf-8", name), " ", "\r\n ") // RFC 2047, Section 2
	}
	return name + "\r\n <" + m.From + ">"
}

// address reports whether an address can stand in a field and in a command as
// it is.
func address(s string) bool {
	local := s[:max(0, strings.LastIndexByte(s, '@'))]
	return local != "" && len(local) <= maxLocalPart && len(s) <= maxAddress && isDomain(domainOf(s), 1) &&
		only(local, func(c byte) bool { return alphanumeric(c) || strings.IndexByte("!#$%&'*+-/=?^_`{|}~.", c) >= 0 })
}

// domainOf is the domain of an address.
func domainOf(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

// isDomain reports whether s is a domain in A-labels of at least so many labels.
func isDomain(s string, labels int) bool {
	parts := strings.Split(s, ".")
	for _, label := range parts {
		if label == "" || len(label) > maxLabel || !only(label, func(c byte) bool { return alphanumeric(c) || c == '-' || c == '_' }) {
			return false
		}
	}
	return len(parts) >= labels && len(s) <= maxDomain
}

func only(s string, allowed func(byte) bool) bool {
	for i := range len(s) {
		if !allowed(s[i]) {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func control(r rune) bool { return r < ' ' || r == 0x7f }
