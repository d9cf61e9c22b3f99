//go:build mta

package deliver

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dmarcgate/internal/childtest"
	"dmarcgate/internal/mtatest"
)

// policy is a policy service of Postfix (SMTPD_POLICY_README). It answers by
// recipient: "grey" is put off at first, "hang" is never answered.
type policy struct {
	addr string
	mu   sync.Mutex
	seen map[string]bool
}

func startPolicy(t *testing.T) *policy {
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
	case end && local == "spam":
		return "554 5.7.1 looks like spam"
	case !end && local == "grey" && !p.seen[local]:
		p.seen[local] = true
		return "450 4.7.1 greylisted"
	}
	return "DUNNO"
}

// smarthost is a private Postfix with a port for each kind of client.
type smarthost struct {
	*mtatest.Postfix
	open, submission, small string // addresses: plain with STARTTLS, with AUTH, and of mails up to 2,000 bytes
	roots                   *x509.CertPool
}

func startSmarthost(t *testing.T) *smarthost {
	t.Helper()
	dir := mtatest.Dir(t)
	cert, roots := certificate(t, "127.0.0.1")
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
	for _, o := range mtatest.StartSASL(t) {
		auth += " -o " + o
	}
	return &smarthost{
		Postfix: mtatest.StartPostfix(t, mtatest.PostfixConfig{
			MainCF: "smtpd_recipient_restrictions = check_recipient_access inline:{{nobody@receiver.example=550 5.1.1 no such user} {close@receiver.example=421 4.3.2 closing}}," +
				" check_policy_service inet:" + policy.addr + ", reject_unauth_destination\n" +
				"smtpd_sender_restrictions = check_sender_access inline:{{evil@reports.example=554 5.7.1 not you} {unknown@reports.example=550 5.1.8 no such domain}}\n" +
				"smtpd_end_of_data_restrictions = check_policy_service inet:" + policy.addr + "\n" +
				"smtpd_policy_service_timeout = 300s\n",
			MasterCF: "tlsmgr unix - - n 1000? 1 tlsmgr\n" +
				ports[0] + " inet n - n - 10 smtpd" + tls + "\n" +
				ports[1] + " inet n - n - 10 smtpd" + tls + auth + " -o smtpd_tls_auth_only=yes -o smtpd_relay_restrictions=permit_sasl_authenticated,reject -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject\n" +
				ports[2] + " inet n - n - 10 smtpd -o message_size_limit=2000\n",
		}),
		open: ports[0], submission: ports[1], small: ports[2], roots: roots,
	}
}

func TestSendToARealPostfix(t *testing.T) {
	host := startSmarthost(t)
	long := "Subject: long\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 50)
	for _, tt := range []struct {
		name   string
		addr   string
		change func(c *Config)
		from   string
		to     string
		text   string
		want   []string // of one attempt after the other
		step   Step     // after the last; the time is not compared
	}{
		{name: "STARTTLS with its certificate", addr: host.open, want: []string{`sent end 250 2.0.0 "Ok: queued as" tls`}},
		{name: "unknown certificate", addr: host.open, change: func(c *Config) { c.Roots = x509.NewCertPool() },
			want: []string{`our_fault starttls 0 - "certificate"`}, step: Step{Again: true, Pause: true}},
		{name: "unknown certificate in mode encrypt", addr: host.open, change: func(c *Config) { c.Roots, c.TLS = nil, Encrypt }, want: []string{`sent end 250 2.0.0 "Ok" tls`}},
		{name: "STARTTLS not offered", addr: host.small, want: []string{`our_fault starttls 0 - "no STARTTLS"`}, step: Step{Again: true, Pause: true}},
		{name: "STARTTLS not offered in mode may", addr: host.small, change: func(c *Config) { c.TLS = May }, want: []string{`sent end 250 2.0.0 "Ok"`}},
		{name: "password", addr: host.submission, change: func(c *Config) { c.User, c.Password = "alice", "secret" }, to: "rua@bank.example", want: []string{`sent end 250 2.0.0 "Ok" tls`}},
		{name: "no password", addr: host.submission, to: "rua@bank.example", want: []string{`refused rcpt 554 5.7.1 "Access denied"`}, step: Step{Strike: true}},
		{name: "AUTH not offered", addr: host.open, change: func(c *Config) { c.User, c.Password = "alice", "secret" },
			want: []string{`our_fault auth 0 - "no AUTH"`}, step: Step{Again: true, Pause: true}},
		{name: "552 for the size", addr: host.small, change: func(c *Config) { c.TLS = None }, text: long, want: []string{`refused mail 552 5.3.4 "Message size exceeds fixed limit" too large`}},
		{name: "greylisting", addr: host.open, to: "grey@receiver.example",
			want: []string{`retry rcpt 450 4.7.1 "greylisted"`, `sent end 250 2.0.0 "Ok" tls`}},
		{name: "550 user", addr: host.open, to: "nobody@receiver.example", want: []string{`refused rcpt 550 5.1.1 "no such user"`}, step: Step{Strike: true}},
		{name: "421 close", addr: host.open, to: "close@receiver.example", want: []string{`retry rcpt 421 4.3.2 "closing"`, `retry rcpt 421 4.3.2 "closing"`}, step: Step{Again: true}},
		{name: "554 sender", addr: host.open, from: "evil@reports.example", want: []string{`refused rcpt 554 5.7.1 "not you"`}, step: Step{Strike: true}},
		{name: "550 domain of the sender", addr: host.open, from: "unknown@reports.example", want: []string{`our_fault rcpt 550 5.1.8 "no such domain"`}, step: Step{Again: true, Pause: true}},
		{name: "554 text", addr: host.open, to: "spam@receiver.example", want: []string{`refused end 554 5.7.1 "looks like spam"`}, step: Step{Strike: true}},
		{name: "hang after the text", addr: host.open, change: func(c *Config) { c.MaxWait = 2 * time.Second }, to: "hang@receiver.example", want: []string{`retry end 0 - "timeout" uncertain`}, step: Step{Again: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := Config{Smarthost: tt.addr, Hello: "us.example", Roots: host.roots}
			if tt.change != nil {
				tt.change(&cfg)
			}
			from, to, text := tt.from, tt.to, tt.text
			if from == "" {
				from = "b+token@reports.example"
			}
			if to == "" {
				to = "rua@receiver.example"
			}
			if text == "" {
				text = "Subject: " + tt.name + "\r\n" + sample
			}
			s, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			now := time.Now()
			var step Step
			for i, want := range tt.want {
				o := s.Send(t.Context(), from, to, []byte(text))
				if got := show(o); !like(got, want) {
					t.Errorf("attempt %d: %s; want %s", i+1, got, want)
				}
				if o.Class == Sent && o.QueueID() == "" {
					t.Errorf("no queue id in %q", o.Text)
				}
				step = Next(o, History{i + 1, now}, now, 0.5)
			}
			at := step.At
			if step.At = (time.Time{}); step != tt.step || step.Again == at.IsZero() {
				t.Errorf("Next() = %+v at %v; want %+v", step, at, tt.step)
			}
			if !strings.HasPrefix(tt.want[len(tt.want)-1], "sent") {
				return
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := host.Delivered(ctx, func(m mtatest.Mail) bool {
				return m.From == from && len(m.Rcpts) == 1 && m.Rcpts[0] == to && bytes.HasSuffix(m.Data, []byte(text))
			}); err != nil {
				t.Errorf("the mail did not arrive as it was sent: %v", err)
			}
		})
	}
}
