//go:build mta

package milter

import (
	"net"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/mtatest"
)

// With smtpd_proxy_filter, the smtpd that has smtpd_milters shows them the
// envelope and DATA, and then nothing: the content goes to the filter.
func TestUnseenWithProxyFilterOfPostfix(t *testing.T) {
	g, unseen := newUnseenGate(t)
	inner := freeAddr(t)
	p := mtatest.StartPostfix(t, mtatest.PostfixConfig{
		Milter:   "inet:" + strings.TrimPrefix(g.address, "tcp:"),
		MainCF:   "smtpd_proxy_filter = " + inner,
		MasterCF: inner + " inet n - n - 100 smtpd -o smtpd_proxy_filter= -o smtpd_milters=",
	})
	for range 3 {
		r, err := p.Send(mtatest.Client{Addr: "192.0.2.1"}, proxyMail())
		if err != nil || r.Code != 250 {
			t.Fatalf("answer = %v, %v; want 250\n%s", r, err, p.Log())
		}
		wantUnseen(t, unseen, p)
	}
	g.wantCount(t, 3, "milter_transactions_without_header_total", "data")
	g.wantCount(t, 0, "milter_transactions_without_header_total", "header")
	if n := g.count(t, "milter_messages_in_flight"); n != 0 {
		t.Errorf("messages in flight = %v; want 0", n)
	}
}

// What ends without a header in a Postfix that shows its mail.
func TestUnseenWithPostfix(t *testing.T) {
	g, unseen := newUnseenGate(t)
	p := mtatest.StartPostfix(t, mtatest.PostfixConfig{
		Milter: "inet:" + strings.TrimPrefix(g.address, "tcp:"),
		MainCF: "message_size_limit = 20000",
	})
	const name = "milter_transactions_without_header_total"
	session := func(commands ...string) *mtatest.Session {
		t.Helper()
		s, err := p.Session(mtatest.Client{Addr: "192.0.2.1"})
		must(t, err)
		for _, c := range commands {
			_, err := s.Command(c)
			must(t, err)
		}
		return s
	}
	big := proxyMail()
	big.Data = append(big.Data, strings.Repeat("0123456789abcde\r\n", 2000)...)
	seen := map[string]float64{}
	for _, tt := range []struct {
		name  string
		run   func()
		after string // "" is none
	}{
		{"delivered", func() { _, err := p.Send(mtatest.Client{Addr: "192.0.2.1"}, proxyMail()); must(t, err) }, ""},
		{"recipient refused", func() { session("MAIL FROM:<a@b.example>", "RCPT TO:<c@elsewhere.example>", "QUIT") }, "envelope"},
		{"callout", func() { session("MAIL FROM:<>", "RCPT TO:<c@receiver.example>", "QUIT") }, "envelope"},
		{"RSET", func() { session("MAIL FROM:<>", "RCPT TO:<c@receiver.example>", "RSET", "QUIT") }, "envelope"},
		{"client leaves in the content", func() {
			s := session("MAIL FROM:<a@b.example>", "RCPT TO:<c@receiver.example>", "DATA")
			_, err := s.Write([]byte("From: a@b.example\r\n"))
			must(t, err)
			must(t, s.Close())
		}, "data"},
		{"too large", func() { _, err := p.Send(mtatest.Client{Addr: "192.0.2.1"}, big); must(t, err) }, "data"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.run()
			if tt.after == "data" {
				wantUnseen(t, unseen, p)
			}
			if tt.after != "" {
				seen[tt.after]++
			}
			g.wantCount(t, 0, "milter_sessions_active")
			for _, after := range []string{"envelope", "data", "header"} {
				if got := g.count(t, name, after); got != seen[after] {
					t.Errorf("%s{after=%q} = %v; want %v\n%s", name, after, got, seen[after], p.Log())
				}
			}
		})
	}
}

func newUnseenGate(t *testing.T) (*gate, chan struct{}) {
	t.Helper()
	g := newGate(&recorder{}, Limits{})
	unseen := make(chan struct{}, 8)
	g.Unseen = func() { unseen <- struct{}{} }
	g.openTCP(t)
	return g, unseen
}

func wantUnseen(t *testing.T, unseen chan struct{}, p *mtatest.Postfix) {
	t.Helper()
	select {
	case <-unseen:
	case <-time.After(10 * time.Second):
		t.Fatalf("Unseen was not called\n%s", p.Log())
	}
}

func proxyMail() mtatest.Mail {
	return mtatest.Mail{From: "a@b.example", Rcpts: []string{"c@receiver.example"}, Data: []byte("From: a@b.example\r\n\r\nx\r\n")}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { must(t, ln.Close()) }()
	return ln.Addr().String()
}
