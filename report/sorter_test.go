package report

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

// The keys are in order, each once with its sum, whether they fit in memory or not; and
// beyond the runs that are read at once.
func TestSorterCountsKeysInOrder(t *testing.T) {
	for _, tt := range []struct {
		name       string
		keys, size int
		runs       bool
	}{{"in memory", 1000, 40, false}, {"with runs", 20_000, 100, true}, {"with more runs than are kept", 500, 100_000, true}} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSorter(t.TempDir(), 1)
			defer func() {
				if err := s.close(); err != nil {
					t.Error(err)
				}
			}()
			random, want := rand.New(rand.NewPCG(1, 2)), make(map[string]int64)
			filler := bytes.Repeat([]byte{'x'}, tt.size)
			for range 2 * tt.keys {
				key, n := fmt.Appendf(nil, "%d ", random.IntN(tt.keys)), int64(1+random.IntN(3))
				want[string(key)] += n
				if err := s.add(append(key, filler...), n); err != nil {
					t.Fatal(err)
				}
			}
			if (len(s.runs) > 0) != tt.runs || len(s.runs) > maxRuns {
				t.Fatalf("there are %d runs; want some: %v, and at most %d", len(s.runs), tt.runs, maxRuns)
			}
			for range 2 { // it can be read again
				compareSorted(t, s, want, len(filler))
			}
		})
	}
}

func compareSorted(t *testing.T, s *sorter, want map[string]int64, filler int) {
	t.Helper()
	var got []string
	err := s.each(func(key []byte, n int64) error {
		text := string(key[:len(key)-filler])
		got = append(got, text)
		if n != want[text] {
			t.Errorf("key %q has %d; want %d", text, n, want[text])
		}
		return nil
	})
	if err != nil || !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
		t.Errorf("each gave %d keys, %v; want %d in order", len(got), err, len(want))
	}
}

func TestSorterRefusesAKeyThatNoRecordHas(t *testing.T) {
	s := newSorter(t.TempDir(), 1)
	if err := s.add(make([]byte, maxKeyBytes+1), 1); !errors.Is(err, errKey) {
		t.Errorf("add = %v; want %v", err, errKey)
	}
	if err := s.add(make([]byte, maxKeyBytes), 1); err != nil {
		t.Errorf("add of the longest key = %v", err)
	}
}

func TestSorterNoticesADamagedRun(t *testing.T) {
	for _, damage := range [][]byte{{9, 1, 1, 'a'}, {0, 5, 1, 'a'}, {0}, {0, 0xff, 0xff, 0xff, 0xff, 0x7f, 1}} {
		file, err := os.CreateTemp(t.TempDir(), "run")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Write(damage); err != nil {
			t.Fatal(err)
		}
		s := newSorter("", 1)
		s.runs = []run{{file, int64(len(damage))}}
		if err := s.each(func([]byte, int64) error { return nil }); !errors.Is(err, errRun) {
			t.Errorf("a run of %v = %v; want %v", damage, err, errRun)
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}
}

// No record is longer than the longest key, and a key reads as the record it was made of.
func TestKeyKeepsARecord(t *testing.T) {
	name, text := string(bytes.Repeat([]byte("a"), 253)), string(bytes.Repeat([]byte("b"), MaxText))
	r := Record{Disposition: Reject, HeaderFrom: name, EnvelopeFrom: name, EnvelopeTo: name, Checked: SPF{name, "permerror", text}}
	for range MaxSignatures {
		r.Signatures = append(r.Signatures, Signature{name, name, "permerror", text})
	}
	for range 4 {
		r.Reasons = append(r.Reasons, Reason{"trusted_forwarder", text})
	}
	g := group{domain: name}
	if n := len(appendRecord(g.appendTo(nil), &r)); n > maxKeyBytes {
		t.Errorf("the longest key has %d bytes; want at most %d", n, maxKeyBytes)
	}
}

func FuzzKeyReadsWhatWasWritten(f *testing.F) {
	f.Add(bytes.Repeat([]byte{0}, 30))
	f.Add(append(bytes.Repeat([]byte{1}, 18), 0xff, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, key []byte) {
		var r Record
		if readRecord(key, &r) != nil {
			return
		}
		again := appendRecord(nil, &r)
		var s Record
		if err := readRecord(again, &s); err != nil || fmt.Sprint(r) != fmt.Sprint(s) {
			t.Errorf("%x reads as %+v, and again as %+v, %v", key, r, s, err)
		}
	})
}
