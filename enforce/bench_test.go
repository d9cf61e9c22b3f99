package enforce

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"io"
	"log/slog"
	"testing"
	"time"

	"dmarcgate/auth"
	"dmarcgate/auth/dmarc"
	"dmarcgate/dnscache"
	"dmarcgate/internal/dnstest"
	"dmarcgate/milter"
	"dmarcgate/policy"
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
			r.checker.CacheOnly = func() auth.CacheOnly {
				return auth.CacheOnly{SPF: zone, DKIM: zone, DMARC: zone, Complete: func() bool { return true }}
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

// BenchmarkVerdict is discovery, evaluation and decision of a message whose SPF
// domain is aligned, from the DNS cache, beside one verification of RSA-2048
// over a short text: at most half of it, and 30 allocations.
func BenchmarkVerdict(b *testing.B) {
	server := dnstest.New(b, "_dmarc.shop.example. 3600 TXT \"v=DMARC1; p=reject; sp=quarantine; adkim=r; aspf=r; rua=mailto:dmarc@shop.example,mailto:reports@service.example!10m; fo=1; pct=100\"\n!any\n!negttl 3600\n")
	dns, err := dnscache.New(dnscache.Config{Servers: []string{server.Addr()}}, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer dns.Close()
	verdictOf(b, dns.View(dnscache.DMARC), false) // fills the cache
	b.Run("work=verdict", func(b *testing.B) {
		view, complete := dns.View(dnscache.DMARC).Remembered()
		b.ReportAllocs()
		for b.Loop() {
			if verdictOf(b, view, true); !complete() {
				b.Fatal("the cache does not know everything")
			}
		}
	})
	b.Run("work=RSA-2048", func(b *testing.B) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			b.Fatal(err)
		}
		digest := sha256.Sum256([]byte("x"))
		sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			digest := sha256.Sum256([]byte("x"))
			if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], sig); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func verdictOf(b *testing.B, dns dmarc.Resolver, immediate bool) {
	f := dmarc.Finder{Resolver: dns, Immediate: immediate, Walks: &dmarc.Walks{}}
	d := f.Find(context.Background(), "shop.example")
	id := f.Identify(context.Background(), dmarc.Identifier{Mechanism: dmarc.SPF, Domain: "bounce.shop.example", Passed: true}, d)
	v := dmarc.Evaluate(d, []dmarc.Identifier{id})
	facts := policy.Facts{Time: time.Unix(1, 0), FromField: policy.FromOneMailbox, Authors: []policy.Author{{
		Domain: "shop.example", Org: d.Org, PolicyDomain: d.PolicyDomain, Verdict: v,
	}}}
	set := policy.Settings{Profile: policy.Conformant, EnforceShare: 100, Quarantine: policy.Tag}
	if got := set.Decide(facts); v.Status != dmarc.Pass || got.Action != policy.Accept {
		b.Fatalf("%+v, %+v", v, got)
	}
}
