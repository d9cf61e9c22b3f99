package main

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"dmarcgate/internal/dnstest"
)

// oneCorpus is made once for all tests, which do not change it.
var oneCorpus = sync.OnceValues(func() (*corpus, error) { return makeCorpus(1, block) })

func testCorpus(t *testing.T) *corpus {
	t.Helper()
	c, err := oneCorpus()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMessagesAreAsTheirPlanSays(t *testing.T) {
	c := testCorpus(t)
	for i, m := range c.mails {
		size, signatures := len(m.body), 0
		for _, f := range m.fields {
			size += len(f.Name) + len(f.Value) + 3
			if f.Name == "DKIM-Signature" {
				signatures++
			}
		}
		if size < m.size-20 || size > m.size+2000 { // signatures come on top
			t.Errorf("message %d has %d bytes; want %d and its signatures", i, size, m.size)
		}
		want := 1
		if m.sign == signTwoRSA {
			want = 2
		}
		if m.fate == spoofed {
			want = 0
		}
		if signatures != want {
			t.Errorf("message %d has %d signatures; want %d", i, signatures, want)
		}
		if err := c.floor.verify(m); err != nil {
			t.Errorf("message %d: %v", i, err)
		}
		if err := c.canon.check(m); err != nil {
			t.Errorf("message %d, canonicalized: %v", i, err)
		}
	}
	if _, err := dnstest.Parse(c.zone); err != nil {
		t.Error(err)
	}
}

func TestTheFloorVerifiesInEarnest(t *testing.T) {
	c := testCorpus(t)
	for _, m := range c.mails {
		if m.fate != direct {
			continue
		}
		changed := *m
		changed.proof.header = append(slices.Clone(m.proof.header), '!')
		if err := c.floor.verify(&changed); err == nil {
			t.Errorf("a changed header of signing %d verifies", m.sign)
		}
	}
}

func TestPrimersHaveEveryDomainKeyAndFateOnce(t *testing.T) {
	c := testCorpus(t)
	type sender struct {
		domain int
		sign   signing
		fate   fate
	}
	want, got := make(map[sender]bool), make(map[sender]int)
	for _, m := range c.mails {
		want[sender{m.domain, m.sign, m.fate}] = true
	}
	for _, session := range c.primers() {
		for _, m := range session {
			got[sender{m.domain, m.sign, m.fate}]++
		}
	}
	if len(want) == len(c.mails) {
		t.Error("no domain, key and fate have two messages; the test proves nothing")
	}
	for s := range want {
		if got[s] != 1 {
			t.Errorf("primers of %+v = %d; want 1", s, got[s])
		}
	}
}

func TestTextHasLinesThatMailMayHave(t *testing.T) {
	for _, size := range []int{2 << 10, 200 << 10} {
		text := string(writeText(plan{size: size}, rand.New(rand.NewPCG(1, 1))))
		for line := range strings.Lines(text) {
			if len(line) > 200 || !strings.HasSuffix(line, "\r\n") {
				t.Fatalf("line %q of a message of %d bytes", line, size)
			}
		}
	}
}
