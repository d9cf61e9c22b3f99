package enforce

import (
	"sync"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/policy/sampling"
)

// maxDeferrals is how many pairs of author domain and client network are
// remembered: the sender chooses both. When it is reached, any pair is
// forgotten, which costs that sender another round of waiting.
const maxDeferrals = 50_000

// Deferrals remembers since when a sender's broken DNS has been answered with
// tempfail, so that it can end: mail is not deferred for ever, and a lame
// delegation is not a way past the policy. A pair that was not deferred for
// the time that one may be deferred starts anew. A restart forgets. It goes by
// monotonic time, so that a clock that is set neither ends deferrals nor makes
// them longer.
type Deferrals struct {
	// Elapsed is the time since some moment; nil asks the monotonic clock.
	Elapsed func() time.Duration

	mu    sync.Mutex // guards since
	since map[deferral]span
}

type deferral struct{ author, network string }

// span is when a pair was deferred, in monotonic time.
type span struct{ first, last time.Duration }

// begun is when the process began: the monotonic time is that since then.
var begun = time.Now()

func (d *Deferrals) now() time.Duration {
	if d.Elapsed != nil {
		return d.Elapsed()
	}
	return time.Since(begun)
}

// keyOf returns the pair that is waited for: the first author domain whose
// verdict is temperror by its own DNS. A lookup that gave way to others is no
// failure of that.
func keyOf(f policy.Facts) (deferral, bool) {
	for _, a := range f.Authors {
		if a.Verdict.Status == dmarc.TempError && a.Verdict.Cause == dmarc.CauseDomain {
			return deferral{a.Domain, sampling.Network(f.Client)}, true
		}
	}
	return deferral{}, false
}

// age returns how long this message's sender has been deferred; most is how
// long one may be.
func (d *Deferrals) age(f policy.Facts, most time.Duration) time.Duration {
	key, ok := keyOf(f)
	if !ok {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	s, ok := d.since[key]
	if !ok || now-s.last > most {
		return 0
	}
	return now - s.first
}

// note remembers a deferral.
func (d *Deferrals) note(f policy.Facts, decision policy.Decision, most time.Duration) {
	key, ok := keyOf(f)
	if !ok || decision.Action != policy.Tempfail {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	s, ok := d.since[key]
	if !ok || now-s.last > most {
		d.evict()
		s.first = now
	}
	s.last = now
	if d.since == nil {
		d.since = make(map[deferral]span)
	}
	d.since[key] = s
}

func (d *Deferrals) evict() {
	for key := range d.since {
		if len(d.since) < maxDeferrals {
			return
		}
		delete(d.since, key)
	}
}
