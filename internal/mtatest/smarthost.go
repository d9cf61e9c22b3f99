package mtatest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dmarcgate/internal/childtest"
)

// Smarthost is a private Postfix with a port for each kind of client. It takes mail for
// receiver.example and bank.example, and answers by local part and by sender:
//
//	nobody@  550 to RCPT
//	close@   421 to RCPT
//	grey@    450 to RCPT, the first time
//	spam@    554 to the text
//	hang@    no answer to the text
//	slow@    no answer to the text, the first time
//	evil@reports.example     554 to RCPT, about the sender
//	unknown@reports.example  550 5.1.8 to RCPT, about the sender
type Smarthost struct {
	*Postfix
	Open       string         // address with STARTTLS
	Submission string         // address with STARTTLS and AUTH, which it asks for
	Small      string         // address of mails up to 2,000 bytes, without TLS
	Roots      *x509.CertPool // that vouch for its certificate
}

// policy is a policy service of Postfix (SMTPD_POLICY_README).
type policy struct {
	addr string
	mu   sync.Mutex
	seen map[string]bool
}

func startPolicy(t testing.TB) *policy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &policy{addr: l.Addr().String(), seen: map[string]bool{}}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p
}

func (p *policy) serve(c net.Conn) {
	defer c.Close()
	asked := map[string]string{}
	for in := bufio.NewScanner(c); in.Scan(); {
		if name, value, ok := strings.Cut(in.Text(), "="); ok {
			asked[name] = value
			continue
		}
		answer := p.answer(asked)
		if answer != "" {
			fmt.Fprintf(c, "action=%s\n\n", answer)
		}
		asked = map[string]string{}
	}
}

func (p *policy) answer(asked map[string]string) string {
	local, _, _ := strings.Cut(asked["recipient"], "@")
	p.mu.Lock()
	defer p.mu.Unlock()
	switch end := asked["protocol_state"] == "END-OF-MESSAGE"; {
	case end && local == "hang":
		return ""
	case end && local == "slow" && !p.seen[local]:
		p.seen[local] = true
		return ""
	case end && local == "spam":
		return "554 5.7.1 looks like spam"
	case !end && local == "grey" && !p.seen[local]:
		p.seen[local] = true
		return "450 4.7.1 greylisted"
	}
	return "DUNNO"
}

// StartSmarthost starts a smarthost.
func StartSmarthost(t testing.TB) *Smarthost {
	t.Helper()
	dir := Dir(t)
	cert, roots := Certificate(t, "127.0.0.1")
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	chain := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})...)
	file := filepath.Join(dir, "chain.pem")
	if err := os.WriteFile(file, chain, 0o644); err != nil {
		t.Fatal(err)
	}
	policy := startPolicy(t)
	var ports []string
	for range 3 {
		port, err := childtest.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, fmt.Sprintf("127.0.0.1:%d", port))
	}
	tls := " -o smtpd_tls_security_level=may -o smtpd_tls_chain_files=" + file
	auth := ""
	for _, o := range StartSASL(t) {
		auth += " -o " + o
	}
	return &Smarthost{
		Postfix: StartPostfix(t, PostfixConfig{
			MainCF: "relay_domains = bank.example\nsmtpd_recipient_restrictions = check_recipient_access inline:{{nobody@=550 5.1.1 no such user} {close@=421 4.3.2 closing}}," +
				" check_policy_service inet:" + policy.addr + ", reject_unauth_destination\n" +
				"smtpd_sender_restrictions = check_sender_access inline:{{evil@reports.example=554 5.7.1 not you} {unknown@reports.example=550 5.1.8 no such domain}}\n" +
				"smtpd_end_of_data_restrictions = check_policy_service inet:" + policy.addr + "\n" +
				"smtpd_policy_service_timeout = 300s\n",
			MasterCF: "tlsmgr unix - - n 1000? 1 tlsmgr\n" +
				ports[0] + " inet n - n - 10 smtpd" + tls + "\n" +
				ports[1] + " inet n - n - 10 smtpd" + tls + auth + " -o smtpd_tls_auth_only=yes -o smtpd_relay_restrictions=permit_sasl_authenticated,reject -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject\n" +
				ports[2] + " inet n - n - 10 smtpd -o message_size_limit=2000\n",
		}),
		Open: ports[0], Submission: ports[1], Small: ports[2], Roots: roots,
	}
}

// Certificate makes an authority and a certificate of it for a name or address.
func Certificate(t testing.TB, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IsCA:         true, BasicConstraintsValid: true,
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}
