package queuetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"dmarcgate/internal/scale"
	"dmarcgate/report/queue"
	"dmarcgate/report/queue/tables"
)

// The size of a random history. Each seed is one history.
const (
	seeds         = 12
	stepsOfSeed   = 300
	owners        = 3
	reportsOfSeed = 6
)

// random takes steps of several owners in random order, with hosts that die, leases
// that end and commits whose answer is lost, and compares what comes out with a model.
func random(t *testing.T, open func(t *testing.T) Subject) {
	for seed := range uint64(seeds * scale.Of(t)) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			w := newWorld(t, open(t), seed)
			for n := range stepsOfSeed {
				w.step()
				if n%10 == 0 {
					w.watch()
				}
			}
			w.drain()
			w.watch()
			w.check()
		})
	}
}

// world is the model: what every owner believes, and what the other servers have
// got.
type world struct {
	*rig
	rnd    *rand.Rand
	faults *faults
	owners []*owner
	made   int            // owners, ever
	taken  map[string]int // mails that a server has taken, by address
	dates  map[string]time.Time
	ended  map[string]string // states that nothing leads out of, by report or address
}

// owner is one process, and what it believes.
type owner struct {
	name  string
	has   map[string]*work // reports by id
	day   bool             // it has the day, to plan
	tries []try            // attempts that have not been settled
}

type work struct {
	report queue.Report
	until  time.Time // the lease ends not before
}

type try struct {
	attempt queue.Attempt
	report  string
	key     string
}

// faults breaks transactions: before they begin, or after they are committed.
type faults struct {
	tables.Database
	rnd *rand.Rand // nil: no faults
}

var errCut = errors.New("the connection is cut")

func (f *faults) Do(ctx context.Context, do func(tables.Tx) error) error {
	fault := -1
	if f.rnd != nil {
		fault = f.rnd.IntN(20)
	}
	if fault == 0 {
		return errCut
	}
	err := f.Database.Do(ctx, do)
	if fault == 1 {
		return errCut
	}
	return err
}

func newWorld(t *testing.T, s Subject, seed uint64) *world {
	f := &faults{Database: s.Database}
	r := newRig(t, Subject{f, s.Advance, s.Again})
	w := &world{rig: r, rnd: rand.New(rand.NewPCG(seed, 1)), faults: f, taken: map[string]int{}, dates: map[string]time.Time{}, ended: map[string]string{}}
	f.rnd = rand.New(rand.NewPCG(seed, 2))
	for range owners {
		w.owners = append(w.owners, w.newOwner())
	}
	return w
}

func (w *world) newOwner() *owner {
	w.made++
	return &owner{name: fmt.Sprintf("owner%d", w.made), has: map[string]*work{}}
}

// plan0 is what every owner plans: the rows of the day are the same for all.
func (w *world) plan0() queue.Plan {
	var p queue.Plan
	for n := range reportsOfSeed {
		p.Reports = append(p.Reports, w.report(n, "one.example", "two.example"))
	}
	return p
}

