package milter

import (
	"sync"
	"time"
)

// progress keeps the MTA waiting with SMFIR_PROGRESS while the goroutine of the
// session is in the handler: Postfix and Sendmail begin their wait anew with
// each. When one cannot be written the MTA is gone: the message is cancelled,
// and waited for all the same.
type progress struct {
	session *session
	timer   *time.Timer

	mu   sync.Mutex // held while one is written
	over bool
	err  error
}

func (s *session) keepWaiting() *progress {
	p := &progress{session: s}
	p.mu.Lock() // the timer may fire before it is known
	defer p.mu.Unlock()
	p.timer = time.AfterFunc(s.srv.progressEvery(), p.tell)
	return p
}

// tell writes one at once. Nothing else waits to be written: what came before
// end of message was answered before that was read, and the edits come after.
func (p *progress) tell() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	s := p.session
	s.conn.frame(ansProgress, nil)
	if p.err = s.conn.flush(); p.err != nil {
		s.msg.cancel()
		return
	}
	p.timer.Reset(s.srv.progressEvery())
}

// stop ends it and returns the error with which a write failed.
func (p *progress) stop() error {
	p.timer.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	return p.err
}
