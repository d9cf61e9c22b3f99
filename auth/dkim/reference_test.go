package dkim

import (
	"bytes"
	"regexp"
	"strings"
)

// The canonicalizations as the text of RFC 6376, Section 3.4, has them, over
// the whole of a field or body at once.

var (
	runs     = regexp.MustCompile(`[ \t]+`)
	foldings = strings.NewReplacer("\r\n ", " ", "\r\n\t", "\t")
)

func referenceBody(relax bool, body []byte) []byte {
	if relax {
		lines := bytes.Split(body, []byte("\r\n"))
		for i, l := range lines {
			if bytes.ContainsAny(l, " \t") {
				lines[i] = bytes.TrimSuffix(runs.ReplaceAll(l, []byte(" ")), []byte(" "))
			}
		}
		body = bytes.Join(lines, []byte("\r\n"))
	}
	for bytes.HasSuffix(body, []byte("\r\n")) {
		body = bytes.TrimSuffix(body, []byte("\r\n"))
	}
	if relax && len(body) == 0 {
		return nil
	}
	return append(bytes.Clone(body), "\r\n"...)
}

func referenceField(relax bool, raw string) string {
	if !relax {
		return raw
	}
	name, value, _ := strings.Cut(raw, ":")
	value = foldings.Replace(strings.TrimSuffix(value, "\r\n"))
	value = strings.Join(strings.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == '\t' }), " ")
	return lower(strings.TrimRight(name, " \t")) + ":" + value + "\r\n"
}
