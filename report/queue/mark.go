package queue

import "time"

// Mark is how far this host has come with sending. A host keeps it outside of the
// queue (results/sqlite has it beside the rows), and the queue has it, too: Begin
// raises the one in the queue, and the host writes the other one before the mail
// goes out. So the mark of the queue is never below that of the host, unless
// somebody has put an older queue back.
type Mark struct {
	Attempts int64     // of this host, ever
	Day      time.Time // the latest day that a report of any attempt was about
}

// After reports whether the host has done more than the queue knows.
func (m Mark) After(queue Mark) bool { return m.Attempts > queue.Attempts }

// Restored is what Reconcile found and did.
type Restored struct {
	Older bool // the queue is older than the mark of this host
	Held  int  // reports that are held now
	Days  int  // days that are not planned, up to the day of the mark
}
