package doctor

import (
	"net"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"dmarcgate/config"
	"dmarcgate/mta/postfix"
	"dmarcgate/policy"
	"dmarcgate/term"
)

// hop is a milter of ours in the list of one smtpd.
type hop struct {
	i        *postfix.Instance
	s        postfix.Service
	list     []postfix.Milter
	at       int              // place of our milter in list
	listener *config.Listener // that it leads to
}

func (h hop) milter() postfix.Milter { return h.list[h.at] }

// mta is an instance with its smtpd services.
type mta struct {
	*postfix.Instance
	public []postfix.Service // reached from outside
	inner  []postfix.Service // loopback, behind a filter
	hops   []hop
	broken bool // a list of milters cannot be read
}

// postfix looks at each instance of Postfix, and at what they have in common.
func (h *Host) postfix(r *report) {
	var all []mta
	attached := 0
	for _, i := range h.Postfix {
		m := h.smtpds(r, i)
		all = append(all, m)
		if len(m.hops) > 0 {
			attached++
		}
	}
	for _, m := range all {
		h.attachment(r, m, attached)
		h.twice(r, m)
		for _, o := range m.hops {
			h.socket(r, o)
			h.settings(r, o)
			h.neighbours(r, o)
			h.service(r, m, o)
		}
		if len(m.hops) > 0 {
			h.ways(r, m)
			h.pickup(r, m)
			h.version(r, m)
		}
	}
}

// smtpds sorts the smtpd services of an instance, and finds our milter in their
// lists. The services on loopback are those from outside where there are no
// others: behind a proxy, or in a test.
func (h *Host) smtpds(r *report, i *postfix.Instance) mta {
	m := mta{Instance: i}
	for _, s := range i.Smtpd() {
		switch {
		case submission(i, s):
		case onLoopback(s):
			m.inner = append(m.inner, s)
		default:
			m.public = append(m.public, s)
		}
		list, err := i.Milters(s)
		if err != nil {
			m.broken = true
			r.once("milter_list", put(i.Dir+"/main.cf", "smtpd_milters = %s", h.ourLine()), "Postfix ends with an error at the milters of %s: %s", s.ID(), term.Printable(err.Error()))
		}
		for at, one := range list {
			if l := h.ours(i, s, one); l != nil {
				m.hops = append(m.hops, hop{i, s, list, at, l})
			}
		}
	}
	if len(m.public) == 0 {
		m.public, m.inner = m.inner, nil
	}
	return m
}

// submission tells a service for users of the site from one for the world.
func submission(i *postfix.Instance, s postfix.Service) bool {
	_, port := hostPort(s.Name)
	if slices.Contains([]string{"submission", "submissions", "smtps", "465", "587"}, port) {
		return true
	}
	return i.Value(s, "smtpd_tls_wrappermode") == "yes" || s.Overrides["smtpd_sasl_auth_enable"] == "yes"
}

// hostPort splits the name of a service of type inet.
func hostPort(name string) (host, port string) {
	if at := strings.LastIndexByte(name, ':'); at >= 0 {
		return strings.Trim(name[:at], "[]"), name[at+1:]
	}
	return "", name
}

func onLoopback(s postfix.Service) bool {
	host, _ := hostPort(s.Name)
	a, err := netip.ParseAddr(host)
	return s.Type == "inet" && (host == "localhost" || err == nil && a.IsLoopback())
}

// ours returns the listener that a milter is meant to lead to, nil for the milter
// of another program. Of a listener whose sockets systemd has passed, the address is
// that of the socket.
func (h *Host) ours(i *postfix.Instance, s postfix.Service, m postfix.Milter) *config.Listener {
	network, at, ok := m.Socket(i.QueueDir(), i.Chrooted(s))
	if !ok {
		return nil
	}
	for n := range h.Config.Listeners {
		l := h.Config.Listeners[n]
		sockets := h.sockets(&l, i.QueueDir())
		for _, a := range sockets {
			if sameSocket(network, at, a) {
				l.Address = a
				return &l
			}
		}
		for _, a := range sockets {
			if network == "unix" && h.meant(m, at, a) {
				l.Address = a
				return &l
			}
		}
	}
	return nil
}

// sockets returns where a listener listens, those below a queue directory first: by
// the configuration, or for sockets of systemd by the daemon.
func (h *Host) sockets(l *config.Listener, queueDir string) []config.Address {
	if l.Address.Network != "systemd" || h.Daemon == nil {
		return []config.Address{l.Address}
	}
	var inside, outside []config.Address
	for _, s := range h.Daemon.Listeners {
		for _, text := range s.Sockets {
			network, addr, _ := strings.Cut(text, ":")
			a := config.Address{Network: network, Addr: addr}
			switch {
			case s.Name != l.Name:
			case strings.HasPrefix(addr, path.Clean(queueDir)+"/"):
				inside = append(inside, a)
			default:
				outside = append(outside, a)
			}
		}
	}
	if len(inside)+len(outside) == 0 {
		return []config.Address{l.Address}
	}
	return append(inside, outside...)
}

