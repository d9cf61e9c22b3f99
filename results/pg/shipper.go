package pg

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"regexp"
	"sync"
	"time"

	"dmarcgate/metrics"
	"dmarcgate/results"
)

const (
	// firstWait and longestWait bound the time between two attempts to reach
	// the server; it doubles with each that fails.
	firstWait   = 500 * time.Millisecond
	longestWait = 30 * time.Second
	// maxChanges is how often a session begins anew at once, because of what it
	// found and not because of a failure.
	maxChanges = 5
	// idleWait is the time between two looks for rows when there were none.
	idleWait = time.Second
	// beatEvery is how often a host that has nothing to ship says so.
	beatEvery = 10 * time.Second
	// repeatEvery is how often the log is told again of what has not changed.
	repeatEvery = 10 * time.Minute
	// maxSkew is the difference of clocks that the log is told of.
	maxSkew = 30 * time.Second
)

// Options are those of a Shipper.
type Options struct {
	Config
	Place   Place
	Metrics *metrics.Metrics
	Log     *slog.Logger
	Now     func() time.Time // nil is time.Now
	// Elapsed is as in sqlite.Options.
	Elapsed func() time.Duration
	// ShortenIPAfter is as in results.Privacy, for the rows of all hosts; let
	// all say the same.
	ShortenIPAfter time.Duration
}

// State says what a Shipper is at.
type State uint8

// The states.
const (
	Connecting State = iota // the server does not answer, or not yet
	Shipping                // everything goes well
	Refused                 // the store must not be shipped; see Status.Err
	Stopped
)

// String returns the word of status pages.
func (s State) String() string {
	return [...]string{"connecting", "shipping", "refused", "stopped"}[s]
}

// Status is what a Shipper is at, for status pages.
type Status struct {
	State   State
	Since   time.Time // of State
	Err     string    // of the last attempt; "" while all is well
	Waiting results.Waiting
	Shipped int64     // sequence: all rows up to it are in PostgreSQL
	Last    time.Time // of the last batch; zero before the first
	Rows    int64     // shipped by this process
	Aside   int64     // rows that PostgreSQL did not take
	Skew    time.Duration
	Skewed  bool // Skew was measured
	// Uncleaned is how many rows of earlier programs may still hold destinations
	// of DMARC records, of all hosts.
	Uncleaned int64
}

// Shipper moves the rows of one local store to PostgreSQL.
type Shipper struct {
	Options
	src    Source
	name   string        // of its sessions, for the server's own tables
	stop   chan struct{} // closed by Stop
	adopt  chan struct{} // holds one request of Adopt
	cancel context.CancelFunc
	done   chan struct{}
	once   sync.Once

	// What follows belongs to the goroutine.
	own     mark
	adopted bool // an operator has said that this file is to go on
	met     met
	said    string
	saidAt  time.Time

	// The clock of the server, and what is cut by it: one host whose clock is
	// wrong, or is set meanwhile, must not drop the days of the others.
	serverAt             time.Time // its time, asked for at the start of each turn
	serverWatch          results.ClockWatch
	retention, shortened *results.Pace // nil until they are needed
	cut                  time.Time     // days before it are no longer kept; zero when all are
	shortenCut           time.Time     // addresses before it are shortened

	mu     sync.Mutex // guards what stands below
	status Status
}

