package schedule

import "sync/atomic"

// Server is what the scheduler knows of a server: whether it is down, and how
// many queries it takes. Make it with Scheduler.NewServer.
type Server struct {
	sched *Scheduler
	down  atomic.Bool
	win   window   // this and the next are guarded by Scheduler.mu
	signs evidence // of overflow
}

// NewServer makes a server of which nothing is known but that at most ceiling
// queries may be in flight there.
func (q *Scheduler) NewServer(ceiling int) *Server {
	return &Server{sched: q, win: newWindow(ceiling)}
}

// SetDown says whether the server is passed over. Those who wait for it alone
// wait on: see Scheduler.FailStranded.
func (s *Server) SetDown(down bool) { s.down.Store(down) }

// Down reports whether the server is passed over.
func (s *Server) Down() bool { return s.down.Load() }

func (s *Server) inUse() bool { return !s.down.Load() }

// CheckFailed tells the window about a check query that failed, and reports
// whether it is at one. A server that has answered nothing at all meanwhile is
// taken to be dead.
func (s *Server) CheckFailed(dead bool) (atOne bool) {
	q := s.sched
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	if dead {
		s.win.collapse(now)
	} else {
		s.win.halve(now, 1)
	}
	return s.win.size == 1
}

// CheckAnswered tells the window about a check query that was answered.
func (s *Server) CheckAnswered() {
	q := s.sched
	q.mu.Lock()
	s.win.proved(q.now())
	q.dispatch()
}

// Recovered frees the places of queries given up, as the server has answered the
// same question meanwhile. Places at other servers stay.
func (s *Server) Recovered(list []*Place) {
	if len(list) == 0 {
		return
	}
	q := s.sched
	q.mu.Lock()
	for _, p := range list {
		if p.server == s {
			q.release(p, q.now())
		}
	}
	q.dispatch()
}

// Forgive frees all places of queries given up, as nobody works at them: the
// server was dead, or is none of ours any more.
func (s *Server) Forgive() {
	q := s.sched
	q.mu.Lock()
	now := q.now()
	for _, x := range s.win.waste {
		q.release(x.place, now)
	}
	s.win.waste = nil
	q.dispatch()
}

// Strained reports whether the server overflowed a short time ago, or may well
// overflow now.
func (s *Server) Strained() bool {
	q := s.sched
	q.mu.Lock()
	defer q.mu.Unlock()
	return s.win.strained(q.now())
}

// Load returns how many queries may be in flight at the server, how many are,
// and how many were given up and may be at work there still; these count beside
// those in flight.
func (s *Server) Load() (window, inFlight, givenUp int) {
	q := s.sched
	q.mu.Lock()
	defer q.mu.Unlock()
	q.expire(s, q.now())
	givenUp = s.win.lost[Other] + s.win.lost[Author]
	return s.win.size, s.win.used() - givenUp, givenUp
}
