package doctor

import (
	"cmp"
	"maps"
	"slices"

	"dmarcgate/config"
	"dmarcgate/site"
	"dmarcgate/term"
)

// configuration repeats what check-config finds.
func (h *Host) configuration(r *report) {
	for _, c := range h.Checked {
		id := "config"
		if c.Level != site.LevelError {
			id = "config_warning"
		}
		place := cmp.Or(c.File, h.Path)
		var fixes []Fix
		if c.Fix != "" {
			fixes = put(place, "%s", term.Printable(c.Fix))
		}
		text := c.Problem
		text.Fix = ""
		if c.Code == "" {
			r.add(id, fixes, "%s", term.Printable(text.String()))
			continue
		}
		r.add(id, fixes, "%s [%s]", term.Printable(text.String()), c.Code)
	}
}

// daemon looks at the running daemon.
func (h *Host) daemon(r *report) {
	if h.Silence != "" {
		r.add("daemon_down", run("systemctl start dmarcgate"), "the daemon does not answer: %s; the MTA applies its default action to all mail", term.Printable(h.Silence))
	}
	h.control(r)
	s := h.Daemon
	if s == nil {
		return
	}
	if s.Version != h.Program {
		r.add("daemon_old", run("systemctl restart dmarcgate"), "the daemon runs version %s, and the installed program is version %s", term.Printable(s.Version), h.Program)
	}
	switch {
	case s.Failure != "":
		r.add("reload_failed", run("dmarcgate check-config && dmarcgate reload"), "the last reload failed, and the daemon keeps its old settings: %s", term.Printable(s.Failure))
	case h.Changed.After(s.Reloaded):
		r.add("config_not_read", run("dmarcgate reload"), "configuration or rules were changed at %s, after the daemon read them at %s", term.Stamp(h.Changed), term.Stamp(s.Reloaded))
	}
	if len(s.Restart) > 0 {
		r.add("restart_needed", run("systemctl restart dmarcgate"), "changed settings wait for a restart: %s", some(s.Restart))
	}
	if m := s.Monitor; m != nil {
		r.add("suspended", run("dmarcgate monitor --end"), "enforcement is suspended on all listeners until %s", term.Stamp(m.Until))
	}
	for _, l := range s.Listeners {
		if w := l.Warning; w != nil && levels[w.Code] != "" {
			r.add(w.Code, byHand(w.Fix), "listener %s: %s", l.Name, w.Text)
		}
	}
	h.checks(r)
}

// checks repeats the checks of the daemon that nothing else here tells.
func (h *Host) checks(r *report) {
	for _, name := range slices.Sorted(maps.Keys(h.Daemon.Checks)) {
		says := h.Daemon.Checks[name]
		switch {
		case says == "ok":
		case name == "resolver" && !h.downResolvers():
			r.add("dns_failing", run("dmarcgate status"), "the DNS check of the daemon fails: %s", term.Printable(says))
		case name == "connections":
			r.add("connections", put(h.Path, "[limits]\nconnections = %d", 2*h.Config.Limits.Connections), "%s: MTAs wait", term.Printable(says))
		}
	}
}

// control looks at who can give orders to the daemon.
func (h *Host) control(r *report) {
	path := h.Config.Admin.Control
	s, known := h.Sockets[path]
	if known && !s.Missing && s.Closed == "" && len(h.Postfix) > 0 {
		owner := h.Postfix[0].MailOwner()
		fixes := run("gpasswd --delete %s %s", term.ShellWord(owner), term.ShellWord(h.user()))
		if slices.ContainsFunc(h.Config.Listeners, func(l config.Listener) bool { return l.Address.Network == "unix" }) {
			fixes = append(fixes, put(h.Path, "socket_owner = \":%s\"", owner)...)
		}
		r.add("control_open", fixes,
			"the user of Postfix, %s, can use the control socket %s: a fault in the MTA could switch enforcement off and read results; give the milter socket another group than the daemon's", owner, path)
	}
}

// downResolvers reports whether a name server of the daemon is down or refuses.
func (h *Host) downResolvers() bool {
	for _, s := range h.Daemon.DNS.Servers {
		if s.Down || !s.Refusing.IsZero() {
			return true
		}
	}
	return false
}
