package pgtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// CA returns the file of the authority that signed the server's certificate,
// which is for 127.0.0.1.
func (s *Server) CA() string { return s.path("ca.crt") }

// OtherCA returns the file of an authority that did not.
func (s *Server) OtherCA() string { return s.path("other.crt") }

// writeCertificates makes two authorities, and a certificate of the first.
func (s *Server) writeCertificates() error {
	ca, err := newAuthority("one")
	if err != nil {
		return err
	}
	other, err := newAuthority("another")
	if err != nil {
		return err
	}
	cert, key, err := ca.issue(net.IPv4(127, 0, 0, 1))
	if err != nil {
		return err
	}
	for name, text := range map[string]string{"server.crt": cert, "server.key": key} {
		if err := s.writeFile(name, text); err != nil {
			return err
		}
	}
	if err := os.WriteFile(s.CA(), []byte(ca.text), 0o644); err != nil {
		return err
	}
	return os.WriteFile(s.OtherCA(), []byte(other.text), 0o644)
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	text string
}

func newAuthority(name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := template(name)
	t.IsCA, t.BasicConstraintsValid, t.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("making an authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{cert, key, encode("CERTIFICATE", der)}, err
}

func (a *authority) issue(ip net.IP) (cert, key string, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	t := template("PostgreSQL of the tests")
	t.IPAddresses, t.ExtKeyUsage = []net.IP{ip}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, &k.PublicKey, a.key)
	if err != nil {
		return "", "", fmt.Errorf("making a certificate: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", private), err
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
