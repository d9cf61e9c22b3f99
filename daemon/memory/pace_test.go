package memory

import "testing"

func TestGrowthIsLowerWhileMessagesHoldMemory(t *testing.T) {
	const mib = 1 << 20
	for _, tt := range []struct {
		about       string
		live, cache uint64
		want        int
	}{
		{"ordinary work", 5 * mib, 1 * mib, calmPercent},
		{"a full cache, estimated too low", 95 * mib, 64 * mib, calmPercent},
		{"4,000 messages at once", 90 * mib, 1 * mib, busyPercent},
		{"many messages beside a full cache", 150 * mib, 64 * mib, busyPercent},
	} {
		if got := growth(tt.live, tt.cache); got != tt.want {
			t.Errorf("%s: growth(%d MiB, %d MiB) = %d; want %d", tt.about, tt.live/mib, tt.cache/mib, got, tt.want)
		}
	}
}

func TestMemoryIsReturnedAfterBurst(t *testing.T) {
	var b burst
	for _, step := range []struct {
		about        string
		cycles, held uint64
		want         bool
	}{
		{"it begins", 6, 300 << 20, false},
		{"it goes on", 9, 400 << 20, false},
		{"it is over", 9, 400 << 20, true},
		{"memory was returned", 10, 40 << 20, false},
		{"too little was done since", 11, 40 << 20, false},
		{"a quiet host collects now and then", 12, 40 << 20, true},
		{"the next burst", 20, 300 << 20, false},
		{"it ends, with little in use", 20, littleMemory, false},
		{"more is in use, and all is quiet", 21, littleMemory + 1, true},
	} {
		if got := b.over(step.cycles, step.held); got != step.want {
			t.Errorf("%s: over(%d, %d MiB) = %v; want %v", step.about, step.cycles, step.held>>20, got, step.want)
		}
	}
}
