package dkim

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// hashed gives body to a canonicalizer in parts that cut chooses.
func hashed(relax bool, body []byte, limits []int64, cut func(left int) int) *digest {
	c := newCanonicalizer(relax, limits)
	for len(body) > 0 {
		n := min(max(cut(len(body)), 1), len(body))
		c.write(body[:n])
		body = body[n:]
	}
	return c.close()
}

func TestBodyHashOfEmptyBody(t *testing.T) {
	for _, tt := range []struct {
		relax bool
		want  string
	}{{false, "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY="}, {true, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}} {
		for _, body := range []string{"", "\r\n", "\r\n\r\n\r\n"} {
			d := hashed(tt.relax, []byte(body), nil, func(left int) int { return 1 })
			if got := base64.StdEncoding.EncodeToString(d.sums[whole]); got != tt.want {
				t.Errorf("hash of %q, relaxed %v = %s; want %s", body, tt.relax, got, tt.want)
			}
		}
	}
}

// check compares every cut with the reference, and the sums at limits, too.
func checkBody(t *testing.T, body []byte, cut func(int) int) {
	t.Helper()
	for _, relax := range []bool{false, true} {
		want := referenceBody(relax, body)
		limits := []int64{0, 1, int64(len(want) / 2), int64(len(want)), int64(len(want)) + 1}
		d := hashed(relax, body, append([]int64(nil), limits...), cut)
		if sum := sha256.Sum256(want); !bytes.Equal(d.sums[whole], sum[:]) || d.length != int64(len(want)) {
			t.Fatalf("body %.200q, relaxed %v: %d bytes with another hash; want that of %.200q", body, relax, d.length, want)
		}
		for _, l := range limits {
			got, reached := d.sums[l]
			if reached != (l <= int64(len(want))) {
				t.Fatalf("body %.200q, relaxed %v: sum at %d of %d bytes: %v", body, relax, l, len(want), reached)
			}
			if reached {
				if sum := sha256.Sum256(want[:l]); !bytes.Equal(got, sum[:]) {
					t.Fatalf("body %.200q, relaxed %v: other sum at %d", body, relax, l)
				}
			}
		}
	}
}

func TestBodyHashIgnoresChunks(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	words := []string{"a", " ", "\t", "\r", "\n", "\r\n", "  ", "\r\n\r\n", " \r\n", "\x00", "word", "seven b", strings.Repeat("x", 1500), strings.Repeat("\r\n", 300), strings.Repeat(" ", 20)}
	for range 1500 {
		var body []byte
		for range r.IntN(14) {
			body = append(body, words[r.IntN(len(words))]...)
		}
		largest := 1 + r.IntN(40)
		checkBody(t, body, func(int) int { return 1 + r.IntN(largest) })
		checkBody(t, body, func(left int) int { return left })
	}
}

func TestBodyHashOfEverySplit(t *testing.T) {
	body := []byte("a \t b\r\n \r\n\t\r\n\r\r\nc \rd\r\n  e  \r\r\n\n\r\n \t\r\n\r\n\r\n \r")
	for at := range len(body) {
		first := true
		checkBody(t, body, func(left int) int {
			if first {
				first = false
				return max(at, 1)
			}
			return left
		})
	}
}

func TestBodyHashFindsWhiteSpaceEverywhere(t *testing.T) {
	for at := range 3*block + 2 {
		for _, space := range []string{"  ", "\t", " \r\n", " \r", " \n", "   \t     \t         ", "\t \r\n", " "} {
			for _, behind := range []int{0, 1, 7, 8, 40, 70} {
				body := []byte(strings.Repeat("x", at) + space + strings.Repeat("y", behind))
				checkBody(t, body, func(left int) int { return left })
				checkBody(t, body, func(left int) int { return (left + 1) / 2 })
			}
		}
	}
}

func TestBodyHashMatchesReference(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 60 {
		var body []byte
		for rare := 1 + r.IntN(300); len(body) < 3*collected; {
			body = append(body, strings.Repeat("z", r.IntN(rare))...)
			body = append(body, []string{" ", "  ", "\t", "\r\n", " \r\n", "\r\n\r\n", "\r", "word word"}[r.IntN(8)]...)
		}
		checkBody(t, body, func(left int) int { return left })
		checkBody(t, body, func(int) int { return 1 + r.IntN(2*collected) })
	}
}

func TestSuspectCoversAffected(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	const bytes = " \t\r\n!\x00\x1f\x7f\x80\xa0\xffab"
	for range 200_000 {
		text := make([]byte, 9)
		for i := range text {
			text[i] = bytes[r.IntN(len(bytes))]
		}
		w, next := word(text), word(text[1:])
		if used(w, next) != 0 && suspect(w, next)&highs == 0 {
			t.Fatalf("suspect(%q) = 0; affected = %x", text, used(w, next))
		}
		for i := range 8 {
			want := text[i] == '\t' || text[i] == ' ' && text[i+1] <= ' '
			if got := used(w, next)>>(8*i)&0x80 != 0; got != want {
				t.Fatalf("affected(%q) at %d = %v; want %v", text, i, got, want)
			}
		}
	}
}

func FuzzBody(f *testing.F) {
	for _, s := range []string{"", "a\r\n", " \t\r\n\r\n", "a \rb\r", "\r\n\r\nx", "x \r\n \r\n", "12345678 \r\n", "a\tb  c\r\n"} {
		f.Add([]byte(s), uint8(1))
		f.Add([]byte(s), uint8(9))
	}
	f.Fuzz(func(t *testing.T, body []byte, n uint8) {
		checkBody(t, body, func(int) int { return int(n) })
	})
}

func FuzzField(f *testing.F) {
	for _, s := range []string{"Subject: a  b\r\n", "A : \r\n x\r\n", "X:\r\n", "x: a\r\n \r\n \t b \r\n", "X", "X:\ta\r\rb\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if got, want := string(relaxField([]byte(raw))), referenceField(true, raw); got != want {
			t.Errorf("relaxField(%q) = %q; want %q", raw, got, want)
		}
	})
}

// bodies are what benchmarks hash: lines of each usual kind.
func bodies(size int) map[string][]byte {
	fill := func(line string) []byte {
		return []byte(strings.Repeat(line, size/len(line)+1)[:size/len(line)*len(line)])
	}
	return map[string][]byte{
		"base64": fill(strings.Repeat("QUJDREVGR0g+", 6) + "abcd\r\n"),
		"prose":  fill("The quick brown fox jumps over the lazy dog, and the dog does not mind it.\r\n"),
		"html":   fill("        <td class=\"x\">  Text of a <b>cell</b>,   as tools write it</td> \r\n"),
	}
}

func BenchmarkCanonicalizer(b *testing.B) {
	for _, kind := range []string{"base64", "prose", "html"} {
		body := bodies(1 << 20)[kind]
		for _, relax := range []bool{true, false} {
			b.Run(fmt.Sprintf("%s/relaxed=%v", kind, relax), func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for range b.N {
					hashed(relax, body, nil, func(int) int { return 64 << 10 })
				}
			})
		}
		b.Run(kind+"/sha256", func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for range b.N {
				sha256.Sum256(body)
			}
		})
	}
}
