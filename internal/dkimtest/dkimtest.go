// Package dkimtest signs messages for tests and for the demo, and prints the
// key records that belong to the signatures. It is not for production.
package dkimtest

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/emersion/go-msgauth/dkim"
)

// Key signs for any domain. Make it with RSA or Ed25519.
type Key struct {
	signer crypto.Signer
	record string
}

// RSA makes a key of the given number of bits.
func RSA(bits int) (Key, error) {
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return Key{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	if err != nil {
		return Key{}, err
	}
	return Key{k, "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)}, nil
}

// Ed25519 makes a key of RFC 8463.
func Ed25519() (Key, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Key{}, err
	}
	return Key{private, "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)}, nil
}

// Zone returns the key record as a line of zone text, its text cut into
// strings of at most 255 bytes.
func (k Key) Zone(selector, domain string) string {
	var parts []string
	for text := k.record; text != ""; {
		n := min(len(text), 255)
		parts = append(parts, fmt.Sprintf("%q", text[:n]))
		text = text[n:]
	}
	return fmt.Sprintf("%s._domainkey.%s. TXT %s\n", selector, domain, strings.Join(parts, " "))
}

// Sign returns the message with a relaxed signature over From, Subject and
// the body on top. Its lines become CRLF.
func (k Key) Sign(message []byte, domain, selector string) ([]byte, error) {
	return k.sign(message, domain, selector, dkim.CanonicalizationRelaxed)
}

// SignSimple is Sign with simple canonicalization, under which every byte
// counts: the space after a colon, too.
func (k Key) SignSimple(message []byte, domain, selector string) ([]byte, error) {
	return k.sign(message, domain, selector, dkim.CanonicalizationSimple)
}

func (k Key) sign(message []byte, domain, selector string, canon dkim.Canonicalization) ([]byte, error) {
	text := strings.ReplaceAll(strings.ReplaceAll(string(message), "\r\n", "\n"), "\n", "\r\n")
	var out bytes.Buffer
	err := dkim.Sign(&out, strings.NewReader(text), &dkim.SignOptions{
		Domain: domain, Selector: selector, Signer: k.signer,
		HeaderCanonicalization: canon, BodyCanonicalization: canon,
		HeaderKeys: []string{"From", "Subject"},
	})
	if err != nil {
		return nil, fmt.Errorf("signing for %s: %w", domain, err)
	}
	return out.Bytes(), nil
}
