package dkim

import (
	"bytes"
	"crypto/rsa"
	"math/big"
)

// Tags of DER (X.690).
const (
	derInteger   = 0x02
	derBitString = 0x03
	derSequence  = 0x30
)

// derRSA is the AlgorithmIdentifier of an RSA key: rsaEncryption, NULL (RFC
// 3279, Section 2.3.1).
var derRSA = []byte{derSequence, 13, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 0x05, 0}

// usualRSAKey reads a SubjectPublicKeyInfo in the one form in which nearly all
// RSA keys are published, at a fifth of what crypto/x509 takes. What it does not
// read may be a key for crypto/x509 all the same; what it reads, that reads
// alike.
func usualRSAKey(der []byte) *rsa.PublicKey {
	info, rest := element(der, derSequence)
	bare, ok := bytes.CutPrefix(info, derRSA)
	if !ok || len(rest) > 0 {
		return nil
	}
	text, rest := element(bare, derBitString)
	if len(rest) > 0 || len(text) == 0 || text[0] != 0 { // bits that are not used
		return nil
	}
	key, rest := element(text[1:], derSequence)
	if len(rest) > 0 {
		return nil
	}
	modulus, key := element(key, derInteger)
	exponent, rest := element(key, derInteger)
	if len(rest) > 0 || !isPositive(modulus) || !isPositive(exponent) || len(exponent) > 3 {
		return nil
	}
	e := 0
	for _, b := range exponent {
		e = e<<8 | int(b)
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: e}
}

// element returns the content of the element at the beginning of der, which
// has a tag, and what comes behind it. Without one, content is nil.
func element(der []byte, tag byte) (content, rest []byte) {
	if len(der) < 2 || der[0] != tag {
		return nil, der
	}
	n, at := int(der[1]), 2
	switch {
	case n < 0x80:
	case n == 0x81 && len(der) > 2 && der[2] >= 0x80:
		n, at = int(der[2]), 3
	case n == 0x82 && len(der) > 3 && der[2] > 0:
		n, at = int(der[2])<<8|int(der[3]), 4
	default:
		return nil, der
	}
	if len(der)-at < n {
		return nil, der
	}
	return der[at : at+n], der[at+n:]
}

// isPositive reports whether the content of an INTEGER is above zero, and in
// as few bytes as can be.
func isPositive(b []byte) bool {
	switch {
	case len(b) == 0 || b[0] >= 0x80:
		return false
	case b[0] == 0:
		return len(b) > 1 && b[1] >= 0x80
	}
	return true
}
