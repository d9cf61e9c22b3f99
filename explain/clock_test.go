package explain

import (
	"testing"
	"time"
)

func TestClockInShowsTimeOfZone(t *testing.T) {
	at := time.Date(2027, 7, 3, 22, 30, 0, 0, time.UTC)
	for zone, want := range map[string]string{`"Europe/Berlin"`: "00:30, Sunday", `"UTC"`: "22:30, Saturday", `"Nowhere/At all"`: ""} {
		if got := clockIn(zone, at); got != want {
			t.Errorf("clockIn(%s) = %q; want %q", zone, got, want)
		}
	}
}
