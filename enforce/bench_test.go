package enforce

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"dmarcgate/auth"
	"dmarcgate/internal/dnstest"
	"dmarcgate/milter"
	"dmarcgate/results"
)

// ordinary is the header of a message as it comes from a person.
var ordinary = []string{
	"Received: from out.bank.example (out.bank.example [192.0.2.1])\r\n\tby mx.receiver.example (Postfix) with ESMTPS id 4XyZ1", "Message-ID: <1@bank.example>",
	"Date: Sat, 21 Nov 2026 10:00:00 +0000", "MIME-Version: 1.0", "User-Agent: a mail reader", "Subject: hello", "Content-Language: en",
	"From: A <a@bank.example>", "To: B <b@receiver.example>", "Content-Type: text/plain; charset=UTF-8", "Content-Transfer-Encoding: 8bit",
}

// nobody keeps no row.
type nobody struct{}

func (nobody) Add(results.Row) *results.Receipt { return &results.Receipt{Outcome: results.Written} }
func (nobody) MarkUnanswered(*results.Receipt)  {}

// BenchmarkMessage is the path from header to answer, with all of the DNS at
// hand.
func BenchmarkMessage(b *testing.B) {
	for _, bb := range []struct {
		name string
		env  milter.Envelope
	}{
		{"pass", milter.Envelope{Client: good, MailFrom: "a@bank.example", QueueID: "4XyZ1"}},
		{"fail", milter.Envelope{Client: evil, MailFrom: "a@bank.example", QueueID: "4XyZ1"}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			r := newRig(b, bankZone+"!any\n")
			zone := dnstest.NewZone(b, bankZone+"!any\n")
			r.checker.Memory = func() auth.Memory {
				return auth.Memory{SPF: zone, DKIM: zone, DMARC: zone, Complete: func() bool { return true }}
			}
			r.use()
			r.gate.Store, r.gate.Log = nobody{}, slog.New(slog.NewTextHandler(io.Discard, nil))
			r.gate.Coverage = NewCoverage("mta", r.gate.Metrics, r.gate.Log)
			header := make([][]byte, len(ordinary))
			for i, f := range ordinary {
				header[i] = []byte(f + "\r\n")
			}
			b.ReportAllocs()
			for b.Loop() {
				env := bb.env
				r.gate.Start(context.Background(), &env, header).Finish()
			}
		})
	}
}
