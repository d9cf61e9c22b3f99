package dkimtest

import (
	"bytes"
	"regexp"
	"strings"
)

// The canonicalizations as the text of RFC 6376, Section 3.4, has them, over
// the whole of a field or body at once: slow, and independent of what they test.

var (
	runs  = regexp.MustCompile(`[ \t]+`)
	folds = regexp.MustCompile(`\r\n([ \t])`)
)

// canonicalField returns a field with its final CRLF.
func canonicalField(relaxed bool, raw string) string {
	if !relaxed {
		return raw
	}
	name, value, _ := strings.Cut(raw, ":")
	value = folds.ReplaceAllString(strings.TrimSuffix(value, "\r\n"), "$1")
	value = strings.Trim(runs.ReplaceAllString(value, " "), " ")
	return strings.ToLower(strings.TrimRight(name, " \t")) + ":" + value + "\r\n"
}

// canonicalBody returns a body of lines that end in CRLF.
func canonicalBody(relaxed bool, body []byte) []byte {
	if relaxed {
		lines := bytes.Split(body, []byte("\r\n"))
		for i, line := range lines {
			lines[i] = bytes.TrimRight(runs.ReplaceAll(line, []byte(" ")), " ")
		}
		body = bytes.Join(lines, []byte("\r\n"))
	}
	for bytes.HasSuffix(body, []byte("\r\n")) {
		body = bytes.TrimSuffix(body, []byte("\r\n"))
	}
	if relaxed && len(body) == 0 {
		return nil
	}
	return append(bytes.Clone(body), "\r\n"...)
}
