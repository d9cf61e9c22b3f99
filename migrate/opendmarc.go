package migrate

import (
	"bytes"
	"strconv"
	"strings"

	"dmarcgate/policy/pattern"
)

// maxOpenDMARCLine is where OpenDMARC cuts a line.
const maxOpenDMARCLine = 1024

// entry is a key of opendmarc.conf with its value.
type entry struct {
	place
	value string
}

// opendmarc is opendmarc.conf on its way.
type opendmarc struct {
	*draft
	keys map[string]entry // by name in lower case; the last of several counts
	root string           // before each path: ChangeRootDirectory and BaseDirectory

	trusted   []pattern.Domain // ARC sealers
	trustedAt place
}

// OpenDMARC reads opendmarc.conf, of OpenDMARC 1.4 or of its develop branch.
func OpenDMARC(in Input) Result {
	o := &opendmarc{draft: newDraft(in), keys: make(map[string]entry)}
	o.read()
	for _, k := range opendmarcKeys {
		e, written := o.keys[strings.ToLower(k.name)]
		switch {
		case written && k.take != nil:
			k.take(o, e)
		case written && k.note != "":
			o.note(e.place, "%s", k.note)
		case written && k.lost != "":
			if !k.flag || isTrue(e.value) {
				o.warn(e.place, "%s", k.lost)
			}
		case !written && k.absent != "":
			o.warn(o.key(k.name), "not set: %s", k.absent)
		}
	}
	o.suffixes()
	o.sealers(o.trustedAt, o.trusted)
	o.actions()
	return o.finish()
}

// read reads the lines as OpenDMARC does: "#" begins a comment anywhere, a key has its
// value behind blanks, names of keys have no case.
func (o *opendmarc) read() {
	n, unknown := 0, 0
	for line := range bytes.Lines(o.in.Text) {
		n++
		if len(line) > maxOpenDMARCLine {
			o.warn(place{o.in.Name, n, "line"}, "cut after %d bytes, as OpenDMARC does", maxOpenDMARCLine)
			line = line[:maxOpenDMARCLine]
		}
		text, _, _ := strings.Cut(string(line), "#")
		name, value, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(text, "\t", " ")), " ")
		if name == "" {
			continue
		}
		if len(o.keys)+unknown >= maxKeys {
			o.warn(place{o.in.Name, n, "line"}, "this line and those behind it are left out: an import reads %d keys", maxKeys)
			return
		}
		e := entry{place{o.in.Name, n, name}, strings.TrimSpace(value)}
		known := nearestKey(name)
		if known != strings.ToLower(name) {
			unknown++
			if known != "" {
				o.warn(e.place, "unknown to this import and left out; did you mean %s?", known)
			} else {
				o.warn(e.place, "unknown to this import and left out")
			}
			continue
		}
		if old, twice := o.keys[known]; twice {
			o.note(old.place, "left out: line %d sets the key again, and the last value counts", n)
		}
		o.keys[known] = e
	}
}

// nearestKey is the name in lower case of a key that is known, or of the nearest one.
func nearestKey(name string) string {
	var all []string
	for _, k := range opendmarcKeys {
		if strings.EqualFold(k.name, name) {
			return strings.ToLower(k.name)
		}
		all = append(all, k.name)
	}
	return pattern.Nearest(name, all)
}

// isTrue is how OpenDMARC reads a flag: by its first letter.
func isTrue(value string) bool {
	return value != "" && strings.ContainsRune("TtYy1", rune(value[0]))
}

// flag reads the value of a key that may not be written.
func (o *opendmarc) flag(name string) (entry, bool) {
	e, written := o.keys[strings.ToLower(name)]
	return e, written && isTrue(e.value)
}

// path resolves a path of the configuration.
func (o *opendmarc) path(name string) string { return below(o.root, name) }

// actions sets what is done with mail that fails.
func (o *opendmarc) actions() {
	hold, holds := o.flag("HoldQuarantinedMessages")
	reject, rejects := o.flag("RejectFailures")
	switch {
	case rejects:
		o.set(reject.place, "listener", "profile", `"strict"`)
		o.warn(reject.place, `becomes profile = "strict", which refuses what OpenDMARC refuses, and mail from lists and forwarders with it; "conformant" refuses only mail that is known to be forged. `+
			`Set profile = "monitor" for the first days, and compare by "dmarcgate what-if --profile strict"`)
		if !holds {
			o.warn(o.key("HoldQuarantinedMessages"), `not set: OpenDMARC delivers mail under p=quarantine without a mark; here the field of [header] tag marks it (quarantine = "tag")`)
		}
	case holds:
		o.warn(hold.place, `becomes quarantine = "hold" under profile = "monitor", so nothing is held yet: OpenDMARC 1.4 holds nothing without RejectFailures, the develop branch does. `+
			`Profile "strict" would refuse p=reject as well`)
	default:
		o.note(o.key("RejectFailures"), `not set: OpenDMARC enforces nothing, and neither does profile = "monitor"`)
	}
	if holds {
		o.set(hold.place, "listener", "quarantine", `"hold"`)
	}
	for _, name := range []string{"RequiredHeaders", "RequiredFrom"} {
		if required, is := o.flag(name); is && !rejects {
			o.warn(required.place, `profile = "monitor" refuses nothing, so [from] has no effect before another profile is set`)
		}
	}
}

// number reads a number of a key, or tells that there is none.
func (o *opendmarc) number(e entry) (int, bool) {
	n, err := strconv.Atoi(e.value)
	if err != nil || n < 0 {
		o.warn(e.place, "left out: %s is no number", printable(e.value))
		return 0, false
	}
	return n, true
}
