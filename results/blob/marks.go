package blob

import (
	"fmt"

	"dmarcgate/policy"
)

// The bits of factsMarks, which every row has: one number takes less room than
// four. What is above them is Facts.Version.
const (
	markIsList = 1 << iota
	markAutomatic
	markTLS
	marksVersion = 3 // the place of its first bit
)

// marks returns the number of factsMarks.
func marks(f *policy.Facts) uint64 {
	n := uint64(f.Version) << marksVersion
	for _, mark := range [...]struct {
		set bool
		bit uint64
	}{{f.IsList, markIsList}, {f.Automatic, markAutomatic}, {f.TLS, markTLS}} {
		if mark.set {
			n |= mark.bit
		}
	}
	return n
}

func (m *message) marks(f *policy.Facts) {
	n := m.number()
	if n>>marksVersion > 0xff {
		m.fail()
	}
	f.Version = uint8(n >> marksVersion)
	f.IsList, f.Automatic, f.TLS = n&markIsList != 0, n&markAutomatic != 0, n&markTLS != 0
}

// settingsDigits is the length of policy.Settings.Sum. As a number it takes
// half of the room.
const settingsDigits = 12

// settings writes Row.Settings.
func (e *Encoder) settings(sum string) {
	if n, ok := sumNumber(sum); ok {
		e.element(rowSettings, n)
	} else {
		e.text(rowSum, sum)
	}
}

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

func (m *message) settings() string {
	n := m.number()
	if n>>(4*settingsDigits) != 0 {
		m.fail()
		return ""
	}
	if m.sum.text == "" || m.sum.number != n {
		m.sum = sum{n, fmt.Sprintf("%0*x", settingsDigits, n)}
	}
	return m.sum.text
}
