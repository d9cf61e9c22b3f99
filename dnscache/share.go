package dnscache

import (
	"net/netip"
	"time"
)

const (
	// sharePart is the part of the free places that one message, client or
	// zone may hold while there is pressure, at least one. What one may hold
	// shrinks with what is free, so that those who hold nothing always find a
	// place: of n who take all they can, each holds 1/(sharePart+n) of the
	// places (dynamic thresholds: Choudhury and Hahne, IEEE/ACM Transactions
	// on Networking 6(2), 1998).
	sharePart = 4

	// forgetTime is the time in which half of what an account has used is
	// forgotten.
	forgetTime = holdTime

	// maxAccounts is how many clients and zones are remembered in a class
	// beyond those that hold a place or wait for one. What is forgotten is
	// what they used a short time ago.
	maxAccounts = 10_000
)

// account is what one message, client or zone has of a class. It is guarded by
// scheduler.mu.
type account struct {
	held    int           // places
	waiting int           // lookups in the queue
	used    time.Duration // time of places, forgotten by and by
	tick    int64         // of used, in forgetTimes
}

// idle reports whether nothing is under way.
func (a *account) idle() bool { return a.held == 0 && a.waiting == 0 }

// usedAt returns what is left of used.
func (a *account) usedAt(tick int64) time.Duration {
	return a.used >> min(max(tick-a.tick, 0), 62)
}

// use adds time of a place.
func (a *account) use(d time.Duration, tick int64) {
	a.used, a.tick = a.usedAt(tick)+d, tick
}

// cost orders those who wait: time of places that were had, and a second for
// each that is being had.
func (a *account) cost(tick int64) time.Duration {
	return a.usedAt(tick) + time.Duration(a.held)*time.Second
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

// share returns what one account may have of size places of which free are
// left: everything without pressure, which is when half of them are taken.
func share(size, free int) int {
	if 2*free >= size {
		return size
	}
	return max(1, free/sharePart)
}

// obstacle returns the account of c that has its share already, as have tells,
// or nothing.
func (c charge) obstacle(share int, have func(*account) int) string {
	switch {
	case c.message != nil && have(c.message) >= share:
		return byMessage
	case c.client != nil && have(c.client) >= share:
		return byClient
	case c.zone != nil && have(c.zone) >= share:
		return byZone
	}
	return ""
}

func held(a *account) int    { return a.held }
func waiting(a *account) int { return a.waiting }

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
