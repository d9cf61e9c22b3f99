// Package dkimtest signs messages for tests and for the demo, and prints the
// key records that belong to the signatures. It is not for production.
//
// Sign makes what senders make. SignTags makes what they should not: any tags,
// in any order, right or wrong. Its canonicalization is of its own, so that
// it agrees with a verifier only if both are right.
package dkimtest

import (
	"bytes"
	"cmp"
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

// Key signs for any domain. Make it with RSA, AnyRSA or Ed25519.
type Key struct {
	signer crypto.Signer
	kind   string // as in k=
	forms  map[string]string
}

// RSA makes a key of the given number of bits.
func RSA(bits int) (Key, error) {
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return Key{}, err
	}
	return newRSA(k)
}

func newRSA(k crypto.Signer) (Key, error) {
	public := k.Public().(*rsa.PublicKey)
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return Key{}, err
	}
	return Key{k, "rsa", map[string]string{
		"spki":  base64.StdEncoding.EncodeToString(der),
		"pkcs1": base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(public)),
	}}, nil
}

// Ed25519 makes a key of RFC 8463.
func Ed25519() (Key, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Key{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return Key{}, err
	}
	return Key{private, "ed25519", map[string]string{
		"raw":  base64.StdEncoding.EncodeToString(public),
		"spki": base64.StdEncoding.EncodeToString(der),
	}}, nil
}

// Kind returns what k= calls the key.
func (k Key) Kind() string { return k.kind }

// Public returns the public key as p= has it, in one of the forms "spki",
// "pkcs1" (RSA only) and "raw" (Ed25519 only); without one in the form that
// domains publish. It is empty for a form that the key has not.
func (k Key) Public(form string) string {
	usual := map[string]string{"rsa": "spki", "ed25519": "raw"}
	return k.forms[cmp.Or(form, usual[k.kind])]
}

// Zone returns the key record as a line of zone text, its text cut into
// strings of at most 255 bytes.
func (k Key) Zone(selector, domain string) string {
	var parts []string
	for text := "v=DKIM1; k=" + k.kind + "; p=" + k.Public(""); text != ""; {
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
