package dkim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// sluggish notes in which order keys are queried for, and answers when it is
// told to, one at a time.
type sluggish struct {
	mu      sync.Mutex
	queried []string
	at      chan string   // the name that is queried for
	more    chan struct{} // lets one go
}

func newSluggish() *sluggish { return &sluggish{at: make(chan string), more: make(chan struct{})} }

func (s *sluggish) TXT(ctx context.Context, name string) ([]string, error) {
	selector, _, _ := strings.Cut(name, ".")
	s.mu.Lock()
	s.queried = append(s.queried, selector)
	s.mu.Unlock()
	select {
	case s.at <- selector:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case <-s.more:
	case <-ctx.Done():
	}
	return nil, ctx.Err()
}

// manySigned is a header with signatures of domains, by selectors s0, s1, …
func manySigned(domains ...string) string {
	var b strings.Builder
	for i, d := range domains {
		fmt.Fprintf(&b, "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=%s; s=s%d; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n", d, i)
	}
	return b.String() + letter
}

func TestStartFetchesFewKeysAtOnceThoseThatMayAlignFirst(t *testing.T) {
	unrelated := slices.Repeat([]string{"stranger.example"}, 6)
	near, far := newSluggish(), newSluggish()
	run := Start(t.Context(), near, headerOf(manySigned(append(unrelated, "example.com", "mail.example.com")...)), Options{
		Authors:   []string{"example.com"},
		MayAlign:  func(d string) bool { return strings.HasSuffix(d, "example.com") },
		Unrelated: far,
	})
	first := []string{<-near.at, <-near.at, <-far.at, <-far.at}
	slices.Sort(first)
	if want := []string{"s0", "s1", "s6", "s7"}; !slices.Equal(first, want) {
		t.Errorf("first keys = %q; want those of the author and two more", first)
	}
	near.mu.Lock()
	far.mu.Lock()
	if n := len(near.queried) + len(far.queried); n != maxFetched {
		t.Errorf("lookups at once = %d; want %d", n, maxFetched)
	}
	far.mu.Unlock()
	near.mu.Unlock()
	near.more <- struct{}{}
	if got := <-far.at; got != "s2" {
		t.Errorf("the next key is %s; want s2", got)
	}
	close(near.more)
	close(far.more)
	go func() {
		for range far.at {
		}
	}()
	run.Finish()
	close(far.at)
	if len(near.queried) != 2 || len(far.queried) != 6 {
		t.Errorf("keys that may align = %q, of third parties = %q; want 2 and 6", near.queried, far.queried)
	}
}

func TestStartUsesOneResolverWithoutAlignment(t *testing.T) {
	dns := counting{records{own()}, make(chan string, 9)}
	run := Start(context.Background(), dns, headerOf(manySigned("example.com", "stranger.example", "other.example")), Options{})
	run.Finish()
	if len(dns.queried) != 3 {
		t.Errorf("lookups = %d; want 3", len(dns.queried))
	}
}

func TestStartEndsItsLookupsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	dns := newSluggish()
	run := Start(ctx, dns, headerOf(manySigned(slices.Repeat([]string{"example.com"}, 10)...)), Options{})
	<-dns.at
	cancel()
	for _, r := range run.Finish() {
		if r.Status != TempError {
			t.Errorf("result = %+v; want temperror", r)
		}
	}
}
