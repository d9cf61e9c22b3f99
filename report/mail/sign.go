package mail

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// signed are the fields that a signature covers. From is named twice, so that
// nobody can add another (RFC 6376, Section 5.4.2).
var signed = []string{"From", "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"}

// sign returns a DKIM-Signature field for a mail (RFC 6376, Section 3.5;
// RFC 8463 for Ed25519). The body is in relaxed form as it is: it has no two
// blanks in a row, none at the end of a line, and ends in one CRLF.
func (k *Key) sign(mail []byte, at time.Time) (string, error) {
	head, body, _ := bytes.Cut(mail, []byte("\r\n\r\n"))
	bodyHash := sha256.Sum256(body)
	tags := []string{
		"v=1",
		"a=" + k.kind() + "-sha256",
		"c=relaxed/relaxed",
		"d=" + k.Domain,
		"s=" + k.Selector,
		fmt.Sprintf("t=%d", at.Unix()),
		"h=" + strings.Join(signed, ":"),
		"bh=" + base64.StdEncoding.EncodeToString(bodyHash[:]),
		"b=",
	}
	hash := sha256.New()
	fields := relaxed(string(head))
	for _, name := range signed {
		name = strings.ToLower(name)
		hash.Write([]byte(fields[name]))
		delete(fields, name) // a second one is not there
	}
	hash.Write([]byte("dkim-signature:" + strings.Join(tags, "; ")))
	signature, err := k.raw(hash.Sum(nil))
	if err != nil {
		return "", err
	}
	return "DKIM-Signature: " + strings.Join(tags, ";\r\n ") + folded(signature) + "\r\n", nil
}

// raw signs a hash.
func (k *Key) raw(hash []byte) ([]byte, error) {
	if k.kind() == "rsa" {
		return k.Signer.Sign(rand.Reader, hash, crypto.SHA256) // PKCS #1 v1.5, the same each time
	}
	return k.Signer.Sign(rand.Reader, hash, crypto.Hash(0)) // RFC 8463, Section 3
}

// kind is the key type as k= has it.
func (k *Key) kind() string {
	if _, ok := k.Signer.Public().(*rsa.PublicKey); ok {
		return "rsa"
	}
	return "ed25519"
}

// relaxed returns the fields of a header of our own in relaxed form by name
// (RFC 6376, Section 3.4.2). Each name stands there once.
func relaxed(head string) map[string]string {
	fields := map[string]string{}
	for field := range strings.SplitSeq(strings.ReplaceAll(head, "\r\n ", " "), "\r\n") {
		name, value, _ := strings.Cut(field, ":")
		name = strings.ToLower(name)
		fields[name] = name + ":" + strings.Join(strings.Fields(value), " ") + "\r\n"
	}
	return fields
}

// folded is a signature in base64, in lines.
func folded(signature []byte) string {
	const width = 72
	text := base64.StdEncoding.EncodeToString(signature)
	var b strings.Builder
	for len(text) > width {
		b.WriteString(text[:width] + "\r\n ")
		text = text[width:]
	}
	return b.String() + text
}
