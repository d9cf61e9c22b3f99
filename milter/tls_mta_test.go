//go:build mta

package milter

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/mtatest"
)

func TestEnvelopeTLSWithPostfix(t *testing.T) {
	rec := &recorder{}
	g := newGate(rec, Limits{})
	g.openTCP(t)
	p := mtatest.StartPostfix(t, mtatest.PostfixConfig{
		Milter:   "inet:" + strings.TrimPrefix(g.address, "tcp:"),
		MainCF:   "smtpd_tls_security_level = may\nsmtpd_tls_chain_files = " + keyAndCertificate(t),
		MasterCF: "tlsmgr unix - - n 1000? 1 tlsmgr",
	})
	message := []string{"MAIL FROM:<a@b.example>", "RCPT TO:<c@receiver.example>", "DATA", "Subject: x\r\n\r\nx\r\n."}
	for i, tt := range []struct {
		name  string
		first []string
		want  string
	}{
		{"no STARTTLS", []string{"EHLO x"}, ""},
		{"HELO again after STARTTLS", []string{"EHLO x", "STARTTLS", "EHLO x"}, "TLSv1.3"},
		{"no HELO after STARTTLS", []string{"EHLO x", "STARTTLS"}, "TLSv1.3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			talk(t, p.Addr(), append(tt.first, message...))
			if got := rec.message(t, i).env.TLS; got != tt.want {
				t.Errorf("TLS = %q; want %q\n%s", got, tt.want, p.Log())
			}
		})
	}
}

// talk sends commands, each of which must succeed. After STARTTLS it goes on
// encrypted.
func talk(t *testing.T, addr string, commands []string) {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	must(t, err)
	defer func() { _ = nc.Close() }()
	must(t, nc.SetDeadline(time.Now().Add(30*time.Second)))
	c := textproto.NewConn(nc)
	for _, command := range append([]string{""}, commands...) { // the server speaks first
		if command != "" {
			must(t, c.PrintfLine("%s", command))
		}
		if code, text, err := c.ReadResponse(0); err != nil || code >= 400 {
			t.Fatalf("answer to %q = %d %s, %v", command, code, text, err)
		}
		if command == "STARTTLS" {
			c = textproto.NewConn(tls.Client(nc, &tls.Config{InsecureSkipVerify: true}))
		}
	}
}

// keyAndCertificate returns a file with both, for a server that nobody checks.
func keyAndCertificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	must(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	path := filepath.Join(t.TempDir(), "chain.pem")
	must(t, os.WriteFile(path, text, 0o600))
	return path
}
