package authres

import (
	"strings"

	"dmarcgate/term"
)

// lineLength is where Format folds between the parts of a result. It is more
// than the preferred 78 (RFC 5322, Section 2.1.1), so that the usual result of
// a DKIM signature is one line, as filters that match lines expect. Since no
// part is longer than some 710 bytes, no line reaches the 998 that are allowed.
const lineLength = 100

// Format returns the body of an Authentication-Results field: what follows the
// colon, from its first space on, each result on a line of its own, without
// the final line break. Without results it says "none" (RFC 8601, Section 2.2).
//
// A result or property whose names are no keywords is left out, as is a
// property without a value. Bytes other than printable ASCII become "?".
func Format(authservID string, results []Result) string {
	w := writer{buf: make([]byte, 0, 512)}
	w.buf = append(w.buf, ' ')
	w.value(asciiID(authservID))
	written := 0
	for i := range results {
		if r := &results[i]; written < MaxResults && isKeyword(r.Method) && isKeyword(r.Value) {
			w.result(r)
			written++
		}
	}
	if written == 0 {
		w.buf = append(w.buf, "; none"...)
	}
	return string(w.buf)
}

// writer appends to buf, which holds the field so far.
type writer struct {
	buf  []byte
	line int // where the present line begins in buf
}

func (w *writer) result(r *Result) {
	w.buf = append(w.buf, ';')
	w.fold()
	w.buf = append(append(append(w.buf, r.Method...), '='), r.Value...)
	if r.Comment != "" {
		w.part(func() { w.comment(r.Comment) })
	}
	if r.Reason != "" {
		w.part(func() {
			w.buf = append(w.buf, "reason="...)
			w.value(cut(clean(r.Reason), MaxText))
		})
	}
	written := 0
	for _, p := range r.Properties {
		if written < MaxProperties && p.valid() {
			w.part(func() { w.property(p) })
			written++
		}
	}
}

func (w *writer) fold() {
	w.buf = append(w.buf, '\r', '\n')
	w.line = len(w.buf)
	w.buf = append(w.buf, ' ')
}

// part writes a space and what write writes, on the next line if it would make
// this one too long; the semicolon that may follow counts.
func (w *writer) part(write func()) {
	before := len(w.buf)
	w.buf = append(w.buf, ' ')
	write()
	if len(w.buf)-w.line+1 <= lineLength {
		return
	}
	w.buf = append(w.buf, '\r', '\n')
	copy(w.buf[before+2:], w.buf[before:len(w.buf)-2])
	copy(w.buf[before:], "\r\n")
	w.line = before + 2
}

func (p Property) valid() bool {
	return isKeyword(p.Type) && isKeyword(p.Name) && p.Value != "" && len(p.Value) <= MaxValue
}

func (w *writer) property(p Property) {
	w.buf = append(append(append(append(w.buf, p.Type...), '.'), p.Name...), '=')
	if v := clean(p.Value); isAddress(v) {
		w.buf = append(w.buf, v...)
	} else {
		w.value(v)
	}
}

// value writes printable ASCII as a token if it is one, else quoted.
func (w *writer) value(s string) {
	if isToken(s) {
		w.buf = append(w.buf, s...)
		return
	}
	w.buf = append(w.buf, '"')
	w.escape(s, `"\`)
	w.buf = append(w.buf, '"')
}

func (w *writer) comment(s string) {
	w.buf = append(w.buf, '(')
	w.escape(cut(clean(s), MaxText), `()\`)
	w.buf = append(w.buf, ')')
}

// escape writes s with a backslash before each byte that is one of special.
func (w *writer) escape(s, special string) {
	for i := range len(s) {
		if strings.IndexByte(special, s[i]) >= 0 {
			w.buf = append(w.buf, '\\')
		}
		w.buf = append(w.buf, s[i])
	}
}

// clean returns s with a "?" for each character that is not printable ASCII:
// line breaks and NUL for safety, the others because the message may not be
// one that allows UTF-8 in its header (RFC 6532).
func clean(s string) string { return term.ASCII(s) }

// cut shortens the ASCII text s to n bytes and shows that it did.
func cut(s string, n int) string {
	const mark = "..."
	if len(s) <= n {
		return s
	}
	return s[:n-len(mark)] + mark
}

// isKeyword reports whether s is a Keyword (RFC 5321, Section 4.1.2; RFC 8601,
// Section 2.2) that does not end in a hyphen, and not too long.
func isKeyword(s string) bool {
	if s == "" || len(s) > MaxKeyword || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if !isAlnum(s[i]) && s[i] != '-' {
			return false
		}
	}
	return true
}

// isToken reports whether s is a token (RFC 2045, Section 5.1).
func isToken(s string) bool {
	for i := range len(s) {
		if !isTokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

func isTokenByte(c byte) bool {
	return c > ' ' && c <= '~' && strings.IndexByte(`()<>@,;:\"/[]?=`, c) < 0
}

// isAddress reports whether s is [local-part] "@" domain-name with a dot-atom
// for the local-part, which stands unquoted (RFC 8601, Section 2.2). Any other
// address is quoted as a whole.
func isAddress(s string) bool {
	local, domain, found := strings.Cut(s, "@")
	return found && (local == "" || isDotAtom(local)) && isDomain(domain)
}

func isDotAtom(s string) bool {
	dot := true // an atom must follow
	for i := range len(s) {
		if s[i] == '.' && dot || s[i] != '.' && !isAtext(s[i]) {
			return false
		}
		dot = s[i] == '.'
	}
	return !dot
}

// isDomain reports whether s looks like a domain name; an underscore is let
// through, for SPF and DKIM identities have some.
func isDomain(s string) bool {
	dot := true
	for i := range len(s) {
		if s[i] == '.' && dot || s[i] != '.' && !isAlnum(s[i]) && s[i] != '-' && s[i] != '_' {
			return false
		}
		dot = s[i] == '.'
	}
	return !dot
}

// isAtext reports whether c is atext (RFC 5322, Section 3.2.3).
func isAtext(c byte) bool {
	return isAlnum(c) || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
