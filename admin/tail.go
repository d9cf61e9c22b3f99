package admin

import (
	"net/netip"
	"slices"
	"sync"

	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/scope"
)

const (
	// maxTails is how many listeners to live decisions there may be at once.
	maxTails = 16
	// tailBuffer is how many rows wait for a slow one before rows are left
	// out for it: mail does not wait for a terminal.
	tailBuffer = 1000
)

// Tail hands live decisions to whoever listens. The zero value is ready.
type Tail struct {
	mu   sync.RWMutex // guards subs
	subs map[*subscriber]struct{}
}

type subscriber struct {
	filter Filter
	rows   chan results.Row
}

// Publish shows a row to the listeners. It never waits.
func (t *Tail) Publish(r results.Row) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for s := range t.subs {
		if !s.filter.matches(r) {
			continue
		}
		select {
		case s.rows <- r:
		default:
		}
	}
}

// subscribe returns the rows from now on, until cancel is called; nil when
// there are too many listeners.
func (t *Tail) subscribe(f Filter) (rows <-chan results.Row, cancel func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.subs) >= maxTails {
		return nil, nil
	}
	s := &subscriber{filter: f, rows: make(chan results.Row, tailBuffer)}
	if t.subs == nil {
		t.subs = make(map[*subscriber]struct{})
	}
	t.subs[s] = struct{}{}
	return s.rows, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.subs, s)
	}
}

// Filter chooses rows; a field that is empty chooses all.
type Filter struct {
	Listener string
	Domain   string       // an author domain, or one above it
	Client   netip.Prefix // invalid chooses all
	Result   string       // DMARC result of an author domain
	Action   string       // action of the decision
	Rule     string       // id of the rule that decided
}

func (f Filter) matches(r results.Row) bool {
	return is(f.Listener, r.Facts.Listener) &&
		is(f.Action, r.Decision.Action.String()) &&
		is(f.Rule, r.Decision.Rule) &&
		(!f.Client.IsValid() || f.Client.Contains(r.Facts.Client)) &&
		f.matchesAuthor(r.Facts)
}

func is(want, got string) bool { return want == "" || want == got }

func (f Filter) matchesAuthor(facts policy.Facts) bool {
	if f.Domain == "" && f.Result == "" {
		return true
	}
	return slices.ContainsFunc(facts.Authors, func(a policy.Author) bool {
		return (f.Domain == "" || scope.AtOrBelow(a.Domain, f.Domain)) && is(f.Result, a.Verdict.Status.String())
	})
}
