package pgtest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Ports are taken from below those that the kernel gives to outgoing
// connections (32768 and up, ip_local_port_range): between our look and the
// server's bind, such a connection could take the port away.
const (
	firstPort = 20000
	portCount = 12000
	portTries = 100
)

// freePort returns a loopback port on which nobody listens.
func freePort() (int, error) {
	for range portTries {
		port := firstPort + rand.IntN(portCount)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no free loopback port found")
}

// programs returns the folder of the newest PostgreSQL of Debian's packages,
// which are installed side by side, outside of PATH.
func programs() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // the pattern is well-formed
	best, newest := "", -1
	for _, path := range found {
		bin := filepath.Dir(path)
		if version, err := strconv.Atoi(filepath.Base(filepath.Dir(bin))); err == nil && version > newest {
			best, newest = bin, version
		}
	}
	if best == "" {
		return "", errors.New("PostgreSQL is missing: run internal/mtatest/install.sh")
	}
	return best, nil
}

// owner returns the user of the server, and gives him the directory. It is nil
// when the test itself can be that user.
func owner(dir string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, int(uid), int(gid))
}

// children lists the processes whose parent this is.
func children(parent int) []int {
	var pids []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		// The command, in parentheses, may hold anything, so start after it.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func isPostgresVariable(s string) bool { return strings.HasPrefix(s, "PG") }

func urlOf(addr, database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(User, Password), Host: addr, Path: database, RawQuery: "sslmode=disable"}
	return u.String()
}

// WithTLS returns the URL of a database, without its password, for a
// connection with TLS that the file of this authority has to vouch for.
func WithTLS(text, mode, authority string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", fmt.Errorf("url: %w", err)
	}
	u.User = url.User(u.User.Username())
	u.RawQuery = url.Values{"sslmode": {mode}, "sslrootcert": {authority}}.Encode()
	return u.String(), nil
}
