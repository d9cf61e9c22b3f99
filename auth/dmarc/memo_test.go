package dmarc

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// TestWalksOfOneMessageAskEachNameOnce: two author domains and an identifier of
// each, all at once.
func TestWalksOfOneMessageAskEachNameOnce(t *testing.T) {
	dns := zone("example.com p=reject").failing(theirs, "x.b.example.com")
	f := &Finder{Resolver: dns, Walks: new(Walks)}
	var wg sync.WaitGroup
	for _, author := range []string{"a.example.com", "b.example.com"} {
		wg.Go(func() {
			d := f.Find(t.Context(), author)
			for _, domain := range []string{"x.b.example.com", "b.example.com"} {
				f.Identify(t.Context(), dkim(domain, true), d)
			}
		})
	}
	wg.Wait()
	want := []string{"TXT _dmarc.a.example.com", "TXT _dmarc.b.example.com", "TXT _dmarc.com", "TXT _dmarc.example.com", "TXT _dmarc.x.b.example.com"}
	if got := dns.queried(); !slices.Equal(got, want) {
		t.Errorf("queried %v; want each name once: %v", got, want)
	}
}

func TestWalksServeBothMethods(t *testing.T) {
	dns := zone("example.com p=reject")
	walks := new(Walks)
	for _, m := range []Method{TreeWalk, PSL} {
		f := &Finder{Resolver: dns, Method: m, Walks: walks}
		if d := f.Find(t.Context(), "a.example.com"); d.PolicyDomain != "example.com" {
			t.Errorf("Find by %v = record of %q; want example.com", m, d.PolicyDomain)
		}
	}
	if got := dns.queried(); len(got) != 3 {
		t.Errorf("queried %v; want three names", got)
	}
}

func TestWithoutWalksEachMessageAsksAgain(t *testing.T) {
	dns := zone("example.com p=reject")
	f := &Finder{Resolver: dns}
	f.Find(t.Context(), "example.com")
	f.Find(t.Context(), "example.com")
	if got := dns.queried(); len(got) != 4 {
		t.Errorf("queried %v; want two names, twice", got)
	}
}

// What one walk gave up, because it met a psd=n, another may need.
func TestWalksRepeatCancelledLookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(Walks)
		ctx, giveUp := context.WithCancel(t.Context())
		hang := func(ctx context.Context, domain string) Step {
			<-ctx.Done()
			return Step{Domain: domain, Err: ctx.Err()}
		}
		answer := func(_ context.Context, domain string) Step { return Step{Domain: domain, Others: 1} }
		first, second := make(chan Step, 1), make(chan Step, 1)
		go func() { first <- w.step(ctx, "example.com", hang) }()
		synctest.Wait()
		go func() { second <- w.step(t.Context(), "example.com", answer) }()
		synctest.Wait()
		select {
		case s := <-second:
			t.Fatalf("step = %+v; want it to wait for the lookup under way", s)
		default:
		}
		giveUp()
		if s := <-first; s.Err == nil {
			t.Errorf("the walk that gave up = %+v; want an error", s)
		}
		if s := <-second; s.Err != nil || s.Others != 1 {
			t.Errorf("the other walk = %+v; want its own answer", s)
		}
	})
}

func TestWalksWaitCanBeCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(Walks)
		release := make(chan struct{})
		go w.step(t.Context(), "example.com", func(_ context.Context, domain string) Step {
			<-release
			return Step{Domain: domain}
		})
		synctest.Wait()
		ctx, giveUp := context.WithCancel(t.Context())
		giveUp()
		s := w.step(ctx, "example.com", func(context.Context, string) Step {
			t.Error("queried while a lookup is under way")
			return Step{}
		})
		if s.Err != context.Canceled || s.Domain != "example.com" {
			t.Errorf("step = %+v; want %v", s, context.Canceled)
		}
		close(release)
	})
}

func TestWalksPanicReleasesWaiters(t *testing.T) {
	w := new(Walks)
	func() {
		defer func() { recover() }()
		w.step(t.Context(), "example.com", func(context.Context, string) Step { panic("bug") })
	}()
	s := w.step(t.Context(), "example.com", func(_ context.Context, domain string) Step { return Step{Domain: domain, Others: 2} })
	if s.Others != 2 {
		t.Errorf("step after a panic = %+v; want a new answer", s)
	}
}

// A cache that says "not known" must not be believed for the whole message.
func TestWalksDoNotStoreCacheOnlyAnswers(t *testing.T) {
	empty := zone().failing(theirs, "example.com", "com")
	full := zone("example.com p=reject")
	walks := new(Walks)
	if d := (&Finder{Resolver: empty, Immediate: true, Walks: walks}).Find(t.Context(), "example.com"); d.Err == nil {
		t.Fatalf("Find = %+v; want an error", d)
	}
	if d := (&Finder{Resolver: full, Walks: walks}).Find(t.Context(), "example.com"); d.PolicyDomain != "example.com" {
		t.Errorf("Find = record of %q, %v; want that of example.com", d.PolicyDomain, d.Err)
	}
}

func TestFindWithCacheOnlyResolver(t *testing.T) {
	dns := zone("a.example.com p=none; psd=n", "example.com p=reject")
	for _, author := range []string{"a.example.com", "b.example.com", "x.a.example.com"} {
		at := (&Finder{Resolver: dns, Immediate: true}).Find(t.Context(), author)
		beside := (&Finder{Resolver: dns}).Find(t.Context(), author)
		if at.PolicyDomain != beside.PolicyDomain || at.Org != beside.Org || len(at.Walk) != len(beside.Walk) {
			t.Errorf("Find(%q) at once = %q, %q; want %q, %q", author, at.PolicyDomain, at.Org, beside.PolicyDomain, beside.Org)
		}
	}
}

func TestFindWithCacheOnlyResolverEndsAtStop(t *testing.T) {
	dns := zone("a.example.com p=none; psd=n")
	(&Finder{Resolver: dns, Immediate: true}).Find(t.Context(), "a.example.com")
	if got := dns.queried(); !slices.Equal(got, []string{"TXT _dmarc.a.example.com"}) {
		t.Errorf("queried %v; want the author's name only", got)
	}
}

// slow ends a lookup that was given up only when it is told to.
type slow struct {
	release chan struct{}
}

func (s slow) TXT(ctx context.Context, name string) ([]string, error) {
	if name == "_dmarc.shop.example" {
		return []string{"v=DMARC1; p=reject; psd=n"}, nil // the walk stops here
	}
	<-ctx.Done()
	<-s.release
	return nil, ctx.Err()
}

func (slow) Exists(context.Context, string) (bool, error) { return true, nil }

func TestFindWaitsForEveryLookupItStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := slow{make(chan struct{})}
		over := false
		go func() {
			f := &Finder{Resolver: dns}
			if d := f.Find(context.Background(), "shop.example"); d.PolicyDomain != "shop.example" {
				t.Errorf("Find() = %+v; want the record", d)
			}
			over = true
		}()
		synctest.Wait()
		if over {
			t.Error("Find returned while a lookup of its own was under way")
		}
		close(dns.release)
		synctest.Wait()
		if !over {
			t.Error("Find does not return")
		}
	})
}
