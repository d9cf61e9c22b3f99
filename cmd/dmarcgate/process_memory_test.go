package main

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/internal/scale"
)

// A header just below the default header_bytes, 4 MiB, as Postfix hands it
// over: it cuts fields at 60,000 bytes.
const (
	hugeFields = 68
	hugeField  = 60_000
)

var hugeValue = " " + strings.Repeat("x", hugeField-20)

// peakMemory returns the most resident memory that a process has had, in KiB.
func peakMemory(t *testing.T, p *process) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid()))
	if err != nil {
		t.Fatal(err)
	}
	var kib int
	_, line, _ := strings.Cut(string(text), "VmHWM:")
	if _, err := fmt.Sscan(line, &kib); err != nil {
		t.Fatal(err)
	}
	return kib
}

// beginHuge sends the envelope and a huge header of a message.
func beginHuge(c *miltertest.Client, qid string, pause time.Duration, signed bool) error {
	if err := beginEnvelope(c, "good.example", qid); err != nil {
		return err
	}
	if signed {
		if _, err := c.Field("DKIM-Signature", hugeSignature()); err != nil {
			return err
		}
	}
	for i := range hugeFields {
		if _, err := c.Field(fmt.Sprintf("X-Filler-%d", i), hugeValue); err != nil {
			return err
		}
		time.Sleep(pause)
	}
	return c.Flush()
}

// beginEnvelope sends a message up to its From field.
func beginEnvelope(c *miltertest.Client, domain, qid string) error {
	for _, step := range []func() (miltertest.Reply, error){
		func() (miltertest.Reply, error) { return c.Connect("[192.0.2.10]", demoShop, 40000) },
		func() (miltertest.Reply, error) { return c.Helo("[192.0.2.10]") },
		func() (miltertest.Reply, error) {
			return miltertest.Reply{Action: miltertest.Continue}, c.Macros('M', "i", qid)
		},
		func() (miltertest.Reply, error) { return c.Mail("a@" + domain) },
		func() (miltertest.Reply, error) { return c.Rcpt("u@receiver.example") },
		func() (miltertest.Reply, error) { return c.Field("From", " a@"+domain) },
	} {
		if r, err := step(); err != nil || r.Action != miltertest.Continue {
			return fmt.Errorf("answer %v, %w; want continue", r.Action, err)
		}
	}
	return nil
}

