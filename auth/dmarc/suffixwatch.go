package dmarc

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// SuffixCheckInterval is how often a SuffixFile looks whether its file has
// changed. The list changes some times a week.
const SuffixCheckInterval = time.Minute

// SuffixFile is a list file that is read again when it changes. A file that
// cannot be read, or is no list, leaves the last good list active. It is safe
// for several goroutines; make it with OpenSuffixes.
type SuffixFile struct {
	path   string
	now    func() time.Time
	report func(error)

	list atomic.Pointer[Suffixes]
	next atomic.Int64 // when to look at the file again, Unix nanoseconds

	mu   sync.Mutex
	seen stamp // of the file last read
	err  error // what is wrong with it
}

// stamp tells one state of a file from another. A list is replaced by rename
// or rewritten; size and time miss only what keeps both.
type stamp struct {
	size    int64
	changed time.Time
	missing bool
}

// OpenSuffixes reads the list at path, as LoadSuffixes does. now is the clock.
// report, which may be nil, is told what became of each change of the file: nil
// when the new list is active, or why it is not. It is called from within
// Current and must not call it.
func OpenSuffixes(path string, now func() time.Time, report func(error)) (*SuffixFile, error) {
	f := &SuffixFile{path: path, now: now, report: report, seen: stampOf(path)}
	list, err := LoadSuffixes(path)
	if err != nil {
		return nil, err
	}
	f.list.Store(&list)
	f.next.Store(now().Add(SuffixCheckInterval).UnixNano())
	return f, nil
}

// Current returns the active list. One list should serve a whole message: two
// might not agree on an Organizational Domain. It looks at the file once each
// SuffixCheckInterval; one caller reads what has changed (some 0.1 s) while the
// others go on with the list they have.
func (f *SuffixFile) Current() Suffixes {
	if f.now().UnixNano() >= f.next.Load() && f.mu.TryLock() {
		f.check()
		f.mu.Unlock()
	}
	return *f.list.Load()
}

// Org asks the current list.
func (f *SuffixFile) Org(domain string) string { return f.Current().Org(domain) }

// Err returns what is wrong with the file as it was last seen; nil when the
// list active is that of the file.
func (f *SuffixFile) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// check reads the file if it is not the one read last.
func (f *SuffixFile) check() {
	f.next.Store(f.now().Add(SuffixCheckInterval).UnixNano())
	// Before reading: a change in between is seen the next time.
	state := stampOf(f.path)
	if state == f.seen && f.err == nil {
		return
	}
	f.seen = state
	list, err := LoadSuffixes(f.path)
	if err == nil {
		f.list.Store(&list)
	} else {
		err = fmt.Errorf("previous list stays active: %w", err)
	}
	// A bad file is tried again each time, and complained of once.
	news := err == nil || f.err == nil || err.Error() != f.err.Error()
	if f.err = err; news && f.report != nil {
		f.report(err)
	}
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{missing: true}
	}
	return stamp{size: info.Size(), changed: info.ModTime()}
}
