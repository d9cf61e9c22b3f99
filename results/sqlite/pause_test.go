package sqlite

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"dmarcgate/results"
)

// commitTakes is how long a commit takes in these tests, on their own clock.
const commitTakes = 300 * time.Microsecond

// paced is a writer whose commits only take time.
type paced struct {
	*Store
	groups []int // their sizes
}

func newPaced(durability Durability) *paced {
	p := &paced{Store: newStore(Options{Durability: durability, Wait: time.Minute, Queue: 1000})}
	go p.serve(func(group []*op) {
		time.Sleep(commitTakes)
		p.groups = append(p.groups, len(group))
		for _, o := range group {
			close(o.done)
		}
	})
	return p
}

// stop ends the writer and all callers.
func (p *paced) stop() {
	close(p.closing)
	close(p.queue)
	synctest.Wait()
}

// call adds n rows, each so long after the answer to the last one, and returns
// how long each waited.
func (p *paced) call(n int, think time.Duration) (waits []time.Duration) {
	for range n {
		time.Sleep(think)
		begin := time.Now()
		p.Add(results.Row{})
		waits = append(waits, time.Since(begin))
	}
	return waits
}

func TestPauseIsNoneForASingleCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPaced(Ack)
		defer p.stop()
		for i, wait := range p.call(20, 500*time.Microsecond) {
			if wait != commitTakes {
				t.Errorf("row %d waited %v; want the %v of its commit", i, wait, commitTakes)
			}
		}
	})
}

func TestPauseGroupsTheRowsOfManyCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPaced(Ack)
		defer p.stop()
		const callers, each = 10, 100
		begin, left := time.Now(), make(chan []time.Duration, callers)
		for i := range callers {
			go func() { left <- p.call(each, time.Duration(100+20*i)*time.Microsecond) }()
		}
		for range callers {
			<-left
		}
		if n := len(p.groups); n > callers*each/8 {
			t.Errorf("%d rows of %d callers took %d commits; want 8 rows in one or more", callers*each, callers, n)
		}
		// All have come 280 µs after the commit before: none waits for the bound.
		if took, most := time.Since(begin), each*ackPause/4; took > most {
			t.Errorf("%d rows of each took %v; want %v at most", each, took, most)
		}
	})
}

func TestPauseEndsAtItsBoundWhenCallersAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPaced(Ack)
		defer p.stop()
		const callers = 50
		left := make(chan bool, callers)
		for range callers {
			go func() { p.call(5, time.Microsecond); left <- true }()
		}
		for range callers {
			<-left
		}
		if most := slices.Max(p.groups); most < callers/2 {
			t.Fatalf("the largest group has %d rows; want the burst to be known", most)
		}
		waits := p.call(60, 100*time.Microsecond)
		if most := slices.Max(waits); most > ackPause+commitTakes || most < ackPause/2 {
			t.Errorf("the longest wait after the burst is %v; want the bound, %v, and no more than a commit beyond", most, ackPause)
		}
		if last := waits[len(waits)-1]; last != commitTakes {
			t.Errorf("the last row waited %v; want the %v of its commit", last, commitTakes)
		}
	})
}

func TestPauseLetsARareCallerThroughBesideABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPaced(Ack)
		defer p.stop()
		const callers = 30
		stop, left := make(chan bool), make(chan bool, callers)
		for i := range callers {
			go func() {
				defer func() { left <- true }()
				for {
					select {
					case <-stop:
						return
					default:
						p.call(1, time.Duration(i)*50*time.Microsecond)
					}
				}
			}()
		}
		// A row that comes as a commit begins waits for that, a pause and its own.
		for i, wait := range p.call(20, 11*time.Millisecond) {
			if most := ackPause + 2*commitTakes; wait > most {
				t.Errorf("row %d of the rare caller waited %v; want %v at most", i, wait, most)
			}
		}
		close(stop)
		for range callers {
			<-left
		}
	})
}

func TestPauseIsNeverCutShortWhenNoAnswerWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPaced(Async)
		defer p.stop()
		p.call(200, time.Millisecond)
		time.Sleep(asyncPause)
		synctest.Wait()
		if n, most := len(p.groups), 12; n > most {
			t.Errorf("200 rows in 200 ms took %d commits; want %d at most", n, most)
		}
	})
}

func TestPauseExpectsAnEighthFewerAfterASmallGroup(t *testing.T) {
	p := newPause(Ack)
	queue, longAgo := make(chan *op, 100), time.Now().Add(-time.Hour)
	for _, step := range []struct{ group, callers int }{{16, 16}, {1, 14}, {1, 12}, {20, 20}, {1000, 100}} {
		p.rest(queue, longAgo, step.group, nil)
		if p.callers != step.callers {
			t.Errorf("after a group of %d, %d callers are expected; want %d", step.group, p.callers, step.callers)
		}
	}
}
