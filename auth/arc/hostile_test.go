package arc

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode"

	"dmarcgate/auth/dkim"
)

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestFinishCostIsBoundedBySizeOfChain takes what is allocated for the
// work that is done.
func TestFinishCostIsBoundedBySizeOfChain(t *testing.T) {
	folds := strings.Repeat("\r\n x", 2<<10)
	for _, tt := range []struct {
		name  string
		l     *letter
		want  Status
		times int // allocated bytes per byte of the message
	}{
		{"fifty large sets", bulky(t, 4<<10, MaxSets), Pass, 8},
		{"results that are folded everywhere", newLetter().seal(t, hop{payload: folds}).seal(t, hop{payload: folds}), Pass, 8},
		{"comments in comments", newLetter().top("ARC-Authentication-Results: " + strings.Repeat("(", 15<<10) + "\r\n"), Fail, 4},
		{"comments behind comments", newLetter().top("ARC-Authentication-Results: " + strings.Repeat("()", 7<<10) + "\r\n"), Fail, 4},
		{"ten thousand seals", newLetter().top(strings.Repeat("ARC-Seal: i=1\r\n", 10_000)), Fail, 1},
		{"ten thousand other fields", newLetter().top(strings.Repeat("X: y\r\n", 10_000)).seal(t, hop{}), Pass, 40},
		{"names of fields that are not there", newLetter().seal(t, hop{names: "from" + strings.Repeat(":x", 199)}), Pass, 12},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, body := headerOf(tt.l.text())
			var got Result
			d := &dns{}
			n := allocated(func() {
				run := dkim.Start(t.Context(), d, h, dkim.Options{})
				a := Start(run)
				run.Write(body)
				got = a.Finish(t.Context())
				run.Finish()
			})
			if size := len(tt.l.text()); n > uint64(tt.times*size+64<<10) {
				t.Errorf("%d bytes allocated for a message of %d; want at most %d times as many", n, size, tt.times)
			}
			if got.Status != tt.want {
				t.Errorf("result = %+v; want %v", got, tt.want)
			}
		})
	}
}

// counter is a hash that counts what it and its copies are given.
type counter struct {
	hash.Hash
	bytes *int
}

func (c counter) Write(p []byte) (int, error) {
	*c.bytes += len(p)
	return len(p), nil
}

func (c counter) Clone() (hash.Cloner, error) { return c, nil }

func TestFinishHashesEachFieldOnce(t *testing.T) {
	l := bulky(t, 4<<10, MaxSets)
	h, _ := headerOf(l.text())
	run := dkim.Start(t.Context(), &dns{}, h, dkim.Options{})
	r := Start(run)
	hashed, want := 0, 0
	before, err := r.prefixes(counter{sha256.New(), &hashed})
	for _, set := range l.sets {
		want += len(strings.Join(set, ""))
	}
	if err != nil || len(before) != MaxSets || hashed != want {
		t.Errorf("prefixes() = %d hashes of %d bytes, %v; want %d of %d", len(before), hashed, err, MaxSets, want)
	}
	run.Finish()
}

func TestRunLeavesNoGoroutine(t *testing.T) {
	h, _ := headerOf(newLetter().sealed(t, 3).text())
	before := runtime.NumGoroutine()
	for range 50 {
		Start(dkim.Start(t.Context(), &dns{}, h, dkim.Options{}))
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines; want %d", runtime.NumGoroutine(), before)
		}
	}
}

// words fails for text with line breaks or other control characters.
func words(t *testing.T, r Result) {
	t.Helper()
	text := r.Why
	for _, s := range r.Sets {
		text += s.Domain + s.Selector + s.Algorithm + strings.ReplaceAll(s.Results, "\t", "")
	}
	if strings.IndexFunc(text, func(c rune) bool { return c < 0x80 && unicode.IsControl(c) }) >= 0 {
		t.Errorf("result = %+v; want no control characters", r)
	}
}

