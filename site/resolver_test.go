package site

import (
	"testing"

	"dmarcgate/config"
)

// What the configuration says of stale answers reaches the resolver: its zero
// means not at all there, and a default here.
func TestOrNeverTurnsNoStaleAnswersOff(t *testing.T) {
	for d, want := range map[config.Duration]bool{0: true, 1: false} {
		if got := orNever(d) < 0; got != want {
			t.Errorf("orNever(%v) < 0 = %v; want %v", d, got, want)
		}
	}
}
