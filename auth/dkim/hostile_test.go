package dkim

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"dmarcgate/auth/taglist"
	"dmarcgate/message"
	"dmarcgate/scope"
)

// counting is a resolver that counts.
type counting struct {
	records
	queried chan string
}

func (c counting) TXT(ctx context.Context, name string) ([]string, error) {
	c.queried <- name
	return c.records, nil
}

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestRunCostIsBoundedBySizeOfMessage has messages that cost other
// verifiers the square of their size, in time and in memory. What is
// allocated stands for the work: one copy of the header and little more.
func TestRunCostIsBoundedBySizeOfMessage(t *testing.T) {
	folded := func(name string, size int) string { return name + ": x" + strings.Repeat("\r\n x", size/4) + "\r\n" }
	var fields, names strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&fields, "x%d: y\r\n", i)
	}
	for i := range maxNames - 1 {
		fmt.Fprintf(&names, ":x%d", i*50)
	}
	self := strings.Repeat("DKIM-Signature: v=1\r\n", 5000)
	for _, tt := range []struct {
		name   string
		letter letterParts
		want   Status
		times  int // allocated bytes per byte of the header
	}{
		{"a field folded everywhere that is not signed", letterParts{header: head + folded("X", 400<<10)}, Pass, 2},
		{"a field folded everywhere that is signed", letterParts{header: head + folded("X", 400<<10), names: "from:x"}, Pass, 3},
		{"twenty such fields", letterParts{header: head + strings.Repeat(folded("X", 100<<10), 20), names: "from" + strings.Repeat(":x", 20)}, Pass, 3},
		{"many fields and names", letterParts{header: head + fields.String(), names: "from" + names.String()}, Pass, 40},
		{"many signatures, all signed", letterParts{header: head + self, names: "from" + strings.Repeat(":dkim-signature", maxNames-1)}, Pass, 60},
		{"too many names", letterParts{header: head + fields.String(), names: "from" + strings.Repeat(":x1", maxNames)}, Policy, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			signed := tt.letter.signed(t)
			raw, body := message.Split([]byte(signed))
			h := make(message.Header, len(raw))
			for i, f := range raw {
				h[i] = message.NewField(f)
			}
			var got []Result
			n := allocated(func() {
				run := Start(context.Background(), records{own()}, h, Options{})
				run.Write(body)
				got = run.Finish()
			})
			if got[0].Status != tt.want {
				t.Errorf("result = %+v; want %v", got[0], tt.want)
			}
			if limit := uint64(tt.times*len(signed) + 64<<10); n > limit {
				t.Errorf("%d bytes allocated for a message of %d; want at most %d", n, len(signed), limit)
			}
		})
	}
}

func TestStartFetchesOnlyKeysOfVerifiedSignatures(t *testing.T) {
	var top strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&top, "DKIM-Signature: v=1; a=rsa-sha256; d=d%d.example; s=s; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n", i)
	}
	dns := counting{records{own()}, make(chan string, 3000)}
	got := verify(dns, top.String()+letter)
	if len(got) != MaxResults || len(dns.queried) != MaxSignatures {
		t.Errorf("%d results after %d lookups; want %d and %d", len(got), len(dns.queried), MaxResults, MaxSignatures)
	}
}

func TestBodyHashOfEndlessLineEnds(t *testing.T) {
	chunk := bytes.Repeat([]byte("\r\n"), 32<<10)
	for _, relax := range []bool{false, true} {
		var d *digest
		n := allocated(func() {
			c := newCanonicalizer(relax, nil)
			for range 64 {
				c.write(chunk)
			}
			d = c.close()
		})
		if want := int64(len(referenceBody(relax, chunk))); d.length != want || n > 64<<10 {
			t.Errorf("relaxed %v: hashed %d bytes and allocated %d; want %d and next to nothing", relax, d.length, n, want)
		}
	}
}

func TestRunWithoutFinishLeavesNoGoroutine(t *testing.T) {
	signed := letterParts{}.signed(t)
	before := runtime.NumGoroutine()
	for range 50 {
		run := Start(context.Background(), records{own()}, headerOf(signed), Options{})
		run.Write([]byte("Hel"))
		for _, k := range run.keys {
			<-k.done
		}
	}
	// One that has closed its key may not have ended yet on a busy host.
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines; want %d", runtime.NumGoroutine(), before)
		}
	}
}

