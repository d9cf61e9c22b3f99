package sqlite

import (
	"net/netip"
	"time"

	"dmarcgate/results/history"
)

// maxMet is how many senders the writer keeps in memory of those that it has
// noted today: twice that, some 10 MB, before it asks the file again.
const maxMet = 30_000

// sender is an organization and the network that mail of it came from.
type sender struct {
	org string
	net netip.Prefix
}

// netBytes are the bytes of the network in the table.
func (s sender) netBytes() []byte { return s.net.Addr().AsSlice()[:s.net.Bits()/8] }

// meetSQL notes a sender: the first time with everything, on each further day
// the day, and when DMARC passes for the first time.
const meetSQL = `INSERT INTO sender VALUES (?1, ?2, ?3, ?3, ?4, ?5)
	ON CONFLICT DO UPDATE SET last = max(last, excluded.last), passed = max(passed, excluded.passed)`

// met is which senders the file has with the day of today, in two halves of
// which the older is forgotten. It belongs to the writer.
type met struct {
	day            history.Day
	newer, earlier map[sender]bool // whether DMARC passed
}

// known reports whether nothing about the sender is new.
func (m *met) known(s sender, today history.Day, passed bool) bool {
	if today > m.day || today+1 < m.day || m.newer == nil { // mail of yesterday comes until after midnight
		*m = met{day: today, newer: make(map[sender]bool)}
	}
	before, found := m.newer[s]
	if !found {
		before, found = m.earlier[s]
	}
	if found && (before || !passed) {
		return true
	}
	if len(m.newer) >= maxMet {
		m.newer, m.earlier = make(map[sender]bool), m.newer
	}
	m.newer[s] = before || passed
	return false
}

// meetSenders notes the senders of rows that are inserted.
func (s *session) meetSenders(m *met, ops []*op) error {
	for _, o := range ops {
		met, ok := o.row.Sender()
		who := sender{met.Org, met.Net}
		if o.err != nil || !ok || m.known(who, history.DayOf(met.Time), met.Passed) {
			continue
		}
		var pass int64
		if met.Passed {
			pass = 1
		}
		at := met.Time.UTC().Truncate(time.Millisecond).UnixMilli()
		if err := s.exec(s.meet, who.org, who.netBytes(), at, o.seq, pass); err != nil {
			return err
		}
	}
	return nil
}
