package blob

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"dmarcgate/policy"
	"dmarcgate/results"
)

// The fields of blobs that are not as JSON has them.

// writeNanos writes what Time has beyond the milliseconds of the column.
func writeNanos(e *Encoder, f *facts) {
	e.number(1, uint64(f.Time.Nanosecond()%int(time.Millisecond)))
}

func readNanos(m *message, f *facts) {
	f.Time = f.Time.Add(time.Duration(m.number() % uint64(time.Millisecond)))
}

func timeCell(f *facts) string { return f.Time.UTC().Format("2006-01-02T15:04:05.000Z") }

// writeZone writes the zone of the client's address, which is in the column.
func writeZone(e *Encoder, f *facts) { e.text(3, f.Client.Zone()) }

func readZone(m *message, f *facts) { f.Client = f.Client.WithZone(m.text()) }

func visitZone(f *facts, _ bool, visit visitor) {
	f.Client = f.Client.WithZone(visit(f.Client.Zone(), word))
}

func clientCell(f *facts) string {
	if !f.Client.IsValid() {
		return ""
	}
	return f.Client.String()
}

// The fields of an address.
const (
	addrBytes = 1
	addrZone  = 2
)

func writeRelay(e *Encoder, f *facts) {
	if !f.Relay.IsValid() {
		return
	}
	in := e.open(6)
	e.text(addrBytes, string(f.Relay.WithZone("").AsSlice()))
	e.text(addrZone, f.Relay.Zone())
	e.close(in)
}

func readRelay(m *message, f *facts) {
	var zone string
	for in := m.open(); in.next(); {
		switch in.field {
		case addrBytes:
			f.Relay, _ = netip.AddrFromSlice([]byte(in.text()))
		case addrZone:
			zone = in.text()
		}
	}
	f.Relay = f.Relay.WithZone(zone)
}

func visitRelay(f *facts, _ bool, visit visitor) {
	f.Relay = f.Relay.WithZone(visit(f.Relay.Zone(), word))
}

func visitQueueID(f *facts, _ bool, visit visitor) { f.QueueID = visit(f.QueueID, id) }

// dkimCell is each signature as "result:domain:selector".
func dkimCell(f *facts) string {
	cells := make([]string, len(f.DKIM))
	for i, s := range f.DKIM {
		cells[i] = s.Result + ":" + s.Domain + ":" + s.Selector
	}
	return strings.Join(cells, " ")
}

// shadowCell is each rule in shadow as "rule:action".
func shadowCell(d *decision) string {
	cells := make([]string, len(d.Shadow))
	for i, s := range d.Shadow {
		cells[i] = s.Rule + ":" + s.Action.String()
	}
	return strings.Join(cells, " ")
}

// writeSignedAt writes seconds since 1970, nothing without a time.
func writeSignedAt(e *Encoder, s *policy.DKIM) {
	if !s.SignedAt.IsZero() {
		e.element(11, uint64(s.SignedAt.Unix()))
		e.number(12, uint64(s.SignedAt.Nanosecond()))
	}
}

func readSignedAt(m *message, s *policy.DKIM) {
	s.SignedAt = time.Unix(int64(m.number()), 0).UTC()
}

func readSignedAtNanos(m *message, s *policy.DKIM) {
	s.SignedAt = s.SignedAt.Add(time.Duration(m.number() % uint64(time.Second)))
}

// The bits of the field "version", which every row has: one number takes less room
// than four. What is above them is Facts.Version.
const (
	markIsList = 1 << iota
	markAutomatic
	markTLS
	marksVersion = 3 // the place of its first bit
)

func writeMarks(e *Encoder, f *facts) {
	n := uint64(f.Version) << marksVersion
	for _, mark := range [...]struct {
		set bool
		bit uint64
	}{{f.IsList, markIsList}, {f.Automatic, markAutomatic}, {f.TLS, markTLS}} {
		if mark.set {
			n |= mark.bit
		}
	}
	e.number(20, n)
}

func readMarks(m *message, f *facts) {
	n := m.number()
	if n>>marksVersion > 0xff {
		m.fail()
	}
	f.Version = uint8(n >> marksVersion)
	f.IsList, f.Automatic, f.TLS = n&markIsList != 0, n&markAutomatic != 0, n&markTLS != 0
}

// settingsDigits is the length of sum.Settings of package policy/sum. As a number it takes
// half of the room.
const settingsDigits = 12

// The fields of Row.Settings: as a number, and as any other text.
const (
	settingsNumber = 3
	settingsText   = 4
)

func writeSettings(e *Encoder, r *results.Row) {
	if n, ok := sumNumber(r.Settings); ok {
		e.element(settingsNumber, n)
	} else {
		e.text(settingsText, r.Settings)
	}
}

func visitSettings(r *results.Row, _ bool, visit visitor) { r.Settings = visit(r.Settings, id) }

// sumNumber returns the number that a text of twelve hexadecimal digits stands
// for. Digits in upper case are another text.
func sumNumber(sum string) (n uint64, ok bool) {
	if len(sum) != settingsDigits {
		return 0, false
	}
	for i := range len(sum) {
		switch c := sum[i]; {
		case '0' <= c && c <= '9':
			n = n<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

// sum is a text with its number.
type sum struct {
	number uint64
	text   string // "" before the first
}

func readSettings(m *message, r *results.Row) {
	n := m.number()
	if n>>(4*settingsDigits) != 0 {
		m.fail()
		return
	}
	if m.sum.text == "" || m.sum.number != n {
		m.sum = sum{n, fmt.Sprintf("%0*x", settingsDigits, n)}
	}
	r.Settings = m.sum.text
}
