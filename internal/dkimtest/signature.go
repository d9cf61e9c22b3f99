package dkimtest

import (
	"bytes"
	"crypto"
	"crypto/rand"
	_ "crypto/sha1" // rsa-sha1, which nobody should accept
	_ "crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Tag is one tag of a DKIM-Signature field. It is written as it stands, also
// with white space around the name.
type Tag struct{ Name, Value string }

// SignTags returns the message with a signature of these tags on top, in this
// order. Tags bh= and b= without a value get theirs: from the body and from
// the fields that h= names, by c= and up to l=. Everything else is written as
// given, be it right or wrong. Lines of the message end in CRLF.
func (k Key) SignTags(message []byte, tags []Tag) ([]byte, error) {
	s := signer{name: "DKIM-Signature", key: k, tags: slices.Clone(tags), hash: crypto.SHA256}
	if strings.EqualFold(s.value("a"), "rsa-sha1") {
		s.hash = crypto.SHA1
	}
	fields, body := split(message)
	if bh := s.tag("bh"); bh != nil && bh.Value == "" {
		bh.Value = s.bodyHash(body)
	}
	var b string
	if t := s.tag("b"); t != nil && t.Value == "" {
		var err error
		if b, err = s.sign(s.signed(fields)); err != nil {
			return nil, fmt.Errorf("signing for %s: %w", s.value("d"), err)
		}
	}
	before, after := s.field()
	return append([]byte(before+b+after+"\r\n"), message...), nil
}

type signer struct {
	name string // of the field
	key  Key
	tags []Tag
	hash crypto.Hash
}

// tag returns the first tag of that name, or nil.
func (s *signer) tag(name string) *Tag {
	for i := range s.tags {
		if strings.TrimSpace(s.tags[i].Name) == name {
			return &s.tags[i]
		}
	}
	return nil
}

func (s *signer) value(name string) string {
	if t := s.tag(name); t != nil {
		return strings.TrimSpace(t.Value)
	}
	return ""
}

// relaxed reads c= (RFC 6376, Section 3.5): what is absent is simple.
func (s *signer) relaxed() (header, body bool) {
	h, b, _ := strings.Cut(s.value("c"), "/")
	return h == "relaxed", b == "relaxed"
}

func (s *signer) digest(data []byte) []byte {
	h := s.hash.New()
	h.Write(data)
	return h.Sum(nil)
}

func (s *signer) bodyHash(body []byte) string {
	_, relaxed := s.relaxed()
	body = canonicalBody(relaxed, body)
	if n, err := strconv.Atoi(s.value("l")); err == nil && n >= 0 && n < len(body) {
		body = body[:n]
	}
	return base64.StdEncoding.EncodeToString(s.digest(body))
}

// signed returns what h= names (RFC 6376, Section 3.7).
func (s *signer) signed(fields []string) string {
	relaxed, _ := s.relaxed()
	var data strings.Builder
	taken := make(map[int]bool)
	for name := range strings.SplitSeq(s.value("h"), ":") {
		if i := lowest(fields, strings.TrimSpace(name), taken); i >= 0 {
			data.WriteString(canonicalField(relaxed, fields[i]))
			taken[i] = true
		}
	}
	return data.String()
}

// whole returns the field with its signature over data and itself.
func (s *signer) whole(data string) (string, error) {
	b, err := s.sign(data)
	before, after := s.field()
	return before + b + after + "\r\n", err
}

// sign returns the value of b=, over data and the field itself.
func (s *signer) sign(data string) (string, error) {
	relaxed, _ := s.relaxed()
	before, after := s.field()
	own := canonicalField(relaxed, before+after+"\r\n")
	sum := s.digest([]byte(data + strings.TrimSuffix(own, "\r\n")))
	opts := crypto.SignerOpts(s.hash)
	if s.key.kind == "ed25519" {
		opts = crypto.Hash(0) // the hash is the message (RFC 8463, Section 3)
	}
	b, err := s.key.signer.Sign(rand.Reader, sum, opts)
	return folded(base64.StdEncoding.EncodeToString(b)), err
}

// lowest returns the place of the lowest field of that name that is not taken
// (RFC 6376, Section 5.4.2), or -1.
func lowest(fields []string, name string, taken map[int]bool) int {
	for i := len(fields) - 1; i >= 0; i-- {
		have, _, _ := strings.Cut(fields[i], ":")
		if !taken[i] && strings.EqualFold(strings.TrimRight(have, " \t"), name) {
			return i
		}
	}
	return -1
}

// field returns the field as it stands around the value of b=.
func (s *signer) field() (before, after string) {
	text, found := s.name+":", false
	for i, t := range s.tags {
		switch {
		case i == 0:
			text += " "
		case i%4 == 0:
			text += ";\r\n\t"
		default:
			text += "; "
		}
		text += t.Name + "=" + t.Value
		if !found && strings.TrimSpace(t.Name) == "b" && t.Value == "" {
			before, text, found = text, "", true
		}
	}
	return before, text
}

// folded cuts base64 into lines: white space in it does not count.
func folded(text string) string {
	const width = 70
	var lines []string
	for len(text) > width {
		lines, text = append(lines, text[:width]), text[width:]
	}
	return strings.Join(append(lines, text), "\r\n\t")
}

// split takes a message with CRLF apart.
func split(message []byte) (fields []string, body []byte) {
	head, body, _ := bytes.Cut(message, []byte("\r\n\r\n"))
	for line := range strings.SplitSeq(string(head), "\r\n") {
		if line == "" {
			continue
		}
		if (line[0] == ' ' || line[0] == '\t') && len(fields) > 0 {
			fields[len(fields)-1] += line + "\r\n"
		} else {
			fields = append(fields, line+"\r\n")
		}
	}
	return fields, body
}