// p99 sends good mail over one session for as long as while says, at least n
// messages, and returns the time that the slowest hundredth of them took.
func p99(c *miltertest.Client, prefix string, n int, while func() bool) (time.Duration, int, error) {
	var took []time.Duration
	for i := 0; i < n || while(); i++ {
		start := time.Now()
		if err := sendDomain(c, "good.example", fmt.Sprintf("%s%d", prefix, i)); err != nil {
			return 0, 0, err
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took[len(took)*99/100], len(took), nil
}

// headerMemoryBound is what the daemon may take, in KiB, with n connections that
// send huge headers: the collector lets the heap become twice what lives, which
// is limits.header_memory, one header more, and for each connection 64 KiB that
// are free and a frame. DKIM can need the relaxed form of all that is signed
// besides. docs/operations.md states it.
func headerMemoryBound(idle, n int, signed bool) int {
	headers := 128<<10 + 4<<10 + n*64
	if signed {
		headers *= 2
	}
	return idle + 2*(headers+n*128)
}

// hugeSignature is a signature of every field of a huge header, with a key that
// exists.
func hugeSignature() string {
	var b strings.Builder
	b.WriteString(" v=1; a=rsa-sha256; c=relaxed/relaxed; d=good.example; s=s1; h=from")
	for i := range hugeFields {
		fmt.Fprintf(&b, ":x-filler-%d", i)
	}
	sum := sha256.Sum256([]byte("\r\n")) // the empty body has another hash in relaxed form, which does not matter
	fmt.Fprintf(&b, "; bh=%s; b=%s", base64.StdEncoding.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString(make([]byte, 256)))
	return b.String()
}

// p99Grace is what a busy machine may add to the slowest hundredth of good mail.
const p99Grace = 10 * time.Millisecond

// Huge headers, at once or slowly, cost the memory that is set aside for them,
// and ordinary mail beside them notices little.
func TestHeaderMemoryIsBoundedBesideGoodMail(t *testing.T) {
	n := []int{40}
	if scale.Of(t) > 1 {
		n = []int{100, 1000}
	}
	for _, huge := range n {
		for _, tt := range []struct {
			name   string
			pause  time.Duration // after each field
			signed bool
		}{
			{"huge", 0, false},
			{"slow", 50 * time.Millisecond, false}, // an MTA or network that is slow
			{"signed", 0, true},
		} {
			t.Run(fmt.Sprintf("%s, %d", tt.name, huge), func(t *testing.T) { testHugeHeaders(t, huge, tt.pause, tt.signed) })
		}
	}
}

func testHugeHeaders(t *testing.T, huge int, pause time.Duration, signed bool) {
	keys, err := testKeys()
	if err != nil {
		t.Fatal(err)
	}
	dns := dnstest.New(t, processZone+keys["rsa"].Zone("s1", "good.example"))
	h := newHost(t, hostConfig{dns: dns.Addr(), extra: "[store]\ndurability = \"async\"\n"})
	p := h.start()
	good := h.session()
	alone, _, err := p99(good, "4Xalone", 2000, func() bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	idle := peakMemory(t, p)
	var deferred atomic.Int32
	done := make(chan struct{})
	go func() {
		defer close(done)
		var wg sync.WaitGroup
		for i := range huge {
			wg.Go(func() {
				switch r, err := sendHuge(h, fmt.Sprintf("4Xhuge%d", i), pause, signed); {
				case err != nil:
					t.Errorf("huge message %d: %v", i, err)
				case r.Code == 451 && r.Enhanced == "4.3.1":
					deferred.Add(1)
				case r.Action != miltertest.Continue:
					t.Errorf("huge message %d: answer %v; want continue, or 451 4.3.1", i, r)
				}
			})
		}
		wg.Wait()
	}()
	began := time.Now()
	beside, sent, err := p99(good, "4Xbeside", 100, func() bool {
		select {
		case <-done:
			return false
		default:
			return true
		}
	})
	if err != nil {
		t.Fatalf("good mail: %v", err)
	}
	took, peak := time.Since(began).Round(time.Millisecond), peakMemory(t, p)
	t.Logf("%d huge headers in %v, %d deferred; p99 of good mail %v alone, %v beside (%d messages); resident %d MiB before, %d MiB at most",
		huge, took, deferred.Load(), alone, beside, sent, idle>>10, peak>>10)
	if most := headerMemoryBound(idle, huge, signed); peak > most {
		t.Errorf("resident memory = %d KiB; want at most %d", peak, most)
	}
	if most := 2*alone + p99Grace; beside > most {
		t.Errorf("p99 of good mail beside huge headers = %v; want at most %v", beside, most)
	}
	if signed && !p.logged("qid=4Xhuge", "dkim=fail:good.example") {
		t.Errorf("no signature of a huge header was verified: %s", p.line("qid=4Xhuge"))
	}
	p.metricIs(0, "dmarcgate_milter_header_memory_bytes")
	p.metricIs(0, "dmarcgate_milter_header_memory_waiting")
	p.metricIs(float64(deferred.Load()), "dmarcgate_milter_header_memory_refused_total")
}

// hugeTime is longer than a message with a huge header may take in all.
const hugeTime = 3 * time.Minute

// sendHuge sends a message with a huge header.
func sendHuge(h *host, qid string, pause time.Duration, signed bool) (miltertest.Reply, error) {
	c, err := miltertest.Dial("unix:"+h.socket, miltertest.Options{Timeout: hugeTime})
	if err != nil {
		return miltertest.Reply{}, err
	}
	defer c.Close()
	if err := beginHuge(c, qid, pause, signed); err != nil {
		return miltertest.Reply{}, err
	}
	if r, err := c.EndOfHeader(); err != nil || r.Action != miltertest.Continue {
		return r, err
	}
	r, err := c.EndOfMessage()
	return r.Reply, err
}

// What docs/operations.md states of resident memory, in MiB.
const (
	idleBound  = 80 // with 1,000 idle connections, and a minute after 4,000 have gone
	bodyBound  = 64 // with four messages of 200 MB at once
	busyBound  = 300
	manyMTAs   = 4000
	returnTime = time.Minute
)

// wantResident fails when the daemon has more in memory.
func wantResident(t *testing.T, about string, kib, most int) {
	t.Helper()
	t.Logf("resident memory %s: %d MiB", about, kib>>10)
	if kib > most<<10 {
		t.Errorf("resident memory %s = %d MiB; want at most %d", about, kib>>10, most)
	}
}

// mtas opens n connections, each of which sends a message.
func (h *host) mtas(n int, qid string) []*miltertest.Client {
	h.t.Helper()
	open := make([]*miltertest.Client, n)
	for i := range open {
		open[i] = h.session()
	}
	eachSends(h.t, open, qid)
	return open
}

func TestIdleConnectionsHoldLittleMemory(t *testing.T) {
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr()})
	p := h.start()
	h.mtas(1000, "4Xidle")
	wantResident(t, "with 1,000 idle connections", peakMemory(t, p), idleBound)
}

// Bodies are not kept, however many come at once.
func TestLargeBodiesTakeNoMemory(t *testing.T) {
	const atOnce, size = 4, 200 << 20
	keys, err := testKeys()
	if err != nil {
		t.Fatal(err)
	}
	dns := dnstest.New(t, processZone+keys["rsa"].Zone("s1", "good.example"))
	h := newHost(t, hostConfig{dns: dns.Addr()})
	p := h.start()
	chunk := []byte(strings.Repeat(strings.Repeat("x", 76)+"\r\n", 65535/78))
	var wg sync.WaitGroup
	for i := range atOnce {
		c := h.session()
		wg.Go(func() {
			if err := sendBody(c, fmt.Sprintf("4Xbody%d", i), chunk, size); err != nil {
				t.Errorf("message %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	wantResident(t, "with four messages of 200 MB", peakMemory(t, p), bodyBound)
}

// sendBody sends a message with a signature, so that the body is wanted, and a
// body of chunks.
func sendBody(c *miltertest.Client, qid string, chunk []byte, size int) error {
	if err := beginEnvelope(c, "good.example", qid); err != nil {
		return err
	}
	if _, err := c.Field("DKIM-Signature", hugeSignature()); err != nil {
		return err
	}
	if r, err := c.EndOfHeader(); err != nil || r.Action != miltertest.Continue {
		return fmt.Errorf("answer %v to the header, %w; want continue", r.Action, err)
	}
	for sent := 0; sent < size; sent += len(chunk) {
		if r, err := c.Body(chunk); err != nil || r.Action != miltertest.Continue {
			return fmt.Errorf("answer %v after %d bytes of body, %w; want continue", r.Action, sent, err)
		}
	}
	_, err := c.EndOfMessage()
	return err
}

// A burst of connections takes memory that is the kernel's again a minute later.
func TestDaemonMemoryIsReturnedAfterBurst(t *testing.T) {
	if scale.Of(t) == 1 {
		t.Skip("needs a minute: at full size only")
	}
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr()})
	p := h.start()
	open := h.mtas(manyMTAs, "4Xburst")
	var wg sync.WaitGroup
	for i, c := range open {
		wg.Go(func() {
			if err := sendDomain(c, "good.example", fmt.Sprintf("4Xbusy%d", i)); err != nil {
				t.Error(err)
			}
			c.Close()
		})
	}
	wg.Wait()
	wantResident(t, "with 4,000 busy connections", peakMemory(t, p), busyBound)
	gone := time.Now()
	for memory(t, p) > idleBound<<10 && time.Since(gone) < returnTime {
		time.Sleep(time.Second) // the daemon looks every 15 s
	}
	wantResident(t, "a minute after they have gone", memory(t, p), idleBound)
}
