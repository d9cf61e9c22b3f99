//go:build mta

package deliver

import (
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/childtest"
)

// benchText is a mail of the size of most reports.
const benchText = 8 << 10

// BenchmarkSendBesideSMTPSource sends mails to smtp-sink(1) in one session, and
// has smtp-source(1) send as many of the same size in one session. It reports
// the time of a mail for both, and how many times longer ours takes.
func BenchmarkSendBesideSMTPSource(b *testing.B) {
	port, err := childtest.FreePort()
	if err != nil {
		b.Fatal(err)
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	sink := exec.Command("smtp-sink", "-u", "postfix", addr, "100")
	if err := sink.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { sink.Process.Kill(); sink.Wait() }()
	if err := childtest.Poll(b.Context(), func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	}); err != nil {
		b.Fatal(err)
	}
	text := []byte("Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", benchText/78))
	s, err := New(Config{Smarthost: addr, Hello: "us.example", TLS: None})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if o := s.Send(b.Context(), "a@b.example", "c@d.example", text); o.Class != Sent {
			b.Fatalf("%+v", o)
		}
	}
	ours := b.Elapsed()
	if err := s.Close(); err != nil {
		b.Error(err)
	}
	start := time.Now()
	if out, err := exec.Command("smtp-source", "-d", "-s", "1", "-m", fmt.Sprint(b.N), "-l", fmt.Sprint(len(text)), "-f", "a@b.example", "-t", "c@d.example", addr).CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	theirs := time.Since(start)
	b.ReportMetric(float64(theirs.Nanoseconds())/float64(b.N), "source-ns/op")
	b.ReportMetric(float64(ours)/float64(theirs), "ratio")
}
