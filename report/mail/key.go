package mail

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"

	"dmarcgate/report/private"
)

// minRSA is the size in bits of the shortest RSA key (RFC 8301, Section 3.2).
const minRSA = 1024

// Key signs mails of a domain under a selector.
type Key struct {
	Domain   string
	Selector string
	Signer   crypto.Signer // RSA or Ed25519
}

// LoadKey reads a private key from a file in PEM: PKCS #8, or PKCS #1 for RSA.
// A file that every user of the host can use is refused; see package private.
func LoadKey(path, domain, selector string) (*Key, error) {
	if !isDomain(domain, 2) || !isDomain(selector, 1) {
		return nil, fmt.Errorf("DKIM key: selector %q of domain %q cannot be used", selector, domain)
	}
	text, err := private.Read(path)
	if err != nil {
		return nil, fmt.Errorf("DKIM key: %w", err)
	}
	signer, err := parseKey(text)
	if err != nil {
		return nil, fmt.Errorf("DKIM key %s: %w", path, err)
	}
	return &Key{domain, selector, signer}, nil
}

// parseKey reads the first block of a PEM file.
func parseKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no key in PEM")
	}
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("the key has a passphrase")
	default:
		return nil, fmt.Errorf("a block %q is no private key", block.Type)
	}
	if err != nil {
		return nil, err
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if key.N.BitLen() < minRSA {
			return nil, fmt.Errorf("an RSA key of %d bits is too short; use 2048", key.N.BitLen())
		}
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, fmt.Errorf("DKIM has no keys of type %T; use RSA or Ed25519", key)
}

// Record returns the key record to publish (RFC 6376, Section 3.6.1).
func (k *Key) Record() (string, error) {
	public := k.Signer.Public()
	if key, ok := public.(ed25519.PublicKey); ok { // the bare key: RFC 8463, Section 4.2
		return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(key), nil
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der), err
}
