package results

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
)

// mixRow is the row of a message of the fixed mix (internal/bench): everything
// passes, one domain in three is a subdomain, one message in ten has two
// signatures. The queue id is one of Postfix's short ones: microseconds, which
// come in no order, and an inode.
func mixRow(i int) Row {
	org := fmt.Sprintf("d%04d.example", i%2000)
	author := org
	if i%3 == 0 {
		author = "mail." + org
	}
	bounce := author
	spf := policy.SPF{Result: "pass", Term: fmt.Sprintf("ip4:198.18.%d.%d", i%2000>>8, i%256), Reason: "matched ip4"}
	if i%2 == 0 {
		bounce, spf.Term, spf.Reason = "bounce."+org, "include:_spf.esp.example", "matched include"
	}
	spf.Domain = bounce
	sig := policy.DKIM{
		Result: "pass", Domain: org, Selector: "r1", Algorithm: "rsa-sha256", B: fmt.Sprintf("%08x", uint32(i)*2654435761),
		Canon: "relaxed/relaxed", KeyBits: 2048, Reason: "signature verified", HeaderOK: true, SignedAt: today,
	}
	sigs := []policy.DKIM{sig}
	if i%10 == 0 {
		sig.Domain, sig.B = "esp.example", "Zz"+sig.B[2:]
		sigs = append(sigs, sig)
	}
	reason := fmt.Sprintf("aligned SPF pass for %s, DKIM pass for %s", bounce, org)
	return Row{
		Facts: policy.Facts{
			Time: today.Add(time.Duration(i) * 777 * time.Microsecond), Listener: "bench",
			QueueID: fmt.Sprintf("%05X%06X", uint32(i)*2654435761%1000000, i%512+0x3a0000),
			Client:  netip.AddrFrom4([4]byte{198, 18, byte(i % 2000 >> 8), byte(i)}), Helo: "mx." + org, MailFrom: bounce,
			Recipients: []string{"receiver.example"}, From: policy.FromOneMailbox,
			SPF: spf, HELO: policy.SPF{Result: "pass", Domain: "mx." + org, Term: "a", Reason: "matched a"},
			DKIM: sigs,
			Authors: []policy.Author{{
				Domain: author, Org: org, PolicyDomain: org, Source: "org", Draw: uint8(i % 100),
				Record:  "v=DMARC1; p=reject; rua=mailto:dmarc@" + org,
				Verdict: dmarc.Verdict{Status: dmarc.Pass, Policy: dmarc.Reject, Pct: 100, AlignedSPF: true, AlignedDKIM: true, Reason: reason},
			}},
		},
		Decision: policy.Decision{Reason: reason, Author: author, Effective: []policy.Policy{{Applied: dmarc.Reject}}},
	}
}

// BenchmarkStore is what a row costs: the CPU of the process, and the bytes of
// the file.
func BenchmarkStore(b *testing.B) {
	for _, durability := range []Durability{Async, Ack, Disk} {
		for _, connections := range []int{1, 10, 50} {
			b.Run(fmt.Sprintf("%s/%d", durability, connections), func(b *testing.B) { benchmarkStore(b, durability, connections) })
		}
	}
}

func benchmarkStore(b *testing.B, durability Durability, connections int) {
	s, err := Open(context.Background(), Options{
		Path: filepath.Join(b.TempDir(), "r.db"), Durability: durability, Wait: time.Minute, Queue: 10000, Log: slog.Default(),
	})
	if err != nil {
		b.Fatal(err)
	}
	rows := make([]Row, b.N)
	for i := range rows {
		rows[i] = mixRow(i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu(b)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range connections {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(len(rows)); i = next.Add(1) {
				if got := s.Add(rows[i-1]).Outcome; got == Dropped {
					b.Errorf("Add() = %v", got)
				}
			}
		})
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-µs/row")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// cpu is what the process has used so far.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
