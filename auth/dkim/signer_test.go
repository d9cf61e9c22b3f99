package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"

	"dmarcgate/message"
)

// letterParts is a message to be signed, with the reference canonicalization.
// The zero values mean what most tests want.
type letterParts struct {
	header, body string // signed as they are
	canon        string // c=, "relaxed/relaxed" when empty
	names        string // h=, "from:subject" when empty
	tags         string // more tags before bh=, with their ";"
	after        string // text behind the value of b=
	domain       string // "example.com" when empty
	selector     string // "s1" when empty
	limit        int    // l= plus one, 0 without it
	alg          string // "rsa-sha256" when empty
}

const (
	head = "From: a@example.com\r\nTo: b@receiver.example\r\nSubject: hello\r\n"
	text = "Hello,\r\nworld.\r\n"
)

var private = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		panic(err)
	}
	return k
})

var edPrivate = ed25519.NewKeyFromSeed([]byte("a seed that is no secret to you."))

// rsaRecord returns a key record for a public key.
func rsaRecord(k *rsa.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(k)
	if err != nil {
		panic(err)
	}
	return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)
}

func edRecord() string {
	return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(edPrivate.Public().(ed25519.PublicKey))
}

func (l letterParts) defaults() letterParts {
	or := func(s *string, d string) {
		if *s == "" {
			*s = d
		}
	}
	or(&l.header, head)
	or(&l.body, text)
	or(&l.canon, "relaxed/relaxed")
	or(&l.names, "from:subject")
	or(&l.domain, "example.com")
	or(&l.selector, "s1")
	or(&l.alg, "rsa-sha256")
	return l
}

// signed returns the message with its signature on top.
func (l letterParts) signed(t testing.TB) string {
	t.Helper()
	l = l.defaults()
	headCanon, bodyCanon, _ := strings.Cut(l.canon, "/")
	body := referenceBody(bodyCanon == "relaxed", []byte(l.body))
	if l.limit > 0 {
		l.tags += fmt.Sprintf("l=%d; ", l.limit-1)
		body = body[:min(l.limit-1, len(body))]
	}
	bh := sha256.Sum256(body)
	field := fmt.Sprintf("DKIM-Signature: v=1; a=%s; c=%s; d=%s; s=%s;\r\n h=%s; %sbh=%s;\r\n b=", l.alg, l.canon, l.domain, l.selector,
		l.names, l.tags, base64.StdEncoding.EncodeToString(bh[:]))
	raw, _ := message.Split([]byte(l.header))
	var data strings.Builder
	for _, name := range strings.Split(l.names, ":") {
		for i := len(raw) - 1; i >= 0; i-- {
			if raw[i] != nil && strings.EqualFold(message.NewField(raw[i]).Name, strings.TrimSpace(name)) {
				data.WriteString(referenceField(headCanon == "relaxed", string(raw[i])))
				raw[i] = nil
				break
			}
		}
	}
	data.WriteString(strings.TrimSuffix(referenceField(headCanon == "relaxed", field+l.after+"\r\n"), "\r\n"))
	hash := sha256.Sum256([]byte(data.String()))
	var b []byte
	var err error
	if l.alg == "ed25519-sha256" {
		b = ed25519.Sign(edPrivate, hash[:])
	} else if b, err = rsa.SignPKCS1v15(rand.Reader, private(), crypto.SHA256, hash[:]); err != nil {
		t.Fatal(err)
	}
	return field + base64.StdEncoding.EncodeToString(b) + l.after + "\r\n" + l.header + "\r\n" + l.body
}
