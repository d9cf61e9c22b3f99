//go:build mta

package deliver

import (
	"bytes"
	"context"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/mtatest"
)

func TestSendToARealPostfix(t *testing.T) {
	host := mtatest.StartSmarthost(t)
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
		{name: "STARTTLS with its certificate", addr: host.Open, want: []string{`sent end 250 2.0.0 "Ok: queued as" tls`}},
		{name: "unknown certificate", addr: host.Open, change: func(c *Config) { c.Roots = x509.NewCertPool() },
			want: []string{`our_fault starttls 0 - "certificate"`}, step: Step{Again: true, Pause: true}},
		{name: "unknown certificate in mode encrypt", addr: host.Open, change: func(c *Config) { c.Roots, c.TLS = nil, Encrypt }, want: []string{`sent end 250 2.0.0 "Ok" tls`}},
		{name: "STARTTLS not offered", addr: host.Small, want: []string{`our_fault starttls 0 - "no STARTTLS"`}, step: Step{Again: true, Pause: true}},
		{name: "STARTTLS not offered in mode may", addr: host.Small, change: func(c *Config) { c.TLS = May }, want: []string{`sent end 250 2.0.0 "Ok"`}},
		{name: "password", addr: host.Submission, change: func(c *Config) { c.User, c.Password = "alice", "secret" }, to: "rua@bank.example", want: []string{`sent end 250 2.0.0 "Ok" tls`}},
		{name: "no password", addr: host.Submission, to: "rua@bank.example", want: []string{`refused rcpt 554 5.7.1 "Access denied"`}, step: Step{Strike: true}},
		{name: "AUTH not offered", addr: host.Open, change: func(c *Config) { c.User, c.Password = "alice", "secret" },
			want: []string{`our_fault auth 0 - "no AUTH"`}, step: Step{Again: true, Pause: true}},
		{name: "552 for the size", addr: host.Small, change: func(c *Config) { c.TLS = None }, text: long, want: []string{`refused mail 552 5.3.4 "Message size exceeds fixed limit" too large`}},
		{name: "greylisting", addr: host.Open, to: "grey@receiver.example",
			want: []string{`retry rcpt 450 4.7.1 "greylisted"`, `sent end 250 2.0.0 "Ok" tls`}},
		{name: "550 user", addr: host.Open, to: "nobody@receiver.example", want: []string{`refused rcpt 550 5.1.1 "no such user"`}, step: Step{Strike: true}},
		{name: "421 close", addr: host.Open, to: "close@receiver.example", want: []string{`retry rcpt 421 4.3.2 "closing"`, `retry rcpt 421 4.3.2 "closing"`}, step: Step{Again: true}},
		{name: "554 sender", addr: host.Open, from: "evil@reports.example", want: []string{`refused rcpt 554 5.7.1 "not you"`}, step: Step{Strike: true}},
		{name: "550 domain of the sender", addr: host.Open, from: "unknown@reports.example", want: []string{`our_fault rcpt 550 5.1.8 "no such domain"`}, step: Step{Again: true, Pause: true}},
		{name: "554 text", addr: host.Open, to: "spam@receiver.example", want: []string{`refused end 554 5.7.1 "looks like spam"`}, step: Step{Strike: true}},
		{name: "hang after the text", addr: host.Open, change: func(c *Config) { c.MaxWait = 2 * time.Second }, to: "hang@receiver.example", want: []string{`retry end 0 - "timeout" uncertain`}, step: Step{Again: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := Config{Smarthost: tt.addr, Hello: "us.example", Roots: host.Roots}
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
