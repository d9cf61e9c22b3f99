package setup

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"dmarcgate/config"
	"dmarcgate/mta/postfix"
	"dmarcgate/policy"
	"dmarcgate/term"
)

// socketName is the socket of the packages, below the queue directory or /run.
const socketName = "dmarcgate/milter.sock"

// Target is the listener of the daemon that the MTA is to ask.
type Target struct {
	Listener string
	Profile  policy.Profile
	Address  config.Address // never of systemd: see Listener
}

// ChooseListener finds the listener by its name; "" is the only one. queueDir is that
// of Postfix, "" for another MTA. bound tells where the running daemon listens, by
// the names of listeners: systemd passes sockets whose paths the configuration does
// not have. Where bound does not tell, a socket of systemd is looked for where the
// packages have it: below the queue directory of Postfix, or in /run.
func ChooseListener(cfg *config.Config, name string, queueDir string, bound map[string][]string) (Target, error) {
	var names []string
	var found []config.Listener
	for _, l := range cfg.Listeners {
		names = append(names, l.Name)
		if name == "" || l.Name == name {
			found = append(found, l)
		}
	}
	switch {
	case len(found) == 0:
		return Target{}, term.Usagef("--listener: there is no listener %q; the configuration has %s", name, strings.Join(names, ", "))
	case len(found) > 1:
		return Target{}, term.Usagef("--listener: name the listener for this MTA: %s", strings.Join(names, ", "))
	}
	t := Target{Listener: found[0].Name, Profile: found[0].Profile, Address: found[0].Address}
	if t.Address.Network != "systemd" {
		return t, nil
	}
	if t.Address = nearest(bound[t.Listener], queueDir); t.Address.Network != "" {
		return t, nil
	}
	paths := []string{filepath.Join("/run", socketName)}
	if queueDir != "" {
		paths = []string{filepath.Join(queueDir, socketName), paths[0]}
	}
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.Mode().Type() == os.ModeSocket {
			t.Address = config.Address{Network: "unix", Addr: path}
			return t, nil
		}
	}
	return Target{}, fmt.Errorf("listener %s has a socket of systemd, and there is no socket at %s: start dmarcgate-postfix.socket", t.Listener, strings.Join(paths, " or "))
}

// nearest is the socket that an MTA with this queue directory reaches best: one below
// the queue directory, or for another MTA one that is not below a chroot.
func nearest(sockets []string, queueDir string) (best config.Address) {
	place := "/run"
	if queueDir != "" {
		place = filepath.Clean(queueDir)
	}
	for _, text := range sockets {
		network, addr, _ := strings.Cut(text, ":")
		if best.Network == "" || strings.HasPrefix(addr, place+"/") && !strings.HasPrefix(best.Addr, place+"/") {
			best = config.Address{Network: network, Addr: addr}
		}
	}
	return best
}

// bound asks the daemon where its listeners listen. A daemon that does not answer, or
// not to this user, tells nothing.
func (o *Options) bound(ctx context.Context) map[string][]string {
	places := map[string][]string{}
	if o.Client == nil {
		return places
	}
	if s, err := o.Client.Status(ctx); err == nil {
		for _, l := range s.Listeners {
			places[l.Name] = l.Sockets
		}
	}
	return places
}

// Action is what the MTA has to do with mail while the daemon does not answer:
// deliver it as long as nothing is enforced, and else have it sent again.
func (t Target) Action() string {
	if t.Profile == policy.Monitor {
		return "accept"
	}
	return "tempfail"
}

// milter is the entry of smtpd_milters with the settings of README.md. chrooted
// says that a service that will use it is.
func (t Target) milter(i *postfix.Instance, chrooted bool) (postfix.Milter, error) {
	m := postfix.Milter{Settings: []postfix.Setting{
		{Name: "connect_timeout", Value: "15s"},
		{Name: "command_timeout", Value: "30s"},
		{Name: "content_timeout", Value: "120s"},
		{Name: "default_action", Value: t.Action()},
	}}
	if i.Values["milter_protocol"] != "6" {
		m.Settings = append(m.Settings, postfix.Setting{Name: "protocol", Value: "6"})
	}
	if t.Address.Network == "tcp" {
		m.Address = "inet:" + reachable(t.Address.Addr)
		return m, nil
	}
	rel, below := strings.CutPrefix(filepath.Clean(t.Address.Addr), filepath.Clean(i.QueueDir())+"/")
	switch {
	case below:
		m.Address = "unix:" + rel
	case chrooted:
		return m, fmt.Errorf("smtpd runs in the chroot %s and cannot reach the socket %s: set address = %q in the [[listener]] %s, and restart the daemon", i.QueueDir(), t.Address.Addr, "unix:"+filepath.Join(i.QueueDir(), socketName), t.Listener)
	default:
		m.Address = "unix:" + t.Address.Addr
	}
	if strings.ContainsAny(m.Address, "{}, \t\r\n$") {
		return m, fmt.Errorf("main.cf cannot have the path %q: choose one without blanks, commas, braces and dollar signs", t.Address.Addr)
	}
	return m, nil
}

// reachable is where a client of this host connects to what listens at addr.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip, bad := netip.ParseAddr(host); err == nil && (host == "" || bad == nil && ip.IsUnspecified()) {
		if ip.Is6() {
			return net.JoinHostPort("::1", port)
		}
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr
}
