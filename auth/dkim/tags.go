package dkim

import (
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"strings"
)

// tags reads a tag list (RFC 6376, Section 3.2). Of a repeated tag the first
// one is returned: the list is invalid and the verification says so.
func tags(list string) map[string]string {
	out := make(map[string]string)
	for part := range strings.SplitSeq(list, ";") {
		name, value, ok := strings.Cut(part, "=")
		name = strings.TrimSpace(name)
		if _, seen := out[name]; ok && !seen {
			out[name] = strings.TrimSpace(value)
		}
	}
	return out
}

// compact removes white space, which is ignored in b=, bh= and p=.
func compact(s string) string { return strings.Join(strings.Fields(s), "") }

// describeKey returns the size of the key in a key record and whether the
// record says that the domain is testing (RFC 6376, Section 3.6.1).
func describeKey(txts []string) (bits int, testing bool) {
	for _, txt := range txts {
		t := tags(txt)
		if n := size(t["k"], t["p"]); n > 0 {
			bits = n
		}
		for flag := range strings.SplitSeq(t["t"], ":") {
			testing = testing || strings.TrimSpace(flag) == "y"
		}
	}
	return bits, testing
}

func size(kind, p string) int {
	der, err := base64.StdEncoding.DecodeString(compact(p))
	if err != nil {
		return 0
	}
	if kind == "ed25519" {
		if len(der) != ed25519.PublicKeySize {
			return 0
		}
		return 8 * ed25519.PublicKeySize
	}
	if key, err := x509.ParsePKIXPublicKey(der); err == nil {
		if k, ok := key.(*rsa.PublicKey); ok {
			return k.N.BitLen()
		}
		return 0
	}
	if k, err := x509.ParsePKCS1PublicKey(der); err == nil {
		return k.N.BitLen()
	}
	return 0
}
