package dkimtest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"math/big"
)

// primeBits is the size of most primes of AnyRSA. One of 512 bits takes
// milliseconds to find, one of 4096 bits takes minutes under the race detector.
const primeBits = 512

// exponent is the public exponent in use everywhere.
const exponent = 65537

// AnyRSA makes a key of any number of bits from 512 on, also of one that
// crypto/rsa refuses. It has many small primes, which a verifier cannot see
// and an attacker could use: it is for tests alone.
func AnyRSA(bits int) (Key, error) {
	k := &plainRSA{modulus: big.NewInt(1)}
	order := big.NewInt(1)
	for try := 0; k.modulus.BitLen() < bits; try++ {
		left := bits - k.modulus.BitLen() + 1
		size := min(primeBits, bits/2)
		if left < size+size/2 { // the last one
			size = left - try%2 // one of the two sizes gives the right length
		}
		p, err := rand.Prime(rand.Reader, size)
		if err != nil {
			return Key{}, err
		}
		n, minusOne := new(big.Int).Mul(k.modulus, p), new(big.Int).Sub(p, big.NewInt(1))
		fits := n.BitLen() == bits || n.BitLen() < bits-size/2
		if fits && new(big.Int).Mod(minusOne, big.NewInt(exponent)).Sign() != 0 {
			k.modulus, order = n, order.Mul(order, minusOne)
		}
	}
	k.private = new(big.Int).ModInverse(big.NewInt(exponent), order)
	return newRSA(k)
}

// plainRSA is textbook RSA. It is a crypto.Signer.
type plainRSA struct{ modulus, private *big.Int }

func (k *plainRSA) Public() crypto.PublicKey {
	return &rsa.PublicKey{N: k.modulus, E: exponent}
}

// prefixes are the DER of DigestInfo up to the hash (RFC 8017, Section 9.2).
var prefixes = map[crypto.Hash]string{
	crypto.SHA1:   "\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14",
	crypto.SHA256: "\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
}

// Sign is RSASSA-PKCS1-v1_5 (RFC 8017, Section 8.2.1).
func (k *plainRSA) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	out := make([]byte, (k.modulus.BitLen()+7)/8)
	info := prefixes[opts.HashFunc()] + string(digest)
	if len(out) < len(info)+11 {
		return nil, errors.New("key too small for the hash")
	}
	for i := range out {
		out[i] = 0xff
	}
	out[0], out[1], out[len(out)-len(info)-1] = 0, 1, 0
	copy(out[len(out)-len(info):], info)
	m := new(big.Int).SetBytes(out)
	return m.Exp(m, k.private, k.modulus).FillBytes(out), nil
}
