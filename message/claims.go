package message

import (
	"bytes"
	"strings"
)

const (
	// maxListID bounds a list identifier, in bytes (RFC 2919).
	maxListID = 255

	// maxAutoSubmitted bounds what is read of an Auto-Submitted field, in
	// bytes: our limit. Honest fields have some twenty.
	maxAutoSubmitted = 1 << 10
)

// Claims is what a header says of the way a message was sent. Anybody can
// write it, above what a list has written too, so it proves nothing.
type Claims struct {
	// IsList tells that there is a field of mailing lists (RFC 2369, RFC 2919).
	IsList bool

	// ListID is the identifier in the first List-Id field without its first
	// label, which names one list and may name a person: "lists.example.org"
	// for <dev.lists.example.org>. It is as ParseDomain gives it; "" without
	// one, and for one that is no name or is not in ASCII.
	ListID string

	// Automatic tells that an Auto-Submitted field has a keyword other than
	// "no" (RFC 3834, Section 5).
	Automatic bool

	// Report tells that the message is a report about mail: a multipart/report
	// (RFC 6522) that is Automatic, such as a notification of delivery or a failure
	// report, or a message with the Subject of an aggregate report (RFC 9990,
	// Section 3.5.2).
	Report bool
}

// ParseClaims returns what h claims. It allocates nothing where h claims
// nothing.
func ParseClaims(h Header) Claims {
	var c Claims
	identified, report := false, false
	for i := range h {
		switch name := h[i].Name; {
		case isListField(name):
			c.IsList = true
			if !identified && strings.EqualFold(name, "List-Id") {
				identified, c.ListID = true, listID(h[i].Raw)
			}
		case strings.EqualFold(name, "Auto-Submitted"):
			c.Automatic = c.Automatic || automatic(h[i].Body())
		case strings.EqualFold(name, "Content-Type"):
			report = report || isReportType(h[i].Raw)
		case strings.EqualFold(name, "Subject"):
			c.Report = c.Report || isReportSubject(h[i].Raw)
		}
	}
	c.Report = c.Report || report && c.Automatic
	return c
}

// listFields are the fields of RFC 2369, Section 3, and of RFC 2919, behind
// listPrefix.
var listFields = [...]string{"Id", "Post", "Unsubscribe", "Help", "Archive", "Owner", "Subscribe"}

const listPrefix = "List-"

func isListField(name string) bool {
	if len(name) < len(listPrefix) || !strings.EqualFold(name[:len(listPrefix)], listPrefix) {
		return false
	}
	for _, f := range listFields {
		if strings.EqualFold(name[len(listPrefix):], f) {
			return true
		}
	}
	return false
}

// listID reads the last angle brackets of a field, because the phrase before
// them may have others. Neither white space nor comments may stand in them
// (RFC 2919, Section 3).
func listID(raw []byte) string {
	id, _, closed := bytes.Cut(raw[bytes.LastIndexByte(raw, '<')+1:], []byte{'>'})
	label, namespace, _ := bytes.Cut(id, []byte{'.'})
	if !closed || len(id) > maxListID || !isAtext(label) {
		return ""
	}
	domain := string(namespace)
	if !isASCII(domain) { // a reader may take a U-label for another one
		return ""
	}
	domain, _ = ParseDomain(domain)
	return domain
}

// isAtext reports whether s is one atom of a dot-atom-text (RFC 5322, Section
// 3.2.3): names of lists are not all names of hosts.
func isAtext(s []byte) bool {
	const others = "!#$%&'*+-/=?^_`{|}~"
	for _, c := range s {
		letter := c|' ' >= 'a' && c|' ' <= 'z'
		if !letter && (c < '0' || c > '9') && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return len(s) > 0
}

// automatic reads the keyword of an Auto-Submitted field, which comments and
// parameters may surround.
func automatic(body string) bool {
	s := scanner{text: body[:min(len(body), maxAutoSubmitted)]}
	keyword := s.next()
	return !s.broken && keyword.kind == atom && !strings.EqualFold(keyword.text, "no")
}

// isReportType reads the type of a Content-Type field, which parameters follow.
func isReportType(raw []byte) bool {
	_, value, _ := bytes.Cut(raw, []byte{':'})
	value, _, _ = bytes.Cut(value, []byte{';'})
	return bytes.EqualFold(bytes.TrimSpace(value), []byte("multipart/report"))
}

// isReportSubject reads "Report Domain: example.com Submitter: ...", with any white
// space and in any letter case: Google writes "Report domain:".
func isReportSubject(raw []byte) bool {
	_, rest, _ := bytes.Cut(raw, []byte{':'})
	for _, want := range [...]string{"report", "domain:", "", "submitter:"} {
		var word []byte
		word, rest = nextWord(rest)
		if len(word) == 0 || want != "" && !bytes.EqualFold(word, []byte(want)) {
			return false
		}
	}
	return true
}

// nextWord returns the text up to the next white space, and what follows.
func nextWord(s []byte) (word, rest []byte) {
	s = bytes.TrimLeft(s, " \t\r\n")
	if end := bytes.IndexAny(s, " \t\r\n"); end >= 0 {
		return s[:end], s[end:]
	}
	return s, nil
}
