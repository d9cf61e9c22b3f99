package enforce

import (
	"strings"

	"dmarcgate/auth/authres"
	"dmarcgate/message"
	"dmarcgate/milter"
	"dmarcgate/policy"
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
	count int   // those to remove, also when nth has no room
}

// forgeries finds the fields that have to be removed from a message. It is shown
// all fields of the header, top first, and keeps policy.MaxForged places at
// most. What is removed does not depend on where the limits of the header are.
type forgeries struct {
	names []watched
	count int
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
	for i := range x.names {
		w := &x.names[i]
		if !f.Is(w.name) {
			continue
		}
		w.seen++
		if !w.forged(f) {
			return
		}
		w.count++
		if x.count++; x.count <= policy.MaxForged {
			w.nth = append(w.nth, w.seen)
		}
		return
	}
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
func (g *Gate) Overflow(_ *milter.Envelope, header [][]byte) milter.Overflow {
	now := g.Snapshot.Load()
	o := &overflow{now: now, forged: now.Settings.forgeries()}
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
