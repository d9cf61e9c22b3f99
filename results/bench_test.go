package results

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
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
// signatures.
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
			Time: today.Add(time.Duration(i) * 777 * time.Microsecond), Listener: "bench", TLS: true, Version: policy.FactsVersion,
			QueueID: mixID(i),
			Client:  netip.AddrFrom4([4]byte{198, 18, byte(i % 2000 >> 8), byte(i)}), Helo: "mx." + org, MailFrom: bounce,
			Recipients: []string{"receiver.example"}, From: policy.FromOneMailbox,
			SPF: spf, HELO: policy.SPF{Result: "pass", Domain: "mx." + org, Term: "a", Reason: "matched a"},
			DKIM: sigs,
			Authors: []policy.Author{{
				Domain: author, Org: org, PolicyDomain: org, Source: "org", Draw: uint8(i % 100),
				Record:  "v=DMARC1; p=reject; adkim=s",
				Verdict: dmarc.Verdict{Status: dmarc.Pass, Policy: dmarc.Reject, Pct: 100, AlignedSPF: true, AlignedDKIM: true, Reason: reason},
			}},
		},
		Decision: policy.Decision{Reason: reason, Author: author, Effective: []policy.Policy{{Applied: dmarc.Reject}}},
		Settings: "3f9a0c51d27e",
	}
}

// mixID is one of Postfix's short queue ids: microseconds, which come in no
// order, and an inode.
func mixID(i int) string {
	return fmt.Sprintf("%05X%06X", uint32(i)*2654435761%1000000, i%512+0x3a0000)
}

// BenchmarkStore is what a row costs: the CPU of the process, and the bytes of
// the file.
func BenchmarkStore(b *testing.B) {
	forAll(b, func(b *testing.B, s *Store, connections int) {
		b.ReportMetric(run(b, s, connections, func() {}), "cpu-µs/row")
	})
}

// BenchmarkStoreBesideWork is what a row adds to messages that keep the
// processors busy: the CPU of both, less that of the messages alone.
func BenchmarkStoreBesideWork(b *testing.B) {
	forAll(b, func(b *testing.B, s *Store, connections int) {
		message := make([]byte, 256<<10)
		work := func() { sha256.Sum256(message) }
		alone := run(b, None{}, connections, work)
		both := run(b, s, connections, work)
		b.ReportMetric(alone, "cpu-µs/message")
		b.ReportMetric(both-alone, "cpu-µs/row")
	})
}

func forAll(b *testing.B, f func(*testing.B, *Store, int)) {
	for _, durability := range []Durability{Async, Ack, Disk} {
		for _, connections := range []int{1, 10, 50} {
			b.Run(fmt.Sprintf("%s/%d", durability, connections), func(b *testing.B) {
				s, err := Open(context.Background(), Options{
					Path: filepath.Join(b.TempDir(), "r.db"), Durability: durability, Wait: time.Minute, Queue: 10000, Log: slog.Default(),
				})
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				f(b, s, connections)
			})
		}
	}
}

// run adds b.N rows on so many connections, does the work before each, and
// returns the CPU of each in microseconds.
func run(b *testing.B, store interface{ Add(Row) *Receipt }, connections int, work func()) float64 {
	rows := make([]Row, min(b.N, 2000))
	for i := range rows {
		rows[i] = mixRow(i)
	}
	waits := make([]time.Duration, b.N)
	runtime.GC()
	before, start := cpu(b), time.Now()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range connections {
		wg.Go(func() {
			for i := int(next.Add(1)); i <= b.N; i = int(next.Add(1)) {
				work()
				row := rows[i%len(rows)]
				row.Facts.QueueID = mixID(i)
				at := time.Now()
				if got := store.Add(row).Outcome; got == Dropped {
					b.Errorf("Add() = %v", got)
				}
				waits[i-1] = time.Since(at)
			}
		})
	}
	wg.Wait()
	if s, ok := store.(*Store); ok {
		s.Close()
		slices.Sort(waits)
		b.ReportMetric(float64(waits[b.N/2].Microseconds()), "µs-median")
		b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "rows/s")
	}
	return float64((cpu(b) - before).Microseconds()) / float64(b.N)
}

// cpu is what the process has used so far.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