// Start starts a Shipper. The error is of the settings alone: whether the
// server answers is a matter of Status.
func Start(src Source, opt Options) (*Shipper, error) {
	if err := opt.Check(); err != nil {
		return nil, err
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Elapsed == nil {
		begun := time.Now()
		opt.Elapsed = func() time.Duration { return time.Since(begun) }
	}
	var id [4]byte
	rand.Read(id[:])
	ctx, cancel := context.WithCancel(context.Background())
	s := &Shipper{
		Options: opt, src: src, name: sessionName(opt.Place.Host, hex.EncodeToString(id[:])),
		stop: make(chan struct{}), adopt: make(chan struct{}, 1), cancel: cancel, done: make(chan struct{}),
	}
	s.status.Since = opt.Now()
	go s.run(ctx)
	return s, nil
}

// sessionName fits the 63 bytes that the server keeps.
func sessionName(host, id string) string {
	const most = 40
	return "dmarcgate " + host[:min(len(host), most)] + " " + id
}

// Stop ships what waits, as long as the server takes it and ctx lasts, and ends
// the Shipper. When the server is away it ends at once: the rows wait in the
// local store.
func (s *Shipper) Stop(ctx context.Context) {
	s.once.Do(func() { close(s.stop) })
	select {
	case <-s.done:
	case <-ctx.Done():
	}
	s.cancel()
	<-s.done
}

// Adopt tells a Shipper that is refused that its file is to go on although it
// is a copy of a store that was shipped from elsewhere: it gets an id of its own
// from the first row on that the two do not share.
func (s *Shipper) Adopt() error {
	if st := s.Status(); st.State != Refused {
		return fmt.Errorf("the store is not refused: its shipper is %v", st.State)
	}
	select {
	case s.adopt <- struct{}{}:
	default: // one that is not yet taken up
	}
	return nil
}

// Status returns what the Shipper is at.
func (s *Shipper) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// run has one session after the other.
func (s *Shipper) run(ctx context.Context) {
	defer close(s.done)
	defer s.set(Stopped, nil)
	for failures, changes := 0, 0; ; failures++ {
		before := s.Status().Last
		err := s.session(ctx)
		if s.Status().Last != before {
			failures, changes = 0, 0
		}
		switch {
		case err == nil || ctx.Err() != nil:
			return
		case errors.Is(err, errOver) && changes < maxChanges:
			s.Log.Debug("restarting shipping of results", "why", err)
			changes++
			continue
		}
		s.failed(err)
		if !s.rest(ctx, pause(failures)) {
			return
		}
	}
}

// pause is the time before the next attempt: it doubles up to longestWait, and
// varies by a half, so that hosts do not come back all at once.
func pause(failures int) time.Duration {
	d := longestWait
	if failures < 10 {
		d = min(firstWait<<failures, longestWait)
	}
	return d/2 + mathrand.N(d/2+1)
}

// rest waits, and reports whether the Shipper is to go on.
func (s *Shipper) rest(ctx context.Context, d time.Duration) bool {
	s.look(ctx)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.adopt:
		s.adopted = true
		return true
	case <-s.stop:
	case <-ctx.Done():
	}
	return false
}

// stopping reports whether Stop was called.
func (s *Shipper) stopping() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// ports are what makes each failure to connect read differently.
var ports = regexp.MustCompile(`[0-9]+`)

// failed notes why a session ended.
func (s *Shipper) failed(err error) {
	state := Connecting
	if errors.Is(err, ErrRefused) || errors.Is(err, ErrSchema) {
		state = Refused
	}
	s.set(state, err)
	s.Metrics.ShipBatch("failed")
	if text := ports.ReplaceAllString(err.Error(), "#"); text != s.said || s.Now().Sub(s.saidAt) >= repeatEvery {
		s.said, s.saidAt = text, s.Now()
		s.Log.Error("cannot ship results to PostgreSQL; rows wait in the local store", "state", state, "err", err)
	}
}

// set changes the state.
func (s *Shipper) set(state State, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state != s.status.State {
		s.status.State, s.status.Since = state, s.Now()
	}
	s.status.Err = ""
	if err != nil {
		s.status.Err = err.Error()
	}
	s.Metrics.ShipState(state == Shipping, state == Refused)
}

// well notes that the server answers and takes rows.
func (s *Shipper) well() {
	s.set(Shipping, nil)
	if s.said != "" {
		s.said = ""
		s.Log.Info("shipping results to PostgreSQL again")
	}
}

// note counts a batch.
func (s *Shipper) note(b batch) {
	s.mu.Lock()
	s.status.Shipped, s.status.Last = b.to, s.Now()
	s.status.Rows += int64(len(b.rows))
	s.status.Aside += int64(len(b.refused))
	s.mu.Unlock()
	s.Metrics.ShipBatch("committed")
	s.Metrics.Shipped(len(b.rows))
}

// look notes what waits in the local store.
func (s *Shipper) look(ctx context.Context) {
	w, err := s.src.Waiting(ctx)
	if err != nil {
		return // the local store tells of its own failures
	}
	s.mu.Lock()
	s.status.Waiting = w
	s.mu.Unlock()
	oldest := w.Oldest
	if w.Rows == 0 {
		oldest = s.Now()
	}
	s.Metrics.Spool(w.Rows, oldest)
}

// skew returns the last measured difference between the host's clock and the
// server's.
func (s *Shipper) skew() time.Duration { return s.Status().Skew }

func (s *Shipper) elapsed() time.Duration { return s.Elapsed() }

// measured notes a difference of the clocks, and tells the log when it has
// become too large, or small again.
func (s *Shipper) measured(skew time.Duration) {
	s.mu.Lock()
	was := s.status.Skew.Abs() > maxSkew
	s.status.Skew, s.status.Skewed = skew, true
	s.mu.Unlock()
	s.Metrics.ClockSkew(skew)
	switch is := skew.Abs() > maxSkew; {
	case is && !was:
		s.Log.Warn("clock of this host differs from the clock of PostgreSQL", "ahead", skew.Round(time.Millisecond))
	case was && !is:
		s.Log.Info("clock of this host agrees with the clock of PostgreSQL again", "ahead", skew.Round(time.Millisecond))
	}
}
