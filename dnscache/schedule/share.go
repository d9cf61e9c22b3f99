package schedule

import (
	"net/netip"
	"time"
)

const (
	// sharePart is the part of the free places that one message, client or
	// zone may hold while there is pressure, or one. What one may hold
	// shrinks with what is free, so that those who hold nothing always find a
	// place: of n who take all they can, each holds 1/(sharePart+n) of the
	// places (dynamic thresholds: Choudhury and Hahne, IEEE/ACM Transactions
	// on Networking 6(2), 1998).
	sharePart = 4

	// lossPart and lossPrior say how much must be free for an account whose
	// queries bring nothing: while there is pressure, lossPart times the share
	// of queries that were given up, among all that it sent and lossPrior more.
	// So with one of eight and more it gets nothing, one that never lost a
	// query gets the last place, and in between nobody gains much by asking
	// for what is answered as well.
	lossPart  = 4
	lossPrior = 8 * oneQuery

	// oneQuery is what a query counts when it is new. It is a power of two, so
	// that it takes as many forgetTimes until it is forgotten altogether.
	oneQuery = 16

	// forgetTime is the time in which half of what an account has used, sent
	// and lost is forgotten.
	forgetTime = holdTime

	// maxAccounts is how many clients and zones are remembered in a class
	// beyond those that hold a place or wait for one. What is forgotten is
	// what they used a short time ago.
	maxAccounts = 10_000
)

// account is what one message, client or zone has of a class. It is guarded by
// Scheduler.mu.
type account struct {
	held    int           // places
	waiting int           // lookups in the queue
	used    time.Duration // time of places; this and the next two are forgotten by and by
	sent    int           // queries, in parts of oneQuery
	lost    int           // of them, those given up
	tick    int64         // of used, sent and lost, in forgetTimes
}

// idle reports whether nothing is under way.
func (a *account) idle() bool { return a.held == 0 && a.waiting == 0 }

// age forgets what is to be forgotten.
func (a *account) age(tick int64) {
	n := min(max(tick-a.tick, 0), 62)
	a.used, a.sent, a.lost, a.tick = a.used>>n, a.sent>>n, a.lost>>n, tick
}

// use notes a query that took a place for a time.
func (a *account) use(d time.Duration, lost bool, tick int64) {
	a.age(tick)
	a.used += d
	a.sent += oneQuery
	if lost {
		a.lost += oneQuery
	}
}

// fits reports whether the account may take one more place, of size of which
// free are left. Without pressure, which is when at least half are free, it may.
// Queries under way count as lost, so that who has not proven anything gets one
// place at a time.
func (a *account) fits(size, free int, tick int64) bool {
	if 2*free >= size {
		return true
	}
	a.age(tick)
	lost := a.lost + oneQuery*a.held
	return a.held < max(1, free/sharePart) && free*(a.sent+lossPrior) >= size*lossPart*lost
}

// waits reports whether one more of its lookups may wait in a queue.
func (a *account) waits(size, free int) bool {
	return 2*free >= size || a.waiting < max(1, free/sharePart)
}

// cost orders those who wait: time of places that were had, and a second for
// each that is being had.
func (a *account) cost(tick int64) time.Duration {
	a.age(tick)
	return a.used + time.Duration(a.held)*time.Second
}

// charge is the three accounts of a lookup. They may be nil: the check is then
// left out.
type charge struct {
	class                 Class
	message, client, zone *account
}

func (c charge) each(f func(*account)) {
	for _, a := range [...]*account{c.message, c.client, c.zone} {
		if a != nil {
			f(a)
		}
	}
}

// cost is that of the account that has cost most.
func (c charge) cost(tick int64) time.Duration {
	var most time.Duration
	c.each(func(a *account) { most = max(most, a.cost(tick)) })
	return most
}

// before reports whether a lookup of charge c goes before one of d.
func (c charge) before(d charge, tick int64) bool {
	if c.class != d.class {
		return c.class > d.class
	}
	return c.cost(tick) < d.cost(tick)
}

// Why a lookup has to give way, in metrics.
const (
	byMessage = "message"
	byClient  = "client"
	byZone    = "zone"
	byWindow  = "window" // there is no place for anybody
	byQueue   = "queue"  // nor in the queue
)

// obstacle returns the account of c that does not fit, or nothing.
func (c charge) obstacle(fits func(*account) bool) string {
	switch {
	case c.message != nil && !fits(c.message):
		return byMessage
	case c.client != nil && !fits(c.client):
		return byClient
	case c.zone != nil && !fits(c.zone):
		return byZone
	}
	return ""
}

// book finds the accounts of clients and zones in one class.
type book struct {
	clients map[netip.Prefix]*account
	zones   map[string]*account
}

func newBook() book {
	return book{make(map[netip.Prefix]*account), make(map[string]*account)}
}

// find returns the account of key, made if need be.
func find[K comparable](accounts map[K]*account, key K) *account {
	a := accounts[key]
	if a == nil {
		sweep(accounts)
		a = new(account)
		accounts[key] = a
	}
	return a
}

// sweep makes room for one more account, if there are too many, by taking out
// idle ones. As there are no more lookups under way than maxAccounts, it finds
// some.
func sweep[K comparable](accounts map[K]*account) {
	if len(accounts) < maxAccounts {
		return
	}
	for key, a := range accounts {
		if a.idle() {
			delete(accounts, key)
		}
		if len(accounts) < maxAccounts/2 {
			return
		}
	}
}
