package main

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// canonFloor verifies the signatures of the mix with the standard library: it
// canonicalizes header and body (relaxed/relaxed), hashes both and verifies
// what it finds. It knows every key, checks no limit and looks nothing up. The
// bytes of a message are in memory as a whole, which a milter's never are.
type canonFloor struct{ keys map[string]crypto.PublicKey } // by selector and domain modulo pairs

func newCanonFloor(keys signers) (canonFloor, error) {
	f := canonFloor{make(map[string]crypto.PublicKey)}
	for kind, list := range keys {
		for i, key := range list {
			der, err := base64.StdEncoding.DecodeString(key.Public("spki"))
			if err != nil {
				return f, err
			}
			if f.keys[keyName(kind, i)], err = x509.ParsePKIXPublicKey(der); err != nil {
				return f, err
			}
		}
	}
	return f, nil
}

func keyName(kind signing, domain int) string {
	return fmt.Sprintf("%s%d", selectors[kind], domain%pairs)
}

var errSignature = errors.New("a signature does not verify")

// verify returns errSignature unless every signature of the message is right.
func (f canonFloor) verify(m *mail) error {
	var body [sha256.Size]byte
	hashed := false
	for i, field := range m.fields {
		if field.Name != "DKIM-Signature" {
			continue
		}
		if !hashed {
			body, hashed = sha256.Sum256(relaxedBody(m.body)), true
		}
		if err := f.signature(m, i, body); err != nil {
			return err
		}
	}
	return nil
}

// signature verifies one signature: the field at a place of the header.
func (f canonFloor) signature(m *mail, at int, body [sha256.Size]byte) error {
	value := m.fields[at].Value
	tags := make(map[string]string)
	for part := range strings.SplitSeq(value, ";") {
		name, text, _ := strings.Cut(part, "=")
		tags[strings.TrimSpace(name)] = strings.Join(strings.Fields(text), "")
	}
	bh, err := base64.StdEncoding.DecodeString(tags["bh"])
	if err != nil || !bytes.Equal(bh, body[:]) {
		return errors.Join(errSignature, err)
	}
	sig, err := base64.StdEncoding.DecodeString(tags["b"])
	if err != nil {
		return err
	}
	var header []byte
	for name := range strings.SplitSeq(tags["h"], ":") { // each name once: the last field of it counts
		for _, field := range slices.Backward(m.fields) {
			if strings.EqualFold(field.Name, name) {
				header = append(relaxedField(header, field.Name, field.Value), "\r\n"...)
				break
			}
		}
	}
	begin := strings.LastIndex(value, "b=") + 2 // b= is the last tag
	digest := sha256.Sum256(relaxedField(header, m.fields[at].Name, value[:begin]))
	domain := m.domain
	if tags["d"] == service {
		domain = 0
	}
	switch key := f.keys[fmt.Sprintf("%s%d", tags["s"], domain%pairs)].(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], sig)
	case ed25519.PublicKey:
		if ed25519.Verify(key, digest[:], sig) {
			return nil
		}
	}
	return errSignature
}

// relaxedField appends a field in relaxed form (RFC 6376, Section 3.4.2)
// without its final CRLF.
func relaxedField(dst []byte, name, value string) []byte {
	dst = append(append(dst, strings.ToLower(name)...), ':')
	begin := len(dst)
	dst = squash(dst, strings.TrimLeft(strings.ReplaceAll(value, "\n", ""), " \t\r"))
	return append(dst[:begin], bytes.TrimRight(dst[begin:], " ")...)
}

// relaxedBody returns a body in relaxed form (RFC 6376, Section 3.4.4).
func relaxedBody(body []byte) []byte {
	out := make([]byte, 0, len(body)+2)
	for line := range bytes.SplitSeq(body, []byte("\r\n")) {
		out = append(bytes.TrimRight(squash(out, line), " "), "\r\n"...)
	}
	for bytes.HasSuffix(out, []byte("\r\n\r\n")) {
		out = out[:len(out)-2]
	}
	if len(out) == 2 {
		return nil
	}
	return out
}

// squash appends text in which a run of white space is one space.
func squash[T string | []byte](dst []byte, text T) []byte {
	blank := false
	for i := range len(text) {
		b := text[i]
		if b == ' ' || b == '\t' {
			blank = true
			continue
		}
		if blank {
			dst, blank = append(dst, ' '), false
		}
		dst = append(dst, b)
	}
	return dst
}

// check verifies a message and fails when the result is not the one that it has
// to have.
func (f canonFloor) check(m *mail) error {
	if err := f.verify(m); (err == nil) != (m.fate != altered) {
		return fmt.Errorf("message of fate %d: %w", m.fate, errors.Join(err, errSignature))
	}
	return nil
}