// passes reports whether a step went well. An owner lives with faults and with
// losing its work; anything else is wrong.
func (w *world) passes(err error, expected ...error) bool {
	w.t.Helper()
	for _, e := range append(expected, errCut, queue.ErrLost) {
		if errors.Is(err, e) {
			return false
		}
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return true
}

// clock asks the database for the time, which no fault disturbs.
func (w *world) clock() time.Time {
	w.t.Helper()
	now, err := tables.New(w.faults.Database).Now(w.t.Context())
	w.ok(err)
	return now
}

// step is one step of a random owner.
func (w *world) step() {
	o := w.owners[w.rnd.IntN(len(w.owners))]
	switch n := w.rnd.IntN(100); {
	case n < 10:
		w.s.Advance(time.Duration(w.rnd.IntN(int(4 * time.Minute))))
	case n < 17:
		w.s.Advance(queue.Lease)
	case n < 20: // it dies
		w.owners[slices.Index(w.owners, o)] = w.newOwner()
	case n < 26:
		w.planStep(o)
	case n < 48:
		w.takeStep(o)
	case n < 54:
		w.renewStep(o)
	case n < 58:
		w.releaseStep(o)
	case n < 80:
		w.workStep(o)
	default:
		w.settleStep(o)
	}
}

func (w *world) planStep(o *owner) {
	if !o.day {
		_, err := w.CloseDay(w.t.Context(), queue.Run{Day: w.yesterday()})
		if !w.passes(err) {
			return
		}
		_, err = w.TakeDay(w.t.Context(), o.name)
		o.day = w.passes(err, queue.ErrUnknown)
		return
	}
	o.day = false
	result, err := w.Plan(w.t.Context(), o.name, w.yesterday(), w.plan0())
	if w.passes(err) && result.Added != reportsOfSeed {
		w.t.Fatalf("Plan = %+v; want all reports added, since a day is planned once", result)
	}
}

// believe notes that an owner has a report, and checks that no other one has.
func (w *world) believe(o *owner, p queue.Report, from time.Time) {
	w.t.Helper()
	for _, other := range w.owners {
		if other != o && other.has[p.ID] != nil && other.has[p.ID].until.After(w.clock()) {
			w.t.Fatalf("%s and %s both have report %s", o.name, other.name, p.ID)
		}
	}
	o.has[p.ID] = &work{p, from.Add(queue.Lease)}
}

func (w *world) takeStep(o *owner) {
	state := queue.Ready
	if w.rnd.IntN(3) == 0 {
		state = queue.Planned
	}
	now := w.clock()
	taken, err := w.Take(w.t.Context(), o.name, state, 1+w.rnd.IntN(3))
	if !w.passes(err) {
		return
	}
	for _, p := range taken {
		w.believe(o, p, now)
	}
}

func (w *world) renewStep(o *owner) {
	now := w.clock()
	if _, err := w.Renew(w.t.Context(), o.name); !w.passes(err) {
		return
	}
	for id, x := range o.has {
		if x.until.After(now) {
			x.until = now.Add(queue.Lease)
		} else {
			delete(o.has, id) // somebody else may have it
		}
	}
}

// some returns a report that an owner believes to have.
func (w *world) some(o *owner) *work {
	ids := slices.Sorted(maps.Keys(o.has))
	if len(ids) == 0 {
		return nil
	}
	return o.has[ids[w.rnd.IntN(len(ids))]]
}

func (w *world) releaseStep(o *owner) {
	if x := w.some(o); x != nil {
		delete(o.has, x.report.ID)
		w.passes(w.Release(w.t.Context(), o.name, x.report.ID))
	}
}

// workStep renders a report, or begins an attempt and hands the mail over.
func (w *world) workStep(o *owner) {
	x := w.some(o)
	if x == nil {
		return
	}
	if x.report.State == queue.Planned {
		w.passes(w.StoreBody(w.t.Context(), o.name, x.report.ID, body(x.report.ID)))
		delete(o.has, x.report.ID)
		return
	}
	d := x.report.Deliveries[w.rnd.IntN(len(x.report.Deliveries))]
	if w.rnd.IntN(12) == 0 {
		w.endStep(o, x, d)
		return
	}
	now := w.clock()
	limit := new(queue.LimitError)
	a, err := w.Begin(w.t.Context(), o.name, begin(d))
	if errors.As(err, &limit) || !w.passes(err) {
		return
	}
	w.believe(o, x.report, now)
	if date, known := w.dates[d.Key]; known && !date.Equal(a.Date) {
		w.t.Fatalf("date of %s = %v; want %v as before", d.Key, a.Date, date)
	}
	w.dates[d.Key] = a.Date
	o.tries = append(o.tries, try{a, x.report.ID, d.Key})
}

// endStep ends a report or a delivery without a mail, or defers the delivery.
func (w *world) endStep(o *owner, x *work, d queue.Delivery) {
	switch w.rnd.IntN(3) {
	case 0:
		delete(o.has, x.report.ID)
		w.passes(w.End(w.t.Context(), o.name, x.report.ID, queue.Withheld, "min_age"))
	case 1:
		w.passes(w.EndDelivery(w.t.Context(), o.name, d.ID, queue.Outcome{State: queue.Suppressed}))
	default:
		w.passes(w.EndDelivery(w.t.Context(), o.name, d.ID, queue.Outcome{State: queue.Due, NextTry: w.clock().Add(time.Minute)}))
	}
}

// settleStep ends an attempt. The other server may take the mail, and the owner may
// die before it says so.
func (w *world) settleStep(o *owner) {
	if len(o.tries) == 0 {
		return
	}
	x := o.tries[0]
	o.tries = o.tries[1:]
	outcome := sent
	switch w.rnd.IntN(6) {
	case 0:
		outcome = queue.Outcome{State: queue.Due, NextTry: w.clock().Add(time.Minute), Code: 450}
	case 1:
		outcome = queue.Outcome{State: queue.Refused, Code: 550}
	default:
		w.taken[x.key]++
	}
	if w.rnd.IntN(8) == 0 {
		w.owners[slices.Index(w.owners, o)] = w.newOwner()
		return
	}
	for range 3 { // as long as the connection is cut
		err := w.Settle(w.t.Context(), o.name, x.attempt, outcome)
		if !errors.Is(err, errCut) {
			w.passes(err)
			return
		}
	}
}

// drain lets one more owner do what is left, without faults.
func (w *world) drain() {
	w.faults.rnd = nil
	to := inbox{}
	for n := range 6 {
		w.s.Advance(queue.Lease)
		name := fmt.Sprint("last", n)
		w.ok(live(w.t.Context(), w.Queue, &killer{}, name, queue.Run{Day: w.yesterday()}, w.plan0(), to))
	}
	for text, n := range to {
		var id, key string
		if _, err := fmt.Sscan(text, &id, &key); err != nil {
			w.t.Fatal(err)
		}
		w.taken[key] += n
	}
}

// watch checks that what has ended stays as it is. A mail that went out is sent, even
// when its delivery was ended meanwhile.
func (w *world) watch() {
	found, err := tables.New(w.faults.Database).Find(w.t.Context(), queue.Filter{})
	w.ok(err)
	once := func(name, state string, ended bool) {
		sentAfterAll := state == string(queue.Sent) && slices.Contains([]string{string(queue.Suppressed), string(queue.DeliveryHeld)}, w.ended[name])
		if before, known := w.ended[name]; known && before != state && !sentAfterAll {
			w.t.Fatalf("%s was %s, and is %s now", name, before, state)
		}
		if ended {
			w.ended[name] = state
		}
	}
	for _, p := range found {
		once(p.ID, string(p.State), p.State.Ended())
		for _, d := range p.Deliveries {
			once(d.Key, string(d.State), d.State.Ended())
		}
	}
}

// check compares the queue with the model.
func (w *world) check() {
	w.day(queue.RunDone)
	reports := w.all("")
	if len(reports) != reportsOfSeed {
		w.t.Fatalf("%d reports; want %d", len(reports), reportsOfSeed)
	}
	for _, p := range reports {
		if p.State != queue.Done && p.State != queue.Withheld {
			w.t.Errorf("report %s is %s; want done or withheld", p.ID, p.State)
		}
		for _, d := range p.Deliveries {
			n := w.taken[d.Key]
			switch {
			case !d.State.Ended():
				w.t.Errorf("delivery to %s is %s; want that it has ended", d.Key, d.State)
			case d.State == queue.Sent && n == 0:
				w.t.Errorf("delivery to %s is sent, and no server has taken the mail", d.Key)
			case n > 1+d.Suspected:
				w.t.Errorf("%d servers have taken the mail to %s; want at most 1 and %d suspected copies", n, d.Key, d.Suspected)
			}
		}
	}
}
