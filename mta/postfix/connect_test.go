package postfix

import (
	"os"
	"sync"
	"syscall"
	"testing"
)

// The first thread is taken by one of many goroutines that run at once.
func TestOwnThreadIsNeverTheFirstThread(t *testing.T) {
	for range 50 {
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				ownThread(func() {
					if syscall.Gettid() == os.Getpid() {
						t.Error("a function that changes its user runs in the first thread of the process")
					}
				})
			})
		}
		all.Wait()
	}
}
