package dkim

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"dmarcgate/internal/dkimtest"
	"dmarcgate/message"
)

// Names of these benchmarks have KEY=VALUE parts, so that benchstat sets
// engines beside each other: go tool benchstat -col /engine FILE.

// BenchmarkMessage is a whole verification, beside that of go-msgauth and
// beside a floor: SHA-256 of the body, and of the header with an RSA
// verification for each signature. From 50 KB on, ours takes at most a quarter
// of the library's time (half where white space is dense, 1/2.5 with simple);
// for 1 MB at most twice the floor's (1.3 times with simple), and for three
// signatures at most 1.2 times the time for one.
func BenchmarkMessage(b *testing.B) {
	for _, size := range []int{2 << 10, 50 << 10, 1 << 20} {
		for _, kind := range []string{"base64", "prose", "html"} {
			for _, canon := range []string{"relaxed", "simple"} {
				benchmark(b, kind, size, canon, 1)
			}
		}
		for _, canon := range []string{"relaxed", "simple"} {
			benchmark(b, "base64", size, canon, 3)
		}
	}
}

// usual is a key pair of usual size: RSA-2048.
var usual = sync.OnceValues(func() (dkimtest.Key, error) { return dkimtest.RSA(2048) })

// usualLetter returns a message signed with the usual key, and its record.
func usualLetter(tb testing.TB, kind string, size int, canon string, signatures int) (signed, record string) {
	tb.Helper()
	k, err := usual()
	if err != nil {
		tb.Fatal(err)
	}
	signer := k.Sign
	if canon == "simple" {
		signer = k.SignSimple
	}
	text := []byte(head + "\r\n" + string(bodies(size)[kind]))
	for i := range signatures {
		if text, err = signer(text, "example.com", fmt.Sprintf("s%d", i)); err != nil {
			tb.Fatal(err)
		}
	}
	return string(text), "v=DKIM1; k=rsa; p=" + k.Public("")
}

func benchmark(b *testing.B, kind string, size int, canon string, signatures int) {
	signed, record := usualLetter(b, kind, size, canon, signatures)
	h := headerOf(signed)
	raw, body := message.Split([]byte(signed))
	floor := newFloor(b, bytes.Join(raw, nil), body, signatures)
	name := fmt.Sprintf("body=%s/size=%dKB/canon=%s/signatures=%d", kind, size>>10, canon, signatures)
	for _, engine := range []struct {
		name string
		pass func() bool
	}{
		{"ours", func() bool { return passing(records{record}, h, body) == signatures }},
		{"library", func() bool { return !slices.Contains(second(b, record, signed), false) }},
		{"floor", floor},
	} {
		b.Run(name+"/engine="+engine.name, func(b *testing.B) {
			b.SetBytes(int64(len(signed)))
			b.ReportAllocs()
			for b.Loop() {
				if !engine.pass() {
					b.Fatal("a signature does not pass")
				}
			}
		})
	}
}

// passing verifies a message in chunks as a milter gets them, with keys at hand
// as in a warm cache, and returns how many signatures pass.
func passing(r records, h message.Header, body []byte) (n int) {
	for _, v := range verifyChunks(r, h, body) {
		if v.Status == Pass {
			n++
		}
	}
	return n
}

func verifyChunks(r records, h message.Header, body []byte) []Result {
	run := Start(context.Background(), r, h, Options{CacheOnly: r})
	for p := range slices.Chunk(body, 64<<10-1) {
		run.Write(p)
	}
	return run.Finish()
}

// newFloor returns what no verifier can leave out.
func newFloor(tb testing.TB, header, body []byte, signatures int) func() bool {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	digest := sha256.Sum256(header)
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		tb.Fatal(err)
	}
	return func() bool {
		ok := sha256.Sum256(body) != [sha256.Size]byte{}
		for range signatures {
			digest := sha256.Sum256(header)
			ok = ok && rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], sig) == nil
		}
		return ok
	}
}

// craft is a message that costs some verifier far more than its size: what
// has been found in go-msgauth 0.7.0. TestRunCostIsBoundedBySizeOfMessage
// and its neighbours hold memory; this shows time.
type craft struct {
	name   string
	header string // fields on top
	names  string // h= behind "from"
	body   string
	simple bool
	times  int     // signatures, of ever other selectors
	bits   int     // of each signature
	record records // nil for an ordinary key
	want   Status
}

func crafts() []craft {
	folded := func(size int) string { return "X: x" + strings.Repeat("\r\n x", size/4) + "\r\n" }
	var many, names strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&many, "x%d: y\r\n", i)
		fmt.Fprintf(&names, ":x%d", i)
	}
	some := names.String()[:strings.Index(names.String(), ":x199")]
	return []craft{
		{name: "field-of-400KB-folded", header: folded(400 << 10), names: ":x", times: 1, bits: 2048, want: Fail},
		{name: "20-folded-fields-of-100KB", header: strings.Repeat(folded(100<<10), 20), names: strings.Repeat(":x", 20), times: 1, bits: 2048, want: Fail},
		{name: "4MB-of-line-ends", body: strings.Repeat("\r\n", 2<<20), simple: true, times: 1, bits: 2048, want: Fail},
		{name: "10000-fields-all-in-h", header: many.String(), names: names.String(), times: 1, bits: 2048, want: Policy},
		{name: "10000-fields-199-in-h", header: many.String(), names: some, times: 1, bits: 2048, want: Fail},
		{name: "2000-signatures", times: 2000, bits: 2048, want: Fail},
		{name: "key-of-4096-bits", times: 1, record: records{bigKey(4096)}, bits: 4096, want: Fail},
		{name: "key-of-32768-bits", times: 1, record: records{bigKey(32768)}, bits: 2048, want: Policy},
	}
}

// text makes the message. Its signatures are right about the body and made by
// nobody: only the last step of the verification, the most expensive one, shows
// that a signature is wrong.
func (c craft) text() string {
	canon, bh := "relaxed/relaxed", sha256.Sum256(nil)
	if c.simple {
		canon, bh = "simple/simple", sha256.Sum256([]byte("\r\n"))
	}
	signature := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{'b'}, c.bits/8))
	var out strings.Builder
	for i := range c.times {
		fmt.Fprintf(&out, "DKIM-Signature: v=1; a=rsa-sha256; c=%s; d=example.com; s=s%d; h=from%s;\r\n\tbh=%s;\r\n\tb=%s\r\n",
			canon, i, c.names, base64.StdEncoding.EncodeToString(bh[:]), signature)
	}
	return out.String() + c.header + "From: a@example.com\r\nSubject: x\r\n\r\n" + c.body
}

// BenchmarkCrafted sets each crafted message beside an ordinary one of its size:
// it may cost at most 20 times as much.
func BenchmarkCrafted(b *testing.B) {
	for _, c := range crafts() {
		text, canon := c.text(), "relaxed"
		if c.simple {
			canon = "simple"
		}
		ordinary, record := usualLetter(b, "prose", max(len(text), 2<<10), canon, 1)
		if c.record == nil {
			c.record = records{record}
		}
		for _, m := range []struct {
			name   string
			text   string
			record records
			want   Status
		}{{"crafted", text, c.record, c.want}, {"ordinary", ordinary, records{record}, Pass}} {
			h := headerOf(m.text)
			_, body := message.Split([]byte(m.text))
			b.Run(c.name+"/mail="+m.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					got := verifyChunks(m.record, h, body)
					if !slices.ContainsFunc(got, func(r Result) bool { return r.Status == m.want }) {
						b.Fatalf("%+v; want %v", got, m.want)
					}
				}
			})
		}
	}
}
