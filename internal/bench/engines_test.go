package main

import (
	"bytes"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

func TestBodiesAreWhatTheirNamesSay(t *testing.T) {
	changed := regexp.MustCompile(`[ \t]{2,}|\t|[ \t]+\r\n`)
	for _, k := range kinds {
		var b bytes.Buffer
		k.write(&b, 50<<10, rand.New(rand.NewPCG(1, 1)))
		body := b.Bytes()
		if len(body) < 50<<10 || len(body) > 51<<10 || !bytes.HasSuffix(body, []byte("\r\n")) || bytes.Contains(body, []byte("\r\n\r\n")) {
			t.Errorf("%s: %d bytes that end in %q", k.name, len(body), body[len(body)-20:])
		}
		lines, runs := bytes.Count(body, []byte("\r\n")), len(changed.FindAll(body, -1))
		if k.dense && runs < lines || !k.dense && runs > 0 {
			t.Errorf("%s: %d runs of white space in %d lines that relaxed changes", k.name, runs, lines)
		}
	}
}

func TestEverythingThatIsPromisedHasItsBound(t *testing.T) {
	base64, html := kinds[0], kinds[2]
	for _, tt := range []struct {
		kind   kind
		simple bool
		size   int
		lib    float64
		floor  float64
	}{
		{base64, false, 2 << 10, 1, 0}, {base64, false, 50 << 10, 4, 0}, {base64, false, 1 << 20, 4, 2},
		{base64, true, 2 << 10, 1, 0}, {base64, true, 50 << 10, 2.5, 0}, {base64, true, 1 << 20, 2.5, 1.3},
		{html, false, 50 << 10, 2, 0}, {html, false, 1 << 20, 2, 0}, {html, true, 1 << 20, 2.5, 1.3},
	} {
		got := promised(tt.kind, tt.simple, tt.size)
		if got[0].least != tt.lib || got[1].atMost != tt.floor {
			t.Errorf("promised(%s, %s, %s) = %v, %v; want %v, %v", tt.kind.name, canonName(tt.simple), sizeName(tt.size), got[0].least, got[1].atMost, tt.lib, tt.floor)
		}
	}
}

// The whole, with as little work as can be: every contender comes to the
// result it must have, and the crafted messages do what they are for.
func TestEveryEngineDoesItsWork(t *testing.T) {
	var out, progress strings.Builder
	if err := compareEngines(t.Context(), engineOptions{seed: 1, repeat: 1, sizes: []int{2 << 10, halfSize}, work: 1, long: 4 << 20}, &out, &progress); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"prose, relaxed, 50 KB", "three signatures", "three records", "S1 ", "S7 ", "S5: goroutines left of 50 messages abandoned in mid-body = 0; want 0: ok"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output has no %q:\n%s", want, out.String())
		}
	}
	if strings.Count(out.String(), "want the same: ok") != 2 {
		t.Errorf("memory grows with the body:\n%s", out.String())
	}
}

func TestTheLibraryAndTheEngineRefuseAnotherBody(t *testing.T) {
	s, err := newEngineStage(engineOptions{seed: 1, work: 1})
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.letter(kinds[1], 2<<10, false, 1)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(l.text)
	changed[len(changed)-3] ^= 1
	l = newLetter(changed, 1)
	contenders, err := s.record.contend(l, s.floor)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range contenders[:placeFloor] {
		if c.do() == nil {
			t.Errorf("%s passes a changed body", c.name)
		}
	}
}
