// Package migrate turns the configuration of another DMARC filter into settings and
// override rules of dmarcgate: of OpenDMARC, of rspamd and of authentication_milter.
// docs/migrate.md has the table of equivalents.
//
// Text goes in, a Result comes out: nothing is read but by Input.Read, and nothing is
// written. Every key of the other program becomes a setting or a rule, or has a Remark
// that says what becomes of it; none is dropped in silence. Nothing is opened beyond
// what `dmarcgate rules lint` and check-config allow: what they call an error is left
// out, with a Remark.
//
// Limits: MaxFile bytes of a file, maxKeys keys, maxItems items of a list, maxDepth
// levels of nested tables. The text is a stranger's: in settings, rules and remarks it
// is printable, bounded, and quoted where it is a value; a line of a list that cannot
// be read is told by its number alone, so that a file that is no list cannot be made to
// show what it holds.
//
// Failures: none. What cannot be read becomes a Remark.
package migrate

import "time"

// Our limits.
const (
	MaxFile  = 1 << 20 // bytes of each file
	maxKeys  = 5000
	maxItems = 5000
	maxDepth = 20
	maxTold  = 10 // lines that one Remark names
)

// ruleDays is after how many days a rule that accepts mail expires: time to look who
// still needs the rule.
const ruleDays = 180

// Input is the configuration of another program.
type Input struct {
	Name string // of the file, for remarks
	Text []byte
	Now  time.Time
	Host string // name of this host, where a key asks for it

	// Read reads a file that the configuration names, of at most MaxFile bytes. The
	// error is shown; nil reads none.
	Read func(path string) ([]byte, error)
}
