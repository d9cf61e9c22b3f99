package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"strings"
)

// record is a key record (RFC 6376, Section 3.6.1).
type record struct {
	version  bool   // it has no v=, or the right one in the right place
	kind     string // k=, in lower case
	material string // p= without white space, empty when the key is revoked
	sha256   bool   // h= allows it
	email    bool   // s= allows it
	testing  bool   // t=y
	strict   bool   // t=s
}

// parseRecord reads a TXT record. It is false for text that is no key: other
// records stand at the name of a key, too, through wildcards.
func parseRecord(text string) (record, bool) {
	if len(text) > maxRecord {
		return record{}, false
	}
	list, ok := parseTags(text, true)
	if !ok {
		return record{}, false
	}
	p, ok := list.find("p")
	v, versioned := list.find("v")
	flags := list.value("t", "")
	return record{
		version:  !versioned || v.value == "DKIM1" && list[0].name == "v",
		kind:     strings.ToLower(list.value("k", "rsa")),
		material: compact(p.value),
		sha256:   lists(list.value("h", "sha256"), "sha256"),
		email:    lists(list.value("s", "*"), "*") || lists(list.value("s", "*"), "email"),
		testing:  lists(flags, "y"),
		strict:   lists(flags, "s"),
	}, ok
}

// public returns the key of a record for an algorithm, its size in bits, and
// what keeps it from being used.
func (r record) public(algorithm string) (crypto.PublicKey, int, finding) {
	if !r.version {
		return nil, 0, permanent("unknown version of the key record")
	}
	if r.material == "" { // RFC 6376, Section 3.6.1: as if it had been removed
		return nil, 0, permanent("key revoked")
	}
	if !r.sha256 {
		return nil, 0, permanent("key does not allow SHA-256")
	}
	if !r.email {
		return nil, 0, permanent("key is not for mail")
	}
	switch {
	case r.kind != "rsa" && r.kind != "ed25519":
		return nil, 0, permanent("unknown kind of key")
	case !strings.HasPrefix(algorithm, r.kind+"-"):
		return nil, 0, permanent("key of another kind than a=")
	case r.kind == "rsa":
		return parseRSA(r.material)
	}
	return parseEd25519(r.material)
}

// parseRSA reads both forms in use: RFC 6376 names RSAPublicKey, what everybody
// publishes is SubjectPublicKeyInfo (erratum 3017).
func parseRSA(material string) (crypto.PublicKey, int, finding) {
	der, ok := decode(material)
	if !ok {
		return nil, 0, permanent("key cannot be read")
	}
	key := usualRSAKey(der)
	if key == nil {
		key = anyRSAKey(der)
	}
	if key == nil {
		return nil, 0, permanent("key cannot be read")
	}
	bits := key.N.BitLen()
	switch {
	case bits < minRSA:
		return nil, bits, permanent("key too short")
	case bits > maxRSA:
		return nil, bits, finding{Policy, "key too long"}
	}
	return key, bits, finding{}
}

// anyRSAKey reads both forms as the standard library does. It is nil for what
// is no RSA key.
func anyRSAKey(der []byte) *rsa.PublicKey {
	if public, err := x509.ParsePKIXPublicKey(der); err == nil {
		key, _ := public.(*rsa.PublicKey)
		return key
	}
	if key, err := x509.ParsePKCS1PublicKey(der); err == nil {
		return key
	}
	return nil
}

// parseEd25519 reads the bare 32 bytes (RFC 8463, Section 4).
func parseEd25519(material string) (crypto.PublicKey, int, finding) {
	raw, ok := decode(material)
	if !ok || len(raw) != ed25519.PublicKeySize {
		return nil, 0, permanent("key cannot be read")
	}
	return ed25519.PublicKey(raw), 8 * len(raw), finding{}
}

// verifies reports whether b is the signature over a header hash. Ed25519 signs
// the hash as its message (RFC 8463, Section 3).
func verifies(key crypto.PublicKey, hash, b []byte) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(k, crypto.SHA256, hash, b) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(k, hash, b)
	}
	return false
}
