package daemon

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/results"
)

// load is spoofed messages on many connections.
type load struct {
	t        *testing.T
	d        *Daemon
	check    func(miltertest.Result, results.Row) error
	stop     atomic.Bool
	sent     atomic.Int64
	answered chan struct{} // so that there are messages between two changes
	wg       sync.WaitGroup
}

// startLoad sends messages to a daemon until end. Each must have one row, and be
// as check says.
func startLoad(t *testing.T, d *Daemon, connections int, check func(miltertest.Result, results.Row) error) *load {
	t.Helper()
	l := &load{t: t, d: d, check: check, answered: make(chan struct{}, 1)}
	t.Cleanup(func() { l.end() })
	for c := range connections {
		l.wg.Go(func() {
			if err := l.send(c); err != nil {
				t.Error(err)
			}
		})
	}
	return l
}

// send sends messages on one connection.
func (l *load) send(connection int) error {
	client, err := miltertest.Dial(l.d.Listeners()[0].Addr(), miltertest.Options{})
	if err != nil {
		return err
	}
	defer client.Close()
	for i := 0; !l.stop.Load(); i++ {
		qid := fmt.Sprintf("4X%dy%d", connection, i)
		res, err := client.Send(daemontest.SpoofedMail(qid))
		if err != nil {
			return fmt.Errorf("message %s: %w", qid, err)
		}
		rows, err := l.d.Store().ByQueueID(context.Background(), qid)
		if err != nil || len(rows) != 1 {
			return fmt.Errorf("message %s has %d rows, %v; want one", qid, len(rows), err)
		}
		if err := l.check(res, rows[0]); err != nil {
			return fmt.Errorf("message %s: reply %+v with decision %+v: %w", qid, res, rows[0].Decision, err)
		}
		l.sent.Add(1)
		select {
		case l.answered <- struct{}{}:
		default:
		}
	}
	return nil
}

// waitForOne waits until a message is answered.
func (l *load) waitForOne(after string) {
	l.t.Helper()
	select {
	case <-l.answered:
	case <-time.After(20 * time.Second):
		l.t.Fatalf("no message was answered for 20 s after %s", after)
	}
}

// end stops sending and returns how many messages were answered.
func (l *load) end() int64 {
	l.stop.Store(true)
	l.wg.Wait()
	return l.sent.Load()
}
