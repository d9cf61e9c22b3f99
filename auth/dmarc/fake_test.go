package dmarc

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fakeDNS answers from maps and writes down what it was queried. What is in no
// map is not there.
type fakeDNS struct {
	txt     map[string][]string
	fail    map[string]error // for TXT and Exists
	missing map[string]bool  // NXDOMAIN, for Exists
	hang    map[string]bool  // TXT answers only when ctx is done

	mu  sync.Mutex
	log []string // "TXT name" or "EXISTS name"
}

// zone reads lines of a domain and its tags: "example.com p=none" publishes
// "v=DMARC1; p=none" at _dmarc.example.com.
func zone(lines ...string) *fakeDNS {
	f := &fakeDNS{txt: map[string][]string{}, fail: map[string]error{}, missing: map[string]bool{}, hang: map[string]bool{}}
	for _, line := range lines {
		domain, tags, _ := strings.Cut(line, " ")
		f.txt["_dmarc."+domain] = append(f.txt["_dmarc."+domain], "v=DMARC1; "+tags)
	}
	return f
}

// failing makes the lookups of the domains' records fail.
func (f *fakeDNS) failing(err error, domains ...string) *fakeDNS {
	for _, d := range domains {
		f.fail["_dmarc."+d] = err
	}
	return f
}

// failingExists makes the lookup fail by which a name would exist.
func (f *fakeDNS) failingExists(err error, name string) *fakeDNS {
	f.fail[name] = err
	return f
}

// with adds one TXT record, word for word.
func (f *fakeDNS) with(name, txt string) *fakeDNS {
	f.txt[name] = append(f.txt[name], txt)
	return f
}

func (f *fakeDNS) note(question string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, question)
}

func (f *fakeDNS) TXT(ctx context.Context, name string) ([]string, error) {
	f.note("TXT " + name)
	if f.hang[name] {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return f.txt[name], f.fail[name]
}

func (f *fakeDNS) Exists(_ context.Context, name string) (bool, error) {
	f.note("EXISTS " + name)
	return !f.missing[name], f.fail[name]
}

// queried returns the questions since the last call, sorted: a walk asks all its
// names at once.
func (f *fakeDNS) queried() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	log := f.log
	f.log = nil
	slices.Sort(log)
	return log
}

// blamed is a temporary failure that says whose fault it is.
type blamed bool

func (b blamed) Error() string { return "no answer" }
func (b blamed) Ours() bool    { return bool(b) }

const (
	theirs = blamed(false)
	ours   = blamed(true)
)

// pressed is the failure of a lookup that gave way to others.
type pressed struct{ blamed }

func (pressed) Pressure() bool { return true }

var gave = pressed{ours} // which is never ours, whatever it says

var errTimeout = errors.New("timeout")

func find(t *testing.T, dns *fakeDNS, method Method, author string) (*Finder, Discovery) {
	t.Helper()
	f := &Finder{Resolver: dns, Method: method}
	return f, f.Find(t.Context(), author)
}

// walkNames returns the names of a discovery's trace.
func walkNames(d Discovery) []string {
	var names []string
	for _, s := range d.Walk {
		names = append(names, s.Name())
	}
	return names
}
