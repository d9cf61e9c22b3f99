// Package history summarizes in memory how each organization has authenticated its
// mail in the last policy.HistoryDays. The summary is bounded, queried for each
// message and updated with each row; a store fills it from its rows at the start.
package history

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
)

// Limits of the history. Senders choose which organizations there are: with a
// wildcard record, the owner of one domain has as many as he likes.
const (
	// maxEstablished is how many organizations are kept that have enough
	// messages to go by. With maxNewcomers it makes 100,000: some 15 MB, twice
	// that when each of them wrote on every day, at most 60 MB.
	maxEstablished = 50_000
	// maxNewcomers is how many others are kept. A flood of new ones pushes out
	// newcomers and never an established one: for each place of those, a sender
	// has to become established, by messages that pass.
	maxNewcomers = 50_000
	// maxPerDay is where counting ends for one organization and one day: what
	// share is signed can be told by then.
	maxPerDay = 1<<16 - 1
)

// History is how many messages were proved to be of each organization, on each
// of the last days. Messages that fail are not counted, since third parties send
// them: one forgery for 99 genuine messages would make the share of signed
// ones too small to go by. What is counted is how an organization authenticates
// its own mail. Those of its hosts that do not at all leave no trace.
type History struct {
	mu          sync.Mutex // guards what stands below
	ready       bool       // everything stored has been counted
	orgs        map[string]*org
	established queue
	newcomers   queue
}

// New returns an empty history; it answers when Finish was called.
func New() *History {
	return &History{orgs: make(map[string]*org), established: queue{most: maxEstablished}, newcomers: queue{most: maxNewcomers}}
}

// Day counts days since 1970 in UTC, up to the year 2149.
type Day uint16

// DayOf returns the day of a time.
func DayOf(t time.Time) Day { return Day(min(max(t.Unix()/86400, 0), 1<<16-1)) }

// expired reports whether d is no longer one of the days that count.
func (d Day) expired(today Day) bool { return int(d)+policy.HistoryDays <= int(today) }

// Finish makes the history one that can be asked.
func (h *History) Finish() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ready = true
}

// Of returns what is known of an organization.
func (h *History) Of(name string, today Day) policy.History {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.orgs[name]
	if o == nil || !h.ready {
		return policy.History{}
	}
	return o.sum(today)
}

// Count adds a message that was answered.
func (h *History) Count(f *policy.Facts) {
	p, today := proofOf(f), DayOf(f.Time)
	if p.org == "" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.orgs[p.org]
	if o == nil {
		o = &org{name: strings.Clone(p.org)} // not with all that it was cut from
		h.orgs[o.name] = o
	} else {
		h.queueOf(o).remove(o)
	}
	o.count(today, p.dkim)
	o.established = o.established || o.sum(today).Messages >= policy.HistoryMessages
	q := h.queueOf(o)
	q.push(o)
	h.trim(q, today)
}

// Uncount takes a message away that was counted and will come again.
func (h *History) Uncount(f *policy.Facts) {
	p := proofOf(f)
	h.mu.Lock()
	defer h.mu.Unlock()
	if o := h.orgs[p.org]; o != nil {
		o.uncount(DayOf(f.Time), p.dkim)
	}
}

// proof is whose message it was proved to be. The zero value proves nothing.
type proof struct {
	org  string // Organizational Domain of the author
	dkim bool   // by an aligned pass of DKIM; otherwise by SPF alone
}

// proofOf returns what a message adds to the history of an organization: only a
// message whose From has one domain, which passed, is one of its messages.
func proofOf(f *policy.Facts) proof {
	oneDomain := (f.FromField == policy.FromOneMailbox || f.FromField == policy.FromSeveralMailboxes) && len(f.Authors) == 1
	if f.Skip != policy.Evaluated || f.HeaderTruncated || !oneDomain || f.Authors[0].Verdict.Status != dmarc.Pass {
		return proof{}
	}
	return proof{org: f.Authors[0].Org, dkim: f.Authors[0].Verdict.AlignedDKIM}
}

func (h *History) queueOf(o *org) *queue {
	if o.established {
		return &h.established
	}
	return &h.newcomers
}

// trim forgets those seen least recently: all beyond the limit, and all
// without a day that counts.
func (h *History) trim(q *queue, today Day) {
	for o := q.oldest; q.len > q.most || o.days[len(o.days)-1].day.expired(today); o = q.oldest {
		q.remove(o)
		delete(h.orgs, o.name)
	}
}

// org is one organization, in one of the queues.
type org struct {
	name         string
	days         []bucket // those with messages, rising; never empty in a queue
	established  bool     // had enough messages once
	older, newer *org
}

// bucket counts the messages of one day.
type bucket struct {
	day            Day
	messages, dkim uint16
}

// bucket returns the place for a day among the days, and whether it is taken.
func (o *org) bucket(d Day) (int, bool) {
	return slices.BinarySearchFunc(o.days, d, func(b bucket, d Day) int { return cmp.Compare(b.day, d) })
}

func (o *org) count(d Day, dkim bool) {
	i, found := o.bucket(d)
	if !found {
		o.days = slices.Insert(o.days, i, bucket{day: d})
	}
	if b := &o.days[i]; b.messages < maxPerDay {
		b.messages++
		if dkim {
			b.dkim++
		}
	}
	o.days = slices.DeleteFunc(o.days, func(b bucket) bool { return b.day.expired(d) })
}

func (o *org) uncount(d Day, dkim bool) {
	i, found := o.bucket(d)
	if !found || o.days[i].messages == 0 {
		return
	}
	o.days[i].messages--
	if dkim && o.days[i].dkim > 0 {
		o.days[i].dkim--
	}
}

func (o *org) sum(today Day) policy.History {
	var h policy.History
	for _, b := range o.days {
		if !b.day.expired(today) {
			h.Messages += int(b.messages)
			h.DKIMPass += int(b.dkim)
		}
	}
	return h
}

// queue holds organizations in the order in which they were seen.
type queue struct {
	newest, oldest *org
	len, most      int
}

func (q *queue) push(o *org) {
	o.older, o.newer = q.newest, nil
	if q.newest != nil {
		q.newest.newer = o
	} else {
		q.oldest = o
	}
	q.newest = o
	q.len++
}

func (q *queue) remove(o *org) {
	if o.newer != nil {
		o.newer.older = o.older
	} else {
		q.newest = o.older
	}
	if o.older != nil {
		o.older.newer = o.newer
	} else {
		q.oldest = o.newer
	}
	o.older, o.newer = nil, nil
	q.len--
}

// Forget forgets organizations.
func (h *History) Forget(meant func(org string) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, o := range h.orgs {
		if meant(name) {
			h.queueOf(o).remove(o)
			delete(h.orgs, name)
		}
	}
}
