package tables

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"dmarcgate/report/queue"
)

// The lengths of texts, in bytes.
const (
	maxKey  = 1024 // of a key: a domain has 253, an address 320
	maxText = 200  // of free text
	maxURI  = 2048 // of a URI, and of a note
	maxHex  = 64
	maxBody = 32 << 20 // of a document: a mail may have 10 MB
)

// key checks a text by which rows are found. It is never changed: two keys that
// differ must not become the same.
func key(name, s string) error {
	odd := func(r rune) bool {
		return r == utf8.RuneError || unicode.IsControl(r) || unicode.IsSpace(r) || unicode.Is(unicode.Cf, r)
	}
	switch {
	case s == "":
		return fmt.Errorf("%w: %s is empty", queue.ErrText, name)
	case len(s) > maxKey:
		return fmt.Errorf("%w: %s has %d bytes", queue.ErrText, name, len(s))
	case !utf8.ValidString(s) || strings.ContainsFunc(s, odd):
		return fmt.Errorf("%w: %s has characters that no domain or address has", queue.ErrText, name)
	}
	return nil
}

// free makes text from outside storable: valid UTF-8 in one line without characters
// that a terminal acts on, of at most so many bytes.
func free(s string, most int) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s[:min(len(s), most)])
}
