// Package memory keeps the memory of a process small: how far the heap may grow,
// when memory goes back to the kernel, and the limit of the control group. GOGC
// and GOMEMLIMIT in the environment take precedence. The settings belong to the
// Go runtime and apply to the whole process.
package memory

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// calmPercent lets the heap grow to three times what lives. With twice, a
	// message costs some 7 % more of the processor, for 3 MiB.
	calmPercent = 200
	// busyPercent is the same while messages hold much: the memory of a burst
	// counts for more then than the processor.
	busyPercent = 50
	// calmHeap is what lives besides the DNS cache in ordinary work, in bytes:
	// some 5 MiB, with 1,000 idle connections 10. Our choice.
	calmHeap = 16 << 20
)

// growth returns how far the heap may grow beyond what lives, in percent. cache
// is an estimate of the part of it that is the DNS cache, which may be a quarter
// off.
func growth(live, cache uint64) int {
	if live > cache+cache/4+calmHeap {
		return busyPercent
	}
	return calmPercent
}

// Pace sets how far the heap may grow, unless GOGC does, until ctx is
// done: after each collection, by what it found to live. cache returns how much
// the DNS cache holds, in bytes.
func Pace(ctx context.Context, cache func() int64) {
	if os.Getenv("GOGC") != "" { // the operator's choice
		return
	}
	debug.SetGCPercent(calmPercent)
	now := calmPercent
	var collected func(struct{})
	collected = func(struct{}) {
		if ctx.Err() != nil {
			return
		}
		if next := growth(liveHeap(), uint64(cache())); next != now {
			now = next
			debug.SetGCPercent(next)
		}
		runtime.AddCleanup(new([64]byte), collected, struct{}{}) // the next collection finds it unused
	}
	collected(struct{}{})
}

// liveHeap returns what the last collection found to live, in bytes.
func liveHeap() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

const (
	// memoryEvery is how often it is seen whether memory can be given back: after
	// a burst it has gone within two of them. Our choice.
	memoryEvery = 15 * time.Second
	// littleMemory is what the runtime may keep in any case, in bytes: with less
	// there is nothing to be won. It holds some 20 MiB in ordinary work.
	littleMemory = 32 << 20
	// someCycles is how many times garbage was collected since memory was last
	// given back when it is worth while to do so again. By itself the runtime
	// collects every two minutes.
	someCycles = 3
)

// Return gives memory back to the kernel after a burst, until ctx is done.
// The runtime sees that buffers and stacks are free when it next collects
// garbage, which a process without work does every two minutes, and gives it
// back slowly from then on.
func Return(ctx context.Context) {
	tick := time.NewTicker(memoryEvery)
	defer tick.Stop()
	var past burst
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if cycles, held := memoryUse(); past.over(cycles, held) {
			runtime.GC() // what pools hold goes with the second
			debug.FreeOSMemory()
		}
	}
}

// burst tells when much work has come and gone.
type burst struct {
	last     uint64 // cycles when it was last asked
	returned uint64 // cycles when memory was last given back
}

// over reports whether memory is to be given back: the daemon has become quiet,
// and has worked since that was last done. cycles is how often the runtime has
// collected garbage by itself, held what it has of the kernel in bytes.
func (b *burst) over(cycles, held uint64) bool {
	quiet := cycles-b.last <= 1
	b.last = cycles
	if !quiet || cycles-b.returned < someCycles || held <= littleMemory {
		return false
	}
	b.returned = cycles
	return true
}

// memoryUse returns how often the runtime has collected garbage by itself, and
// how much memory it has of the kernel, in bytes.
func memoryUse() (cycles, held uint64) {
	s := []metrics.Sample{{Name: "/gc/cycles/automatic:gc-cycles"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64(), s[1].Value.Uint64() - s[2].Value.Uint64()
}
