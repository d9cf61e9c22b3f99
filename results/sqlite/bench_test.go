package sqlite

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dmarcgate/results"
)

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
		alone := run(b, results.None{}, connections, work)
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
					Path: filepath.Join(b.TempDir(), "r"), Durability: durability, Wait: time.Minute, Queue: 10000, Log: slog.Default(),
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
func run(b *testing.B, store interface {
	Add(results.Row) *results.Receipt
}, connections int, work func()) float64 {
	rows := make([]results.Row, min(b.N, 2000))
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
				if got := store.Add(row).Outcome; got == results.Dropped {
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