func TestKeySizeIsCheckedBeforeUse(t *testing.T) {
	for _, bits := range []uint{4097, 16384, 32768, 65536} {
		got := verify(records{bigKey(bits)}, letterParts{}.signed(t))
		if got[0].Status == Pass || got[0].Status == Fail {
			t.Errorf("result with a key of %d bits = %+v; want policy, or permerror", bits, got[0])
		}
	}
}

func TestRunMemoryDoesNotDependOnBody(t *testing.T) {
	l := letterParts{header: letterParts{canon: "simple/simple", limit: 6}.signed(t)}
	l.header, _, _ = strings.Cut(l.header, "\r\n\r\n")
	l.header += "\r\n"
	h := headerOf(l.signed(t))
	chunk := bodies(64 << 10)["html"]
	cost := func(size int) uint64 {
		return allocated(func() {
			run := Start(context.Background(), records{own()}, h, Options{})
			for n := 0; n < size; n += len(chunk) {
				run.Write(chunk)
			}
			run.Finish()
		})
	}
	small, large := cost(1<<20), cost(50<<20)
	if large > small+16<<10 {
		t.Errorf("%d bytes allocated for 50 MB, %d for 1 MB; want the same", large, small)
	}
}

func TestFinishRaisesPanicOfKeyLookup(t *testing.T) {
	run := Start(context.Background(), broken{}, headerOf(letterParts{}.signed(t)), Options{})
	defer func() {
		if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), "oops") {
			t.Errorf("Finish() panics with %v; want the panic of the lookup", p)
		}
	}()
	run.Finish()
}

type broken struct{}

func (broken) TXT(context.Context, string) ([]string, error) { panic("oops") }

func FuzzSignature(f *testing.F) {
	for _, s := range []string{
		"v=1; a=rsa-sha256; d=example.com; s=s1; h=from:subject; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AA==",
		" v=1;\r\n a=x;b = A\r\n\tB ;c=relaxed/; d=B\xc3\xbccher.example; i==40a", "d=a;d=b", ";;=;", "b=", "v=1; b=;b", "x=999999999999999999999; l=00000",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		raw := []byte("DKIM-Signature:" + value + "\r\n")
		s := read(message.NewField(raw), 0, noon)
		r := s.result
		if strings.ContainsAny(r.Domain+r.Identity+r.Selector+r.Algorithm+r.B, "\r\n\x00 \t;()\"") || len(r.B) > shownB {
			t.Errorf("read(%q) = %+v; want words", value, r)
		}
		if s.refused.status == Pass || s.refused.status == Fail || (s.refused.status == None) != (s.refused.why == "") {
			t.Errorf("read(%q) refuses with %+v", value, s.refused)
		}
		if s.refused.status != None {
			return
		}
		if s.keyName == "" || !scope.AtOrBelow(r.Identity, r.Domain) || len(s.bh) != 32 || len(s.b) == 0 || len(s.names) > maxNames {
			t.Errorf("read(%q) = %+v; want all of it", value, s)
		}
		signed := s.signed(message.NewField(raw))
		list, ok := taglist.Parse(strings.TrimPrefix(string(signed), "DKIM-Signature:"), false)
		if b, _ := list.Find("b"); !ok || b.Value != "" || len(signed) > len(raw) {
			t.Errorf("read(%q) signs %q; want the field without its signature", value, signed)
		}
	})
}

func FuzzRecord(f *testing.F) {
	for _, s := range []string{own(), edRecord(), "v=DKIM1; p=", "p=\t;;k=;h=:;s=::;t=y:s", "v=spf1 -all", "k=rsa; t; p=MA==", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, ok := parseRecord(text)
		if !ok {
			return
		}
		for _, a := range []string{"rsa-sha256", "ed25519-sha256"} {
			bits, found := r.fits(a)
			if r.public == nil && found.status == None || found.status == None && (bits < 256 || bits > maxRSA) {
				t.Errorf("key of %q for %s = %v of %d bits, %+v; want one or a reason", text, a, r.public, bits, found)
			}
		}
	})
}
