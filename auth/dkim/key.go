package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"strings"

	"dmarcgate/auth/taglist"
)

// record is a key record (RFC 6376, Section 3.6.1).
type record struct {
	kind    string  // k=, in lower case
	refused finding // why no signature can use it, whatever the key is
	testing bool    // t=y
	strict  bool    // t=s

	public   crypto.PublicKey // nil when it cannot be used
	bits     int              // its size, 0 when that is not known
	unusable finding          // why it cannot be used
}

// parseRecord reads a TXT record. It is false for text that is no key: other
// records stand at the name of a key, too, through wildcards.
func parseRecord(text string) (record, bool) {
	if len(text) > maxRecord {
		return record{}, false
	}
	list, ok := taglist.Parse(text, true)
	if !ok {
		return record{}, false
	}
	p, ok := list.Find("p")
	if !ok {
		return record{}, false
	}
	flags := list.Value("t", "")
	r := record{kind: strings.ToLower(list.Value("k", "rsa")), testing: taglist.HasWord(flags, "y"), strict: taglist.HasWord(flags, "s")}
	material := taglist.Compact(p.Value)
	if r.refused = refuse(list, material, r.kind); r.refused.status == None {
		r.public, r.bits, r.unusable = parseKey(r.kind, material)
	}
	return r, true
}

// refuse tells what is wrong with a record beside its key.
func refuse(list taglist.List, material, kind string) finding {
	switch v, versioned := list.Find("v"); {
	case versioned && (v.Value != "DKIM1" || list[0].Name != "v"):
		return permanent("unknown version of the key record")
	case material == "": // RFC 6376, Section 3.6.1: as if it had been removed
		return permanent("key revoked")
	case !taglist.HasWord(list.Value("h", "sha256"), "sha256"):
		return permanent("key does not allow SHA-256")
	case !taglist.HasWord(list.Value("s", "*"), "*") && !taglist.HasWord(list.Value("s", "*"), "email"):
		return permanent("key is not for mail")
	case kind != "rsa" && kind != "ed25519":
		return permanent("unknown kind of key")
	}
	return finding{}
}

// parseKey reads p=, and returns the size of the key in bits, too.
func parseKey(kind, material string) (crypto.PublicKey, int, finding) {
	if kind == "rsa" {
		return parseRSA(material)
	}
	return parseEd25519(material)
}

// fits tells what keeps a key from being used with an algorithm, and its size.
func (r record) fits(algorithm string) (bits int, _ finding) {
	switch {
	case r.refused.status != None:
		return 0, r.refused
	case !strings.HasPrefix(algorithm, r.kind+"-"):
		return 0, permanent("key of another kind than a=")
	}
	return r.bits, r.unusable
}

// parseRSA reads both forms in use: RFC 6376 names RSAPublicKey, what everybody
// publishes is SubjectPublicKeyInfo (erratum 3017).
func parseRSA(material string) (crypto.PublicKey, int, finding) {
	der, ok := taglist.Decode(material)
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
	raw, ok := taglist.Decode(material)
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
