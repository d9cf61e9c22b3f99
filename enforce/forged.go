package enforce

import (
	"strings"

	"dmarcgate/auth/authres"
	"dmarcgate/message"
	"dmarcgate/milter"
)

const authenticationResults = "Authentication-Results"

// bimiFields tell a mail reader which indicator of a brand to show. Only the
// host that evaluated BIMI may write them, and what comes from outside has to be
// removed (draft-brand-indicators-for-message-identification-14, Sections 5.6
// and 7.8). BIMI-Selector is not one of them: its author is the sender.
var bimiFields = [...]string{"BIMI-Location", "BIMI-Indicator", "BIMI-Logo-Preference"}

// maxDropped bounds what is remembered of the names of the fields beyond the
// limits, in bytes with nameCost for each. Honest mail has some fifty names.
const (
	maxDropped = 64 << 10
	nameCost   = 64
)

// watched is a field name of which some or all from outside are removed.
type watched struct {
	name   string
	kind   string // in the metric
	forged func(message.Field) bool

	seen  int   // fields of this name so far
	nth   []int // those to remove: their places among the fields of this name, from 1
	count int   // those to remove, also when there are too many
}

// Bounds of what is removed from one message, in fields. A message beyond them
// is refused, whatever the profile, the rules and the client are: to leave one
// field would be to show it to a mail reader (RFC 8601, Section 5). Postfix
// searches the header from its top for each removal, so that what a message
// costs grows with the number of fields above those that are removed. At both
// bounds together Postfix takes about a second (docs/flow.md has the
// measurements). Honest mail has none of these fields, or a few.
const (
	// maxRemovals is how many fields are removed.
	maxRemovals = 1000
	// maxSearched is the sum of the places in the header of all that are
	// removed, from 1.
	maxSearched = 10_000_000
)

// forgeries finds the fields that have to be removed from a message. It is shown
// all fields of the header, top first, and keeps maxRemovals places at most.
// What is removed does not depend on where the limits of the header are.
type forgeries struct {
	names    []watched
	place    int  // of the last field that was seen
	count    int  // fields to remove
	searched int  // see maxSearched
	tooMany  bool // beyond the bounds: nothing is removed
}

// forgeries returns what finds the fields that come from outside although only
// we may write them (RFC 8601, Section 5).
func (s *Settings) forgeries() forgeries {
	always := func(message.Field) bool { return true }
	claims := func(f message.Field) bool { return authres.Claims(f.Body(), s.AuthservIDs) }
	names := []watched{
		{name: authenticationResults, kind: "authentication_results", forged: claims},
		{name: s.TagField, kind: "tag", forged: always},
	}
	if s.RemoveBIMI {
		for _, name := range bimiFields {
			names = append(names, watched{name: name, kind: "bimi", forged: always})
		}
	}
	return forgeries{names: names}
}

// see takes in the next field of the header.
func (x *forgeries) see(f message.Field) {
	x.place++
	for i := range x.names {
		w := &x.names[i]
		if !f.Is(w.name) {
			continue
		}
		w.seen++
		if !w.forged(f) {
			return
		}
		x.note(w)
		return
	}
}

// note takes in that the field at hand is to be removed.
func (x *forgeries) note(w *watched) {
	w.count++
	x.count++
	x.searched += x.place
	x.tooMany = x.tooMany || x.count > maxRemovals || x.searched > maxSearched
	if x.tooMany {
		w.nth = nil
		return
	}
	w.nth = append(w.nth, w.seen)
}

// removals returns the edits that remove them: from the last to the first,
// because MTAs renumber the fields that follow a deleted one.
func (x *forgeries) removals() []milter.Edit {
	var edits []milter.Edit
	for _, w := range x.names {
		for i := len(w.nth) - 1; i >= 0; i-- {
			edits = append(edits, milter.DeleteField(w.name, w.nth[i]))
		}
	}
	return edits
}

// overflow is what has to be known of the fields of a header that are beyond the
// limits. It holds none of them.
type overflow struct {
	now     *Snapshot // of the whole message
	forged  forgeries
	dropped names
}

// Overflow implements milter.Handler: it begins with the fields that are kept.
func (g *Gate) Overflow(env *milter.Envelope, header [][]byte) milter.Overflow {
	now := g.Snapshot.Load()
	set := g.named(now.Settings, env)
	o := &overflow{now: now, forged: set.forgeries()}
	for _, raw := range header {
		o.forged.see(message.NewField(raw))
	}
	return o
}

// Field implements milter.Overflow.
func (o *overflow) Field(raw []byte) {
	f := message.NewField(raw)
	o.forged.see(f)
	o.dropped.add(f.Name)
}

// names is a set of field names. When it is full it has every name.
type names struct {
	set  map[string]bool // in lower case
	size int
}

func (n *names) add(name string) {
	name = strings.ToLower(name)
	if n.has(name) {
		return
	}
	if n.size += len(name) + nameCost; n.size > maxDropped {
		n.set = nil
		return
	}
	if n.set == nil {
		n.set = make(map[string]bool)
	}
	n.set[strings.Clone(name)] = true
}

// has reports whether a name, in lower case, is in the set.
func (n *names) has(name string) bool { return n.size > maxDropped || n.set[name] }