// FuzzChain puts fields on top of a chain of two sets, of which the fields in
// take are missing.
func FuzzChain(f *testing.F) {
	f.Add("", uint8(0))
	f.Add("", uint8(1))
	f.Add("ARC-Seal: i=1; cv\r\n", uint8(0))
	f.Add("ARC-Seal: i=1; none\r\n", uint8(0x20))
	f.Add("ARC-Seal: i=3; a=rsa-sha256; cv=pass; d=x.example; s=s; b="+strings.Repeat("QUJD", 200)+"\r\nARC-Message-Signature: i=3;;\r\nARC-Authentication-Results: i=3\r\n", uint8(0))
	f.Add("ARC-Authentication-Results:i=1; mx.example; (null)=pass; (null)=pass\r\n", uint8(4))
	f.Add("ARC-Authentication-Results: (c) i (c) = (c) 2 (c) ; x\r\n", uint8(4))
	f.Add("arc-seal : i=2; cv=fail\r\n", uint8(1))
	f.Add("From: x\r\nSubject: y\r\n", uint8(0))
	whole := newLetter().sealed(f, 2)
	f.Fuzz(func(t *testing.T, top string, take uint8) {
		l := &letter{body: whole.body}
		for i, field := range whole.header {
			if i >= 6 || take>>i&1 == 0 {
				l.header = append(l.header, field)
			}
		}
		h, body := headerOf(top + l.text())
		d := &dns{}
		run := dkim.Start(t.Context(), d, h, dkim.Options{})
		r := Start(run)
		run.Write(body)
		got := r.Finish(t.Context())
		words(t, got)
		run.Finish()
		if len(d.queried) > MaxKeys || got.Sets == nil && len(d.queried) > 0 {
			t.Errorf("%d lookups for %+v; want none without a structure", len(d.queried), got)
		}
		fields := 0
		for k := range kinds {
			n := len(h.Named(k.String()))
			if fields += n; got.Status == Pass && n != len(got.Sets) {
				t.Errorf("%d of %v with %+v; want one in each set", n, k, got)
			}
		}
		if (got.Status == None) != (fields == 0) {
			t.Errorf("result = %+v with %d fields of ARC", got, fields)
		}
		if got.Status != Pass && got.OldestPass != 0 {
			t.Errorf("result = %+v; want OldestPass with pass only", got)
		}
	})
}

func FuzzResults(f *testing.F) {
	for _, s := range []string{
		"i=1; x", "i=1;", "i = 50 ; mx (a;b); dmarc=pass", "(x)i(y)=(z)2(\\)(())); x", "i=1 x;", "I=1; x", "i=51;", "i=01;", "i=;0", "\\", ")i=1;", "i=1;\x00", "((((", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		n, payload := parseResults(value)
		switch {
		case n < 0 || n > MaxSets:
			t.Errorf("parseResults(%q) has instance %d", value, n)
		case !strings.HasSuffix(value, payload) || n == 0 && payload != "":
			t.Errorf("parseResults(%q) = %d, %q; want the rest of it", value, n, payload)
		case n > 0 && instance(fmt.Sprint(n)) != n:
			t.Errorf("instance(%d) = %d", n, instance(fmt.Sprint(n)))
		}
	})
}

func TestInstanceOfResults(t *testing.T) {
	for _, tt := range []struct {
		value   string
		n       int
		payload string
	}{
		{"i=1; mx.example; dmarc=pass", 1, " mx.example; dmarc=pass"},
		{"i=50;", 50, ""},
		{" i\t=  7\t; x", 7, " x"},
		{"(a (nested;) one) i=1 (\\)) ; x (kept)", 1, " x (kept)"},
		{"i=1;\x7f", 1, ""},
		{"i=1", 0, ""},
		{"i=1x;", 0, ""},
		{"i=51;", 0, ""},
		{"i=100;", 0, ""},
		{"i=-1;", 0, ""},
		{"i;", 0, ""},
		{"i=; x", 0, ""},
		{"I=1; x", 0, ""},
		{"a=1; i=1; x", 0, ""},
		{"(i=1; x", 0, ""},
		{")(i=1; x", 0, ""},
		{"\\(i=1; x", 0, ""},
	} {
		if n, payload := parseResults(tt.value); n != tt.n || payload != tt.payload {
			t.Errorf("parseResults(%q) = %d, %q; want %d, %q", tt.value, n, payload, tt.n, tt.payload)
		}
	}
}
