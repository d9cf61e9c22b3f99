// Package system has what the daemon needs of this host: the account that it runs
// as, sockets from systemd or opened here, and who can use the files. Check finds
// what would keep a configuration from working here. Limits: only Linux, and
// rights by owner, group and mode, without ACLs.
package system

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"dmarcgate/config"
)

// Account is the user that the daemon runs as once its sockets are open. The
// zero value is whoever started it.
type Account struct {
	name     string // "user" or "user:group" of the configuration
	UID, GID int    // user id and group id
	groups   []int  // ids of further groups
}

// LookupAccount finds "user" or "user:group" on this host.
func LookupAccount(text string) (Account, error) {
	if text == "" {
		return Account{}, nil
	}
	name, group, _ := strings.Cut(text, ":")
	a := Account{name: text}
	u, err := user.Lookup(name)
	if err != nil {
		return Account{}, fmt.Errorf("user: %w", err)
	}
	gid := u.Gid
	if group != "" {
		g, err := user.LookupGroup(group)
		if err != nil {
			return Account{}, fmt.Errorf("user: %w", err)
		}
		gid = g.Gid
	}
	ids, err := u.GroupIds()
	if err != nil {
		return Account{}, fmt.Errorf("user: groups of %s: %w", name, err)
	}
	if a.UID, err = strconv.Atoi(u.Uid); err != nil {
		return Account{}, fmt.Errorf("user: user id %q", u.Uid)
	}
	if a.GID, err = strconv.Atoi(gid); err != nil {
		return Account{}, fmt.Errorf("user: group id %q", gid)
	}
	for _, id := range ids {
		if n, err := strconv.Atoi(id); err == nil {
			a.groups = append(a.groups, n)
		}
	}
	return a, nil
}

// Check tells whether this process can become the account.
func (a Account) Check() error {
	if a.name == "" || os.Geteuid() == 0 || a.runs() {
		return nil
	}
	return fmt.Errorf("user = %q: only root can become another user, and this is user id %d: start as root, or remove the key", a.name, os.Geteuid())
}

// runs reports whether this process is the account already.
func (a Account) runs() bool { return os.Geteuid() == a.UID && os.Getegid() == a.GID }

// Become gives up all rights but those of the account, in every thread, and for
// ever. Go changes all threads together (since 1.16).
func (a Account) Become() error {
	if a.name == "" || a.runs() {
		return nil
	}
	if err := syscall.Setgroups(a.groups); err != nil {
		return fmt.Errorf("user = %q: setting groups: %w", a.name, err)
	}
	if err := syscall.Setgid(a.GID); err != nil {
		return fmt.Errorf("user = %q: setting the group: %w", a.name, err)
	}
	if err := syscall.Setuid(a.UID); err != nil {
		return fmt.Errorf("user = %q: setting the user: %w", a.name, err)
	}
	if a.UID != 0 && (syscall.Setuid(0) == nil || syscall.Setgid(0) == nil && a.GID != 0) {
		return fmt.Errorf("user = %q: root could be had back", a.name)
	}
	// Otherwise /proc/self belongs to root from now on, and the metrics of the
	// process cannot be read (prctl(2), PR_SET_DUMPABLE).
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 1, 0)
	return nil
}

// Bits of access(2).
const (
	mayRead  = 4
	mayWrite = 2
	mayEnter = 1
)

// CheckFiles tells which file of an earlier start, or which directory, the
// account cannot use. It is asked after Become.
func (a Account) CheckFiles(cfg *config.Config) error {
	if a.name == "" {
		return nil
	}
	for _, dir := range []string{cfg.StateDir, filepath.Dir(cfg.Store.Path)} {
		if err := syscall.Access(dir, mayRead|mayWrite|mayEnter); err != nil {
			return fmt.Errorf("user = %q cannot write to the directory %s: %w; chown it to that user", a.name, dir, err)
		}
	}
	for _, file := range append(resultFiles(cfg), cfg.Sampling.SecretFile, cfg.Privacy.KeyFile) {
		if err := syscall.Access(file, mayRead); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("user = %q cannot use %s: %w; chown it to that user", a.name, file, err)
		}
	}
	if err := syscall.Access(cfg.Store.Path, mayWrite); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("user = %q cannot write to %s: %w; chown it to that user", a.name, cfg.Store.Path, err)
	}
	return nil
}

// Unreadable returns what a reload needs and the account cannot read.
func (a Account) Unreadable(path string, cfg *config.Config) []string {
	var out []string
	for _, file := range []string{path, cfg.RulesDir, cfg.Discovery.PSLFile, cfg.Store.Postgres.PasswordFile} {
		if a.name != "" && file != "" && syscall.Access(file, mayRead) != nil {
			out = append(out, file)
		}
	}
	return out
}

// resultFiles are the files with results, as far as there are any: the store,
// its log, and those that were set aside.
func resultFiles(cfg *config.Config) []string { return filesAt(cfg.Store.Path) }

// filesAt are the files whose path begins like this.
func filesAt(path string) []string {
	files, _ := filepath.Glob(globQuote(path) + "*") // a quoted pattern is not malformed
	return files
}

// globQuote makes a pattern of a path that matches nothing else.
func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// SharedGroup returns the path of a socket that the daemon's own group can
// connect to, or "": then MTAs are in that group, and would be able to use the
// control socket and to read the results, too. Group 0 is root's.
func SharedGroup(sockets []net.Listener) string {
	gid := os.Getegid()
	for _, ln := range sockets {
		path := ln.Addr().String()
		if gid == 0 || ln.Addr().Network() != "unix" {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			continue // in the abstract name space there are no groups
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Gid) == gid && info.Mode().Perm()&0o020 != 0 {
			return path
		}
	}
	return ""
}

// KeepPrivate makes what the daemon writes from now on, the results that there
// are and further files, with their logs, its user's alone.
func KeepPrivate(cfg *config.Config, further ...string) error {
	syscall.Umask(0o077)
	files := resultFiles(cfg)
	for _, path := range further {
		files = append(files, filesAt(path)...)
	}
	for _, file := range files {
		info, err := os.Lstat(file)
		if err == nil && info.Mode().IsRegular() {
			err = os.Chmod(file, info.Mode().Perm()&^0o077)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
