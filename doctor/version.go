package doctor

import (
	"fmt"
	"strconv"
	"strings"

	"dmarcgate/mta/postfix"
	"dmarcgate/term"
)

// release is a version of Postfix. A snapshot has a date in place of a patch.
type release struct{ major, minor, patch, snapshot int }

// versionOf reads mail_version: "3.7.11", "3.12-20260809", "3.11.0-RC1". What
// cannot be read is zero, which is before every version.
func versionOf(text string) (v release) {
	text, after, dash := strings.Cut(text, "-")
	for n, part := range strings.SplitN(text, ".", 3) {
		number, err := strconv.Atoi(part)
		if err != nil {
			return release{}
		}
		*[]*int{&v.major, &v.minor, &v.patch}[n] = number
	}
	if date, err := strconv.Atoi(after); dash && err == nil {
		v.snapshot = date
	}
	return v
}

func (v release) atLeast(major, minor int) bool {
	return v.major > major || v.major == major && v.minor >= minor
}

// fixes are the first releases of each branch with a fix, by minor number of 3.x,
// and the first snapshot of the branch after them.
type fixes struct {
	patch    map[int]int
	snapshot int
}

// has reports whether a release has the fix. A branch that is older than all of
// them has not, a newer one has.
func (f fixes) has(v release) bool {
	if v.snapshot > 0 {
		return v.snapshot >= f.snapshot
	}
	patch, known := f.patch[v.minor]
	if v.major != 3 || !known {
		newest := 0
		for minor := range f.patch {
			newest = max(newest, minor)
		}
		return v.atLeast(3, newest+1)
	}
	return v.patch >= patch
}

// upgrade names the release to go to.
func (f fixes) upgrade(v release) string {
	minor := v.minor
	if _, known := f.patch[minor]; !known {
		for minor = range f.patch {
			break
		}
		for m := range f.patch {
			minor = max(minor, m)
		}
	}
	return fmt.Sprintf("3.%d.%d", minor, f.patch[minor])
}

// The fixes of 2026 in the handling of milters, by the announcements of Postfix
// 3.11.6 (10 August 2026) and 3.11.7 (8 September 2026).
var (
	endOfDataFix  = fixes{map[int]int{5: 27, 6: 20, 7: 22, 8: 20, 9: 14, 10: 13, 11: 6}, 20260809}
	proxyLinesFix = fixes{map[int]int{9: 15, 10: 14, 11: 7}, 20260902}
)

// quirk is a setting that means something else in some versions.
type quirk struct {
	id      string
	applies func(h *Host, v release, o hop) bool
	text    string // %s is the service, %s the version
	fix     func(h *Host, v release, o hop) []Fix
}

func mainLine(o hop, line string) []Fix { return put(o.i.Dir+"/main.cf", "%s", line) }

func upgradeTo(f fixes) func(*Host, release, hop) []Fix {
	return func(_ *Host, v release, _ hop) []Fix {
		return run("apt install --only-upgrade postfix # to %s or later, or a package whose changelog has the fix", f.upgrade(v))
	}
}

var quirks = []quirk{
	{
		id: "shutdown_unknown",
		applies: func(_ *Host, v release, o hop) bool {
			return !v.atLeast(3, 11) && o.value("default_action", "milter_default_action") == "shutdown"
		},
		text: "%s has the default action shutdown, which Postfix %s does not know: it exists since 3.11",
		fix:  func(_ *Host, _ release, o hop) []Fix { return o.change("default_action", "tempfail") },
	},
	{
		id: "tempfail_session",
		applies: func(h *Host, v release, o hop) bool {
			return v.atLeast(3, 11) && h.enforcing(o.listener) && o.value("default_action", "milter_default_action") == "tempfail"
		},
		text: "%s has the default action tempfail: after one failure, all messages of the SMTP session are deferred; Postfix %s has shutdown, which ends the session instead, and takes it by default",
		fix:  func(_ *Host, _ release, o hop) []Fix { return o.change("default_action", "shutdown") },
	},
	{
		id: "header_end",
		applies: func(_ *Host, v release, o hop) bool {
			value, set := o.i.Set["non_empty_end_of_header_action"]
			return v.atLeast(3, 11) && set && value != "fix_quietly"
		},
		text: "%s, Postfix %s: non_empty_end_of_header_action applies to a message whose header does not end with an empty line: reject refuses it before dmarcgate has a row of it, add_header puts a field MIME-Error into it",
		fix: func(_ *Host, _ release, o hop) []Fix {
			return mainLine(o, "non_empty_end_of_header_action = fix_quietly")
		},
	},
	{
		id: "tls_macros",
		applies: func(_ *Host, v release, o hop) bool {
			macros := o.i.Values["milter_end_of_header_macros"] + " " + o.i.Values["milter_end_of_data_macros"]
			return v.atLeast(3, 12) && (strings.Contains(macros, "{tls_version}") || strings.Contains(macros, "{cipher}"))
		},
		text: "%s, Postfix %s: macros about TLS are empty at the end of the header and of the message since 3.12; dmarcgate asks for them at HELO and MAIL, and other milters may miss them",
		fix: func(_ *Host, _ release, o hop) []Fix {
			return mainLine(o, "milter_mail_macros = "+o.i.Values["milter_mail_macros"]+" {tls_version}")
		},
	},
	{
		id: "end_of_data_state",
		applies: func(_ *Host, v release, o hop) bool {
			return o.i.Value(o.s, "smtpd_end_of_data_restrictions") != "" && !endOfDataFix.has(v)
		},
		text: "%s has smtpd_end_of_data_restrictions, and Postfix %s forgets to reset the envelope when they refuse a message: a client can send a second message without MAIL FROM, and milters that accepted the first by its envelope do not see it",
		fix:  upgradeTo(endOfDataFix),
	},
	{
		id: "proxy_smuggling",
		applies: func(_ *Host, v release, o hop) bool {
			return v.atLeast(3, 9) && !proxyLinesFix.has(v) && usesProxy(o.i)
		},
		text: "%s: with smtpd_proxy_filter, a client can smuggle a second message past Postfix %s in a first one (stray CR characters)",
		fix:  upgradeTo(proxyLinesFix),
	},
}

func usesProxy(i *postfix.Instance) bool {
	for _, s := range i.Smtpd() {
		if i.Value(s, "smtpd_proxy_filter") != "" {
			return true
		}
	}
	return false
}

// version looks for settings that mean something else in this version.
func (h *Host) version(r *report, m mta) {
	v := versionOf(m.Version())
	if v.major == 0 {
		return
	}
	for _, q := range quirks {
		for _, o := range m.hops {
			if q.applies(h, v, o) {
				r.add(q.id, q.fix(h, v, o), q.text, o.s.ID(), term.Printable(m.Version()))
				break
			}
		}
	}
}
