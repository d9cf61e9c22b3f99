package system

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"dmarcgate/config"
)

// Findings are what this host says of a configuration.
type Findings struct {
	Problems []config.Problem // that stop serve
	Warnings []config.Problem
}

func (h *Findings) problem(p *config.Errors) { h.Problems = append(h.Problems, p.Problems...) }
func (h *Findings) warn(p *config.Errors)    { h.Warnings = append(h.Warnings, p.Problems...) }

// Check finds what would stop serve here although the file is right: users
// that do not exist, and directories that are not there or that the daemon cannot
// write to. It makes and changes nothing.
func Check(cfg *config.Config) Findings {
	var h Findings
	as, err := LookupAccount(cfg.User)
	if err != nil {
		h.problem(cfg.Problem("user", reasonOf(err), "create the user, or name another"))
	}
	known := err == nil
	opens := Account{} // the milter sockets
	if cfg.User != "" {
		opens.name = "root" // started as that, to become user
	}
	for i, l := range cfg.Listeners {
		if l.Address.Network != "unix" {
			continue
		}
		if _, _, err := owner(l.SocketOwner, Account{}); err != nil {
			h.problem(cfg.ListenerProblem(i, "socket_owner", reasonOf(err), "create the user or group, or name another"))
		}
		h.directory(filepath.Dir(l.Address.Addr), opens, func(text, fix string) *config.Errors { return cfg.ListenerProblem(i, "address", text, fix) })
	}
	if !known {
		return h // whose rights count is not known
	}
	state := map[string]string{"state_dir": cfg.StateDir, "admin.control": filepath.Dir(cfg.Admin.Control)}
	if cfg.Store.Durability != "off" {
		state["store.path"] = filepath.Dir(cfg.Store.Path)
	}
	if cfg.Pages.Listen.Network == "unix" {
		state["pages.listen"] = filepath.Dir(cfg.Pages.Listen.Addr)
	}
	var seen []string
	for _, key := range []string{"state_dir", "store.path", "admin.control", "pages.listen"} {
		if dir := state[key]; dir != "" && !slices.Contains(seen, dir) {
			seen = append(seen, dir)
			h.directory(dir, as, func(text, fix string) *config.Errors { return cfg.Problem(key, text, fix) })
		}
	}
	return h
}

// reasonOf is an error about an account without the names of keys and packages
// before it.
func reasonOf(err error) string {
	text := err.Error()
	for _, before := range []string{"socket_owner: ", "user: ", "user: "} {
		text = strings.TrimPrefix(text, before)
	}
	return text
}

// madeByUnit are the directories that the unit has systemd make at the start
// (StateDirectory=, RuntimeDirectory=).
var madeByUnit = []string{"/var/lib/dmarcgate", "/run/dmarcgate"}

// directory checks one in which an account must make files; the zero value is
// who starts the daemon.
func (h *Findings) directory(dir string, as Account, say func(text, fix string) *config.Errors) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && slices.Contains(madeByUnit, dir) && underSystemd():
		h.warn(say("there is no directory "+dir+" yet", "systemd creates the directory when the unit starts; without the unit, create the directory"))
	case errors.Is(err, fs.ErrNotExist):
		h.problem(say("there is no directory "+dir, "create the directory for the daemon's user"))
	case errors.Is(err, fs.ErrPermission):
		h.warn(say("whether the daemon can use the directory "+dir+" cannot be seen by this user", "run check-config as root"))
	case err != nil:
		h.problem(say(err.Error(), "name another directory"))
	case !info.IsDir():
		h.problem(say(dir+" is not a directory", "name one"))
	default:
		h.writable(dir, as, say)
	}
}

// underSystemd reports whether this host runs systemd (sd_booted(3)).
func underSystemd() bool {
	info, err := os.Lstat("/run/systemd/system")
	return err == nil && info.IsDir()
}

// writable checks whether an account can make files in a directory that is there.
// Without user in the file, it is this user who would start the daemon, or
// somebody whom only the unit knows: then it is a warning.
func (h *Findings) writable(dir string, as Account, say func(text, fix string) *config.Errors) {
	if as.name != "" {
		if at := as.stopsAt(dir); at != "" {
			h.problem(say(fmt.Sprintf("user = %q cannot write to %s: no permission on %s", as.name, dir, at), "chown it to that user"))
		}
		return
	}
	if syscall.Access(dir, mayWrite|mayEnter) != nil {
		h.warn(say(fmt.Sprintf("this user, %s, cannot write to %s", thisUser(), dir), "if the daemon runs as another user, run check-config as that user, or as root with user set"))
	}
}

func thisUser() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprintf("user id %d", os.Geteuid())
}

// stopsAt returns the directory on the way that keeps an account from making
// files in dir, or "" when nothing does. It goes by owner, group and mode.
func (a Account) stopsAt(dir string) string {
	need := fs.FileMode(mayWrite | mayEnter)
	for at := dir; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return at
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || !a.may(need, info.Mode().Perm(), int(st.Uid), int(st.Gid)) {
			return at
		}
		if at == "/" {
			return ""
		}
		need = mayEnter
	}
}

// may decides as the kernel does without ACLs (path_resolution(7)): the first of
// owner, group and others that the account is counts alone.
func (a Account) may(need, mode fs.FileMode, uid, gid int) bool {
	switch {
	case a.UID == 0:
		return true
	case a.UID == uid:
		mode >>= 6
	case a.GID == gid || slices.Contains(a.groups, gid):
		mode >>= 3
	}
	return mode&need == need
}
