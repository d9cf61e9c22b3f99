//go:build mta

package message

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net/netip"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/mtatest"
	"dmarcgate/internal/receivedtest"
)

const mtaName = "mx.receiver.example"

// hostileWords are the words of receivedtest, some of them joined or long.
func hostileWords() []string {
	m := receivedtest.Maker{Rand: mathrand.New(mathrand.NewPCG(8, 28))}
	words := append([]string{strings.Repeat("x", 983) + "by.evil.example", strings.Repeat("y", 1500)}, receivedtest.Words...)
	for range 20 {
		words = append(words, m.Word())
	}
	return words
}

// selfSigned makes a certificate with a name, for a server or a client.
func selfSigned(t *testing.T, name string) (cert tls.Certificate, pemText []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pemText = append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pemText
}

// quotedRcpt is a recipient with this local part.
func quotedRcpt(local string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"@receiver.example`
}

// sayAll sends a message in which HELO, certificate and recipient are this word.
func sayAll(t *testing.T, addr, word, subject string) error {
	t.Helper()
	cert, _ := selfSigned(t, strings.ToValidUTF8(word, "?"))
	c, err := smtp.Dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Hello(word); err != nil {
		return err
	}
	if err := c.StartTLS(&tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{cert}}); err != nil {
		return err
	}
	if err := c.Mail("a@sender.example"); err != nil {
		return err
	}
	if err := c.Rcpt(quotedRcpt(word)); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Subject: %s\r\nReceived: from evil (evil [198.51.100.9]) by %s (Postfix) with ESMTPSA id 1; date\r\n\r\nbody\r\n", subject, mtaName)
	return w.Close()
}

// checkTop checks what is read of the field that the server put on top.
func checkTop(t *testing.T, m mtatest.Mail, word string, client netip.Addr) {
	t.Helper()
	raw := []byte("Received:" + m.Fields("Received")[0] + "\r\n")
	got, ok := ParseReceived(NewField(raw))
	if !ok || got.Client != client || got.By != mtaName || got.Authenticated || got.Helo == "" {
		t.Errorf("HELO %q:\n%s= %+v, %v; want client %v by %s", word, raw, got, ok, client, mtaName)
	}
}

func TestParseReceivedReadsAPostfixWhateverItsClientsSay(t *testing.T) {
	dir := mtatest.Dir(t)
	_, pemText := selfSigned(t, mtaName)
	file := filepath.Join(dir, "server.pem")
	if err := os.WriteFile(file, pemText, 0o600); err != nil {
		t.Fatal(err)
	}
	p := mtatest.StartPostfix(t, mtatest.PostfixConfig{MasterCF: "tlsmgr unix - - n 1000? 1 tlsmgr\n", MainCF: "smtpd_tls_chain_files = " + file +
		"\nsmtpd_tls_security_level = may\nsmtpd_tls_received_header = yes\nsmtpd_tls_ask_ccert = yes\nsmtp_line_length_limit = 998\nmaximal_idle = 5\n"})
	sent := 0
	for i, word := range hostileWords() {
		subject := fmt.Sprintf("word-%d", i)
		if err := sayAll(t, p.Addr(), word, subject); err != nil {
			t.Logf("not accepted: %q: %v", word, err)
			continue
		}
		sent++
		m := delivered(t, p.Delivered, subject)
		checkTop(t, m, word, netip.MustParseAddr("127.0.0.1"))
		if field := m.Fields("Received")[0]; !strings.Contains(field, `(Client CN "`) {
			t.Errorf("no certificate in %q", field)
		}
	}
	if all := len(hostileWords()); sent < all*3/4 {
		t.Errorf("Postfix took %d of %d words", sent, all)
	}
}

func TestParseReceivedReadsASendmailWhateverItsClientsSay(t *testing.T) {
	s := mtatest.StartSendmail(t, mtatest.SendmailConfig{})
	for i, word := range hostileWords() {
		subject := fmt.Sprintf("word-%d", i)
		client := mtatest.Client{Addr: "192.0.2.1", Name: []string{"", "mx.shop.example"}[i%2], Helo: word}
		mail := mtatest.Mail{From: "a@sender.example", Rcpts: []string{quotedRcpt(word)}, Data: []byte("Subject: " + subject + "\r\n\r\nbody\r\n")}
		r, err := s.Send(client, mail)
		if err == nil && !r.OK() { // HELO alone
			mail.Rcpts = []string{"b@receiver.example"}
			r, err = s.Send(client, mail)
		}
		if err != nil || !r.OK() {
			t.Logf("not accepted: %q: %v %v", word, r, err)
			continue
		}
		checkTop(t, delivered(t, s.Delivered, subject), word, netip.MustParseAddr("192.0.2.1"))
	}
}

// delivered waits for the message with a subject.
func delivered(t *testing.T, wait func(context.Context, func(mtatest.Mail) bool) (mtatest.Mail, error), subject string) mtatest.Mail {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	m, err := wait(ctx, func(m mtatest.Mail) bool {
		f := m.Fields("Subject")
		return len(f) == 1 && strings.TrimSpace(f[0]) == subject
	})
	if err != nil {
		t.Fatalf("waiting for %s: %v", subject, err)
	}
	return m
}
