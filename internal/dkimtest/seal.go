package dkimtest

import (
	"crypto"
	"fmt"
	"strconv"
	"strings"
)

// Hop is one set of an ARC chain (RFC 8617).
type Hop struct {
	Domain, Selector string // d= and s= of message signature and seal
	Results          string // what ARC-Authentication-Results says behind its instance
	CV               string // right when empty
}

// arcFields are the fields of a set, in the order in which they are sealed.
var arcFields = []string{"arc-authentication-results", "arc-message-signature", "arc-seal"}

// Seal returns the message with the next set of its chain on top. Lines of the
// message end in CRLF.
func (k Key) Seal(message []byte, hop Hop) ([]byte, error) {
	fields, body := split(message)
	sets := sealed(fields)
	n := strconv.Itoa(len(sets) + 1)
	if hop.CV == "" {
		hop.CV = map[bool]string{true: "none", false: "pass"}[len(sets) == 0]
	}
	alg := k.kind + "-sha256"

	results := fmt.Sprintf("ARC-Authentication-Results: i=%s; %s\r\n", n, hop.Results)
	m := signer{name: "ARC-Message-Signature", key: k, hash: crypto.SHA256, tags: []Tag{
		{"i", n}, {"a", alg}, {"c", "relaxed/relaxed"}, {"d", hop.Domain}, {"s", hop.Selector},
		{"h", "from:to:subject:date:message-id:dkim-signature"}, {"bh", ""}, {"b", ""},
	}}
	m.tag("bh").Value = m.bodyHash(body)
	signature, err := m.whole(m.signed(fields))
	if err != nil {
		return nil, err
	}
	s := signer{name: "ARC-Seal", key: k, hash: crypto.SHA256, tags: []Tag{
		{"i", n}, {"a", alg}, {"c", "relaxed"}, {"cv", hop.CV}, {"d", hop.Domain}, {"s", hop.Selector}, {"b", ""},
	}}
	seal, err := s.whole(strings.Join(sets, "") + canonicalField(true, results) + canonicalField(true, signature))
	if err != nil {
		return nil, err
	}
	return append([]byte(seal+signature+results), message...), nil
}

// sealed returns the sets of a chain, oldest first, each as it is hashed.
func sealed(fields []string) []string {
	var sets []string
	for {
		var set string
		for _, name := range arcFields {
			for _, f := range fields {
				c := canonicalField(true, f)
				if strings.HasPrefix(c, name+":i="+strconv.Itoa(len(sets)+1)+";") {
					set += c
				}
			}
		}
		if set == "" {
			return sets
		}
		sets = append(sets, set)
	}
}
