package message

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"dmarcgate/internal/receivedtest"
)

// generated is how many fields the property is tried with; DMARCGATE_SCALE
// multiplies it.
func generated(t *testing.T) int {
	t.Helper()
	const base = 2000
	text := os.Getenv("DMARCGATE_SCALE")
	if text == "" {
		return base
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("DMARCGATE_SCALE = %q; want a whole number from 1 up", text)
	}
	return n * base
}

func TestParseReceivedReadsWhatTheServerWroteWhateverTheClientSays(t *testing.T) {
	m := receivedtest.Maker{Rand: rand.New(rand.NewPCG(5321, 3848)), By: "relay.receiver.example"}
	for i := range generated(t) {
		server, raw, want := m.Field()
		got, ok := ParseReceived(NewField(raw))
		if !ok || receivedtest.Want(got) != want {
			t.Fatalf("field %d, of %s\n%q\n= %+v, %v; want %+v", i, server, raw, got, ok, want)
		}
	}
}
