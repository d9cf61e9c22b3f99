package setup

import (
	"slices"
	"strconv"
	"strings"

	"dmarcgate/mta/postfix"
)

// rewriters are words in the address of milters that change signed parts of a
// message, such as the subject. Behind one of them signatures fail, so the daemon
// goes in front of it.
var rewriters = []string{"mimedefang", "spamass", "amavis", "milter-manager"}

// removers are milters that are known to delete Authentication-Results fields under
// the name of this host, by a word in their address.
var removers = []struct{ word, name string }{
	{"opendkim", "OpenDKIM"}, {":8891", "OpenDKIM"}, {":12301", "OpenDKIM"},
	{"opendmarc", "OpenDMARC"}, {":8893", "OpenDMARC"},
	{"rspamd", "rspamd"}, {":11332", "rspamd"},
}

// rewrites reports whether a milter is known to change what is signed.
func rewrites(m postfix.Milter) bool {
	return slices.ContainsFunc(rewriters, func(w string) bool { return strings.Contains(strings.ToLower(m.Address), w) })
}

// removerName names a milter that is known to delete our field, or is "".
func removerName(m postfix.Milter) string {
	for _, r := range removers {
		if strings.Contains(strings.ToLower(m.Address), r.word) {
			return r.name
		}
	}
	return ""
}

// isOurs reports whether an entry of a list is for the socket of want, also by a
// path that a chrooted smtpd would not find, or for the socket of the packages in
// another place: both sockets of the Debian package lead to one listener, and a
// message that passes twice is recorded twice, with its own results as forged ones.
func isOurs(m, want postfix.Milter, queueDir string) bool {
	if kind, path, _ := strings.Cut(m.Address, ":"); kind == "unix" && strings.HasSuffix("/"+path, "/"+socketName) {
		return true
	}
	_, target, _ := want.Socket(queueDir, false)
	for _, chroot := range []bool{false, true} {
		if _, at, ok := m.Socket(queueDir, chroot); ok && at == target {
			return true
		}
	}
	return false
}

// without is a list of milters without ours.
func without(list []postfix.Milter, want postfix.Milter, queueDir string) []postfix.Milter {
	return slices.DeleteFunc(slices.Clone(list), func(m postfix.Milter) bool { return isOurs(m, want, queueDir) })
}

// placed is a list with our entry at its place: behind every other milter, since
// one behind us may delete our field, but before those at the end that change what
// is signed. The others keep their order and their settings; our entry keeps those
// settings that an administrator has given it and that are no worse (merged).
func placed(list []postfix.Milter, want postfix.Milter, queueDir string) (out []postfix.Milter, why string) {
	want = kept(list, want, queueDir)
	out = without(list, want, queueDir)
	at := len(out)
	for at > 0 && rewrites(out[at-1]) {
		at--
	}
	why = "the daemon checks each message that arrives by SMTP"
	for _, m := range out[:at] {
		if name := removerName(m); name != "" {
			why += "; behind " + name + " (" + m.Address + "), which can delete Authentication-Results fields of milters before it"
		}
	}
	if at < len(out) {
		why += "; before " + out[at].Address + ", which can change signed parts of a message"
	}
	return slices.Insert(out, at, want), why
}

// foremost is a list with our entry before every other milter.
func foremost(list []postfix.Milter, want postfix.Milter, queueDir string) []postfix.Milter {
	return slices.Insert(without(list, want, queueDir), 0, kept(list, want, queueDir))
}

// kept is our entry with the settings that it has in a list, as far as they are no
// worse (merged).
func kept(list []postfix.Milter, want postfix.Milter, queueDir string) postfix.Milter {
	for _, m := range list {
		if isOurs(m, want, queueDir) {
			want.Settings = merged(m.Settings, want.Settings)
		}
	}
	return want
}

// merged keeps the settings of an entry, adds what is missing, sets default_action
// by the profile, the protocol, and raises timeouts that are too short.
func merged(have, want []postfix.Setting) []postfix.Setting {
	out := slices.Clone(have)
	for _, w := range want {
		n := slices.IndexFunc(out, func(s postfix.Setting) bool { return s.Name == w.Name })
		switch {
		case n < 0:
			out = append(out, w)
		case !strings.HasSuffix(w.Name, "_timeout"), seconds(out[n].Value) < seconds(w.Value):
			out[n] = w
		}
	}
	return out
}

// seconds reads a time of Postfix, whose unit is a second unless given. What is
// none is 0.
func seconds(text string) int64 {
	units := map[string]int64{"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
	digits := strings.TrimRight(text, "smhdw")
	n, err := strconv.ParseInt(digits, 10, 32)
	unit, ok := units[text[len(digits):]]
	if err != nil || !ok {
		return 0
	}
	return n * unit
}