func sameSocket(network, at string, a config.Address) bool {
	if network != a.Network {
		return false
	}
	if network == "unix" {
		return path.Clean(at) == path.Clean(a.Addr)
	}
	host, port, err := net.SplitHostPort(at)
	ours, ourPort, ourErr := net.SplitHostPort(a.Addr)
	if err != nil || ourErr != nil || port != ourPort {
		return false
	}
	return host == ours || local(host) && (local(ours) || ours == "::" || ours == "0.0.0.0")
}

func local(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// meant tells whether the path of a milter, which leads to none of our sockets,
// was written for one: it is the same path outside of the chroot, has the same
// last two names, or has our name.
func (h *Host) meant(m postfix.Milter, at string, a config.Address) bool {
	_, written, _ := strings.Cut(m.Address, ":")
	if a.Network == "unix" && (path.Clean(written) == path.Clean(a.Addr) || tail(written) == tail(a.Addr)) {
		return true
	}
	return a.Network != "tcp" && strings.Contains(at, "dmarcgate")
}

// tail is the last two names of a path.
func tail(p string) string { return path.Join(path.Base(path.Dir(p)), path.Base(p)) }

// ourLine is the milter for the first listener, as main.cf has it.
func (h *Host) ourLine() string {
	if len(h.Config.Listeners) == 0 {
		return ""
	}
	return h.milterFor(&h.Config.Listeners[0], "/var/spool/postfix").String()
}

// milterFor is a milter that leads to a listener, from within a queue directory
// where that is possible.
func (h *Host) milterFor(l *config.Listener, queueDir string) postfix.Milter {
	address, at := "unix:dmarcgate/milter.sock", h.sockets(l, queueDir)[0]
	switch at.Network {
	case "tcp":
		address = "inet:" + at.Addr
	case "unix":
		address = "unix:" + at.Addr
		if rest, below := strings.CutPrefix(at.Addr, path.Clean(queueDir)+"/"); below {
			address = "unix:" + rest
		}
	}
	action := "tempfail"
	if l.Profile == policy.Monitor {
		action = "accept"
	}
	return postfix.Milter{Address: address, Settings: []postfix.Setting{{Name: "default_action", Value: action}}}
}

// attachment finds an instance whose mail from outside does not come to us.
func (h *Host) attachment(r *report, m mta, attached int) {
	missing := slices.DeleteFunc(slices.Clone(m.public), func(s postfix.Service) bool {
		return slices.ContainsFunc(m.hops, func(o hop) bool { return o.s.ID() == s.ID() })
	})
	if len(missing) == 0 || len(h.Config.Listeners) == 0 || m.broken {
		return
	}
	line := h.milterFor(&h.Config.Listeners[0], m.QueueDir()).String()
	s := missing[0]
	switch {
	case len(m.hops) == 0 && attached > 0:
		r.once("instance_not_attached", put(m.Dir+"/main.cf", "smtpd_milters = %s", line), "the Postfix instance %s does not ask dmarcgate, and another instance does: its mail is not checked", m.Dir)
	case len(m.hops) == 0:
		r.once("not_attached", put(m.Dir+"/main.cf", "smtpd_milters = %s", line), "no smtpd of Postfix (%s) asks dmarcgate: no mail is checked", m.Dir)
	case slices.ContainsFunc(m.hops, func(o hop) bool { return slices.ContainsFunc(m.inner, same(o.s)) }):
		// behind a filter: see ways
	default:
		r.once("not_attached", put(master(m.Instance, s), "-o { smtpd_milters = %s }", line), "the service %s of Postfix takes mail from outside and does not ask dmarcgate: -o in master.cf is stronger than main.cf", s.ID())
	}
}

// twice finds a service whose list leads to the daemon by two entries. Of these a
// path below the queue directory stays, which works in every chroot.
func (h *Host) twice(r *report, m mta) {
	first := map[string]hop{} // by service
	for _, o := range m.hops {
		network, at, _ := o.milter().Socket(o.i.QueueDir(), o.i.Chrooted(o.s))
		if !sameSocket(network, at, o.listener.Address) {
			continue // leads nowhere: see socket
		}
		before, again := first[o.s.ID()]
		if !again {
			first[o.s.ID()] = o
			continue
		}
		drop := o.at
		if strings.HasPrefix(before.milter().Address, "unix:/") {
			drop = before.at
		}
		r.once("asked_twice", o.line(slices.Delete(slices.Clone(o.list), drop, drop+1)),
			"%s asks dmarcgate twice, at %s and at %s: each message is recorded twice, and the second time the results of the first time count as forged", o.s.ID(), term.Printable(before.milter().Address), term.Printable(o.milter().Address))
	}
}

func same(s postfix.Service) func(postfix.Service) bool {
	return func(o postfix.Service) bool { return o.ID() == s.ID() }
}

func master(i *postfix.Instance, s postfix.Service) string {
	return i.Dir + "/master.cf, service " + s.ID()
}

// change is our milter in a list with a setting, as a line of the file that has
// the list.
func (o hop) change(name, value string) []Fix {
	one := o.milter()
	one.Settings = slices.DeleteFunc(slices.Clone(one.Settings), func(s postfix.Setting) bool { return s.Name == name })
	one.Settings = append(one.Settings, postfix.Setting{Name: name, Value: value})
	list := slices.Clone(o.list)
	list[o.at] = one
	return o.line(list)
}

func (o hop) line(list []postfix.Milter) []Fix {
	c := postfix.Change{Name: "smtpd_milters", New: postfix.FormatMilters(list)}
	place := o.i.Dir + "/main.cf"
	if _, own := o.s.Overrides["smtpd_milters"]; own {
		c.Service, place = o.s.ID(), master(o.i, o.s)
	}
	return put(place, "%s", c.String())
}

// socket finds why a milter does not lead to its listener.
func (h *Host) socket(r *report, o hop) {
	network, at, _ := o.milter().Socket(o.i.QueueDir(), o.i.Chrooted(o.s))
	if network != "unix" || o.listener.Address.Network == "tcp" {
		return
	}
	found, known := h.Sockets[at]
	_, written, _ := strings.Cut(o.milter().Address, ":")
	leads := sameSocket(network, at, o.listener.Address) || o.listener.Address.Network == "systemd" && !(known && found.Missing)
	inside := path.Join(o.i.QueueDir(), "dmarcgate/milter.sock")
	switch {
	case !leads && o.i.Chrooted(o.s) && path.IsAbs(written) && at != path.Clean(written):
		fixes := put(h.Path, "address = %q", "unix:"+inside)
		moved := o
		moved.list = slices.Clone(o.list)
		moved.list[o.at].Address = "unix:dmarcgate/milter.sock"
		if rest, below := strings.CutPrefix(o.listener.Address.Addr, path.Clean(o.i.QueueDir())+"/"); below && h.passed(o.listener) {
			fixes, moved.list[o.at].Address = nil, "unix:"+rest
		}
		r.once("socket_chroot", append(fixes, moved.line(moved.list)...),
			"%s runs in the chroot %s and looks for the socket at %s, where there is none; %s is right outside of the chroot only", o.s.ID(), o.i.QueueDir(), at, written)
	case !leads && o.listener.Address.Network == "unix":
		list := slices.Clone(o.list)
		if h.leadsElsewhere(o) {
			list = slices.Delete(list, o.at, o.at+1)
		} else {
			list[o.at].Address = h.milterFor(o.listener, o.i.QueueDir()).Address
		}
		r.once("socket_other", o.line(list), "%s looks for the socket at %s, and listener %s has its socket at %s", o.s.ID(), at, o.listener.Name, o.listener.Address.Addr)
	case known && found.Missing:
		if h.Silence == "" {
			r.once("socket_missing", run("systemctl restart dmarcgate"), "there is no socket at %s, which %s asks for: it was removed under the daemon, or a directory above it was", at, o.s.ID())
		}
	case known && found.Closed != "":
		r.once("socket_closed", h.open(o, at), "the user of Postfix, %s, cannot connect to %s: no permission on %s", o.i.MailOwner(), at, term.Printable(found.Closed))
	}
}

// open lets the user of Postfix connect to a socket. A socket that systemd has
// opened belongs to the user that the socket unit names (systemd.socket(5)), and a
// unit cannot open its sockets again while the daemon has them.
func (h *Host) open(o hop, at string) []Fix {
	if !h.passed(o.listener) {
		return put(h.Path, "socket_owner = \":%s\"", o.i.MailOwner())
	}
	unit := "dmarcgate.socket" // of the package
	if strings.HasPrefix(at, path.Clean(o.i.QueueDir())+"/") {
		unit = "dmarcgate-postfix.socket"
	}
	return append(put("/etc/systemd/system/"+unit+".d/owner.conf", "[Socket]\nSocketUser=%s\nSocketMode=0660", o.i.MailOwner()),
		run("systemctl daemon-reload && systemctl stop dmarcgate.service %[1]s && systemctl start %[1]s dmarcgate.service", unit)...)
}

// passed tells whether systemd opens the sockets of a listener.
func (h *Host) passed(l *config.Listener) bool {
	return slices.ContainsFunc(h.Config.Listeners, func(c config.Listener) bool { return c.Name == l.Name && c.Address.Network == "systemd" })
}

// leadsElsewhere tells whether another milter of the list leads to the listener, so
// that this one is left over.
func (h *Host) leadsElsewhere(o hop) bool {
	for n, m := range o.list {
		network, at, ok := m.Socket(o.i.QueueDir(), o.i.Chrooted(o.s))
		if n != o.at && ok && sameSocket(network, at, o.listener.Address) {
			return true
		}
	}
	return false
}

// settings looks at how Postfix treats our milter.
func (h *Host) settings(r *report, o hop) {
	h.action(r, o)
	h.timeouts(r, o)
	if v := o.value("protocol", "milter_protocol"); v != "" && v != "6" {
		r.once("milter_protocol", o.change("protocol", "6"), "%s speaks version %s of the milter protocol: white space of header fields is lost, which breaks DKIM signatures, and the macros that dmarcgate asks for are not sent", o.s.ID(), term.Printable(v))
	}
	if h.enforcing(o.listener) && o.i.Value(o.s, "soft_bounce") == "yes" {
		r.once("soft_bounce", put(o.i.Dir+"/main.cf", "soft_bounce = no"), "soft_bounce turns each refusal of %s into a 4xx reply: senders try again for days", o.s.ID())
	}
	if id, name := o.listener.AuthservID, o.i.Values["myhostname"]; id != "" && name != "" && !strings.EqualFold(id, name) && !slices.ContainsFunc(h.Config.AuthservIDsAlso, func(s string) bool { return strings.EqualFold(s, name) }) {
		r.once("authserv_id", put(h.Path, "authserv_ids_also = [%q]", name),
			"results are written as %s, and Postfix calls itself %s: filters and mail readers that trust the name of the MTA find nothing; remove authserv_id, or say with authserv_ids_also that both names are meant", id, name)
	}
}

// value is a setting of our milter, or the parameter behind it.
func (o hop) value(setting, parameter string) string {
	if v, ok := o.milter().Setting(setting); ok {
		return v
	}
	return o.i.Value(o.s, parameter)
}

func (h *Host) enforcing(l *config.Listener) bool { return l.Profile != policy.Monitor }

// action compares what Postfix does without us with the profile.
func (h *Host) action(r *report, o hop) {
	action := o.value("default_action", "milter_default_action")
	switch {
	case action == "":
	case !h.enforcing(o.listener) && action != "accept":
		r.once("default_action", o.change("default_action", "accept"), "the profile of listener %s is monitor, and without the daemon %s answers mail with %s: mail would stop for a program that enforces nothing", o.listener.Name, o.s.ID(), term.Printable(action))
	case h.enforcing(o.listener) && action == "accept":
		strict := "tempfail"
		if versionOf(o.i.Version()).atLeast(3, 11) {
			strict = "shutdown"
		}
		r.once("default_action", o.change("default_action", strict), "the profile of listener %s is %s, and without the daemon %s accepts all mail unchecked", o.listener.Name, o.listener.Profile, o.s.ID())
	}
}

// answerMargin is what an answer may need beyond message_budget and store.wait:
// reading the body, and a busy host.
const answerMargin = 5 * time.Second

// timeouts compares the patience of Postfix with ours.
func (h *Host) timeouts(r *report, o hop) {
	need := h.Config.Limits.MessageBudget.Std() + h.Config.Store.Wait.Std() + answerMargin
	if d, ok := duration(o.value("content_timeout", "milter_content_timeout")); ok && d < need {
		r.once("timeout", o.change("content_timeout", strconv.Itoa(int((2*need).Seconds()))+"s"),
			"%s waits %s for an answer, and the daemon may take %s (limits.message_budget, store.wait): the default action would be applied to slow messages, and to the rest of their SMTP sessions", o.s.ID(), d, need)
	}
	if d, ok := duration(o.i.Value(o.s, "smtpd_timeout")); ok && h.Config.Limits.IdleTimeout.Std() <= d {
		r.once("idle_timeout", put(h.Path, "[limits]\nidle_timeout = %q", (2*d).String()), "the daemon closes a connection after %s of silence, and %s lets a client be silent for %s", h.Config.Limits.IdleTimeout.Std(), o.s.ID(), d)
	}
}

// duration reads a time of Postfix, in seconds where it has no unit.
func duration(text string) (time.Duration, bool) {
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	if text == "" {
		return 0, false
	}
	unit, digits := time.Second, text
	if u, ok := units[text[len(text)-1]]; ok {
		unit, digits = u, text[:len(text)-1]
	}
	n, err := strconv.Atoi(digits)
	return time.Duration(n) * unit, err == nil && n >= 0 && n < 1e6
}
