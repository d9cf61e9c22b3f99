package dkim

import (
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"testing"
)

func TestKeyFastPathReadsUsualKeys(t *testing.T) {
	for _, bits := range []uint{512, 1024, 1032, 2048, 4096, 8192} {
		n := new(big.Int).SetBit(big.NewInt(1), int(bits)-1, 1)
		for _, e := range []int{3, 17, 65537, 0x7fffff} {
			der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n, E: e})
			if err != nil {
				t.Fatal(err)
			}
			if got := usualRSAKey(der); got == nil || got.E != e || got.N.Cmp(n) != 0 {
				t.Errorf("key of %d bits with exponent %d = %+v", bits, e, got)
			}
		}
	}
}

func FuzzKey(f *testing.F) {
	key := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 1023, 1), E: 65537}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Add(der[:len(der)-1])
	f.Add(append(der[:len(der):len(der)], 0))
	f.Add(x509.MarshalPKCS1PublicKey(key))
	for at := range min(40, len(der)) {
		changed := append([]byte(nil), der...)
		changed[at] ^= 0x81
		f.Add(changed)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		if got := usualRSAKey(der); got != nil {
			if want := anyRSAKey(der); want == nil || !got.Equal(want) {
				t.Errorf("key of %x = %+v; crypto/x509 reads %+v", der, got, want)
			}
		}
	})
}
