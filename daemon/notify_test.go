package daemon

import (
	"testing"
	"time"
)

func TestTheWatchdogIsNotFedWhenALoopStands(t *testing.T) {
	p := &prober{}
	now := time.Now()
	if err := p.alive(now); err != nil {
		t.Errorf("alive() before the first round = %v; want nil", err)
	}
	p.at = now.Add(-time.Hour)
	if err := p.alive(now); err == nil {
		t.Error("alive() an hour after the last round = nil; want an error")
	}
}
