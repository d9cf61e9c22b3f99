//go:build mta

package sending

import (
	"context"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/childtest"
	"dmarcgate/internal/mtatest"
	"dmarcgate/report/deliver"
	"dmarcgate/report/queue"
)

// mailState is the state of the only delivery of a site, with its why, and what the site
// holds against itself and the recipient.
func mailState(s *site) string {
	s.t.Helper()
	r := s.reports(queue.Filter{PolicyDomain: "bank.example", First: day(2, 0), Last: day(2, 0)})
	if len(r) != 1 || len(r[0].Deliveries) != 1 {
		s.t.Fatalf("reports = %+v; want one with one delivery", r)
	}
	words := []string{string(r[0].Deliveries[0].State), r[0].Deliveries[0].Why}
	q, err := s.open(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	defer q.Close()
	list, err := q.Suppressing(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, x := range list {
		words = append(words, "strike against "+x.What)
	}
	if s.counts.paused {
		words = append(words, "paused")
	}
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}

// Each fault of a real Postfix ends in the state that docs/report-mail.md has: at first,
// and after three days.
func TestSmarthost(t *testing.T) {
	host := mtatest.StartSmarthost(t)
	for _, tt := range []struct {
		name        string
		user        string // the local part decides what Postfix does
		cfg         deliver.Config
		fix         func(*deliver.Config) // after the first turn; a pause is ended, too
		first, last string
		mails       int
	}{
		{name: "STARTTLS", user: "tls", cfg: deliver.Config{Smarthost: host.Open}, first: "sent", last: "sent", mails: 1},
		{name: "a password", user: "auth", cfg: deliver.Config{Smarthost: host.Submission, User: "alice", Password: "secret"}, first: "sent", last: "sent", mails: 1},
		{name: "greylisting, then 250", user: "grey", cfg: deliver.Config{Smarthost: host.Open}, first: "due 4xx", last: "sent", mails: 1},
		{name: "no reply to the text, then 250", user: "slow", cfg: deliver.Config{Smarthost: host.Open, MaxWait: 2 * time.Second}, first: "due conn", last: "sent", mails: 1},
		{name: "421", user: "close", cfg: deliver.Config{Smarthost: host.Open}, first: "due 4xx", last: "expired 4xx"},
		{name: "550 to the recipient", user: "nobody", cfg: deliver.Config{Smarthost: host.Open},
			first: "refused 5xx strike against nobody@bank.example", last: "refused 5xx strike against nobody@bank.example"},
		{name: "554 to the text", user: "spam", cfg: deliver.Config{Smarthost: host.Open},
			first: "refused 5xx strike against spam@bank.example", last: "refused 5xx strike against spam@bank.example"},
		{name: "552 for the size", user: "size", cfg: deliver.Config{Smarthost: host.Small, TLS: deliver.None}, first: "refused 5xx", last: "refused 5xx"},
		{name: "a certificate of an unknown authority", user: "cert", cfg: deliver.Config{Smarthost: host.Open, Roots: x509.NewCertPool()},
			fix: func(c *deliver.Config) { c.Roots = host.Roots }, first: "due tls paused", last: "sent", mails: 1},
		{name: "no STARTTLS", user: "plain", cfg: deliver.Config{Smarthost: host.Small},
			fix: func(c *deliver.Config) { c.Smarthost = host.Open }, first: "due tls paused", last: "sent", mails: 1},
		{name: "no AUTH", user: "noauth", cfg: deliver.Config{Smarthost: host.Open, User: "alice", Password: "secret"},
			fix: func(c *deliver.Config) { c.Smarthost = host.Submission }, first: "due conn paused", last: "sent", mails: 1},
		{name: "no server at the address", user: "away", cfg: deliver.Config{Smarthost: "127.0.0.1:1"},
			fix: func(c *deliver.Config) { c.Smarthost = host.Open }, first: "due conn", last: "sent", mails: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := ready(t, "bank.example")
			s.wants("bank.example", tt.user+"@bank.example")
			cfg := tt.cfg
			cfg.Hello = "us.example"
			if cfg.Roots == nil {
				cfg.Roots = host.Roots
			}
			s.set.Open = func() (Sender, error) { return deliver.New(cfg) }
			h := s.host("a")
			s.until(h, s.now.Add(time.Second), time.Minute)
			if got := mailState(s); got != tt.first {
				t.Errorf("after the first attempt the mail is %q; want %q", got, tt.first)
			}
			if tt.fix != nil {
				h.Close() // the session of the sender, too
				tt.fix(&cfg)
				if s.counts.paused {
					resume(s)
				}
			}
			s.until(h, day(6, 3), 3*time.Hour)
			if got := mailState(s); got != tt.last {
				t.Errorf("after three days the mail is %q; want %q", got, tt.last)
			}
			wantMails(t, host.Postfix, tt.user+"@bank.example", tt.mails)
		})
	}
}

// resume ends a pause.
func resume(s *site) {
	s.t.Helper()
	q, err := s.open(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	defer q.Close()
	if err := queue.Resume(s.t.Context(), q); err != nil {
		s.t.Fatal(err)
	}
}

// wantMails checks the report mails that an address has when Postfix has delivered all.
func wantMails(t *testing.T, postfix *mtatest.Postfix, to string, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := childtest.Poll(ctx, func() bool {
		waiting, err := postfix.Queue()
		return err == nil && len(waiting) == 0
	}); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, m := range postfix.Mails() {
		if m.Rcpts[0] == to {
			readMail(t, to, m.Data)
			n++
		}
	}
	if n != want {
		t.Errorf("%d mails to %s; want %d", n, to, want)
	}
}
