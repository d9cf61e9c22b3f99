package main

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"runtime"
	"strings"
	"time"

	"dmarcgate/auth/dkim"
)

// smallest is the body of an ordinary message beside a small crafted one.
const smallest = 2 << 10

// hostileCost is how much more CPU a message may cost than an ordinary one of
// the same size, whatever its sender thinks of.
const hostileCost = 20

// craft is a message that costs some verifier far more than its size. S1 to
// S7 are what has been found in go-msgauth 0.7.0.
type craft struct {
	title  string
	header string // fields on top
	names  string // h= behind "from"
	body   string // line ends, if anything
	simple bool
	times  int       // signatures, of ever other selectors
	bits   int       // of each signature
	record keyRecord // nil for an ordinary key
	want   dkim.Status
}

// crafts returns those that a verifier can be measured with; S5 is abandon.
func crafts() []craft {
	folded := func(name string, size int) string { return name + ": x" + strings.Repeat("\r\n x", size/4) + "\r\n" }
	var many, names strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&many, "x%d: y\r\n", i)
		fmt.Fprintf(&names, ":x%d", i)
	}
	some := names.String()[:strings.Index(names.String(), ":x199")]
	return []craft{
		{title: "S1 field of 400 KB, folded everywhere", header: folded("X", 400<<10), names: ":x", times: 1, bits: 2048, want: dkim.Fail},
		{title: "S2 twenty such of 100 KB", header: strings.Repeat(folded("X", 100<<10), 20), names: strings.Repeat(":x", 20), times: 1, bits: 2048, want: dkim.Fail},
		{title: "S3 body of 4 MB of line ends, simple", body: strings.Repeat("\r\n", 2<<20), simple: true, times: 1, bits: 2048, want: dkim.Fail},
		{title: "S4 10,000 fields, all in h=", header: many.String(), names: names.String(), times: 1, bits: 2048, want: dkim.Policy},
		{title: "S4 10,000 fields, 199 in h=", header: many.String(), names: some, times: 1, bits: 2048, want: dkim.Fail},
		{title: "S6 2,000 signatures", times: 2000, bits: 2048, want: dkim.Fail},
		{title: "S7 key of 4,096 bits", times: 1, record: keyRecord{hugeKey(4096)}, bits: 4096, want: dkim.Fail},
		{title: "S7 key of 32,768 bits", times: 1, record: keyRecord{hugeKey(32768)}, bits: 2048, want: dkim.Policy},
	}
}

// hugeKey returns the record of a key with which nobody has signed.
func hugeKey(bits uint) string {
	n := new(big.Int).Lsh(big.NewInt(1), bits-1)
	n.Add(n, big.NewInt(987654321))
	der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n, E: 65537})
	if err != nil {
		panic(err) // there is nothing that could be wrong with the key
	}
	return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)
}

// letter makes the message of a craft. Its signatures are right about the body
// and made by nobody: to find that out takes all the work that there can be.
func (c craft) letter() letter {
	canon, bh := "relaxed/relaxed", sha256.Sum256(nil)
	if c.simple {
		canon, bh = "simple/simple", sha256.Sum256([]byte("\r\n"))
	}
	b := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{'b'}, c.bits/8))
	var text bytes.Buffer
	for i := range c.times {
		fmt.Fprintf(&text, "DKIM-Signature: v=1; a=rsa-sha256; c=%s; d=%s; s=s%d; h=from%s;\r\n\tbh=%s;\r\n\tb=%s\r\n",
			canon, orgDomain(1), i, c.names, base64.StdEncoding.EncodeToString(bh[:]), b)
	}
	text.WriteString(c.header + "From: a@" + orgDomain(1) + "\r\nSubject: x\r\n\r\n" + c.body)
	return newLetter(text.Bytes(), c.times)
}

// crafted returns contests of each craft with an ordinary message of its size.
func (s *engineStage) crafted() ([]*contest, error) {
	var out []*contest
	for _, c := range crafts() {
		l := c.letter()
		size := max(len(l.text), smallest)
		ordinary, err := s.letter(kinds[1], size, c.simple, 1)
		if err != nil {
			return nil, err
		}
		record := c.record
		if record == nil {
			record = s.record
		}
		out = append(out, &contest{
			group: "crafted", title: c.title, calls: s.calls(size),
			contenders: []contender{
				{"crafted", func() error { return oneIs(c.want, record.ours(l)) }},
				{"ordinary", func() error { return oneIs(dkim.Pass, s.record.ours(ordinary)) }},
			},
			wants: []want{{title: "crafted/ordinary", over: 0, under: 1, atMost: hostileCost}},
		})
	}
	return out, nil
}

func oneIs(want dkim.Status, got []dkim.Result) error {
	for _, v := range got {
		if v.Status == want {
			return nil
		}
	}
	return fmt.Errorf("%+v; want %v", got, want)
}

// abandoned is how many messages abandon gives up.
const abandoned = 50

// abandon gives up messages with three signatures in mid-body, as when a
// sender goes away (S5), and says how many goroutines that leaves. Keys are
// looked up, which takes one each.
func (s *engineStage) abandon(ctx context.Context) (string, error) {
	l, err := s.letter(kinds[1], halfSize, false, 3)
	if err != nil {
		return "", err
	}
	before := runtime.NumGoroutine()
	for range abandoned {
		if _, err := s.record.start(l, dkim.Options{}).Write(l.body[:len(l.body)/2]); err != nil {
			return "", err
		}
	}
	left := settled(ctx, before)
	return fmt.Sprintf("S5: goroutines left of %d messages abandoned in mid-body = %d; want 0: %s", abandoned, left, verdict(left == 0)), nil
}

// settleTime is how long goroutines that are about to end are waited for.
const settleTime = 2 * time.Second

// settled returns by how many goroutines there are more than before, when no
// more of them end.
func settled(ctx context.Context, before int) int {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for runtime.NumGoroutine() > before && ctx.Err() == nil {
		runtime.Gosched()
	}
	return max(runtime.NumGoroutine()-before, 0)
}

// short is the body that memory compares with the long one.
const short = 1 << 20

// memorySlack is what two runs may differ in by chance.
const memorySlack = 16 << 10

// memory says how many bytes are allocated for a message whose body is small,
// and large.
func (s *engineStage) memory() ([]string, error) {
	var out []string
	for _, simple := range []bool{false, true} {
		l, err := s.letter(kinds[2], short, simple, 1)
		if err != nil {
			return nil, err
		}
		var made []uint64
		for _, size := range []int{short, s.long} {
			made = append(made, allocated(func() {
				run := s.record.start(l, dkim.Options{Known: s.record})
				for range size / short {
					l.chunks(func(p []byte) { _, _ = run.Write(p) })
				}
				_ = run.Finish() // the longer body is another one
			}))
		}
		out = append(out, fmt.Sprintf("memory, %s: %d bytes allocated for a body of %s, %d for %s; want the same: %s", canonName(simple),
			made[0], sizeName(short), made[1], sizeName(s.long), verdict(made[1] < made[0]+memorySlack)))
	}
	return out, nil
}

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
