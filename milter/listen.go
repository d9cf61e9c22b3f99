package milter

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// probeTimeout is how long the owner of a socket that exists has to answer.
const probeTimeout = time.Second

const addressForms = "unix:/path, local:/path, tcp:host:port, inet:host:port or inet:port@host"

// Listen opens a listener at an address in one of the notations of Postfix and
// Sendmail:
//
//	unix:/path  local:/path               a socket in the file system
//	tcp:host:port  inet:host:port         Postfix
//	inet:port@host  inet6:port@host       Sendmail
//
// A socket file gets exactly mode, and at no time a wider one. One that nobody
// answers on is replaced; one that somebody answers on, and a file of another
// kind, are errors. It is removed when the listener is closed.
func Listen(address string, mode os.FileMode) (net.Listener, error) {
	network, addr, err := parseAddress(address)
	if err != nil {
		return nil, fmt.Errorf("listening on %q: %w", address, err)
	}
	var ln net.Listener
	if network == "unix" {
		ln, err = listenUnix(addr, mode.Perm())
	} else {
		ln, err = net.Listen(network, addr)
	}
	if err != nil {
		return nil, fmt.Errorf("listening on %q: %w", address, err)
	}
	return ln, nil
}

func parseAddress(address string) (network, addr string, err error) {
	scheme, rest, ok := strings.Cut(address, ":")
	if !ok || rest == "" {
		return "", "", errors.New("not an address; write " + addressForms)
	}
	switch strings.ToLower(scheme) {
	case "unix", "local":
		return "unix", rest, nil
	case "tcp":
		network = "tcp"
	case "inet":
		network = "tcp"
		rest = atHost(rest)
	case "inet6":
		network = "tcp6"
		rest = atHost(rest)
	default:
		return "", "", fmt.Errorf("unknown kind %q; write %s", scheme, addressForms)
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil || port == "" {
		return "", "", errors.New("host and port are needed; write " + addressForms)
	}
	if host == "" {
		// A milter believes whatever its peer says of clients and users.
		return "", "", errors.New("a host is needed; write 0.0.0.0 or [::] if every address is meant")
	}
	return network, net.JoinHostPort(host, port), nil
}

// atHost turns port@host into host:port.
func atHost(s string) string {
	port, host, ok := strings.Cut(s, "@")
	if !ok {
		return s
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}

func listenUnix(path string, mode os.FileMode) (net.Listener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// On Linux the mode of the unbound socket is that of the file to be
	// made, less the umask. So the file is never wider than wanted, and chmod
	// can only widen it to what is wanted.
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if cerr := raw.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), uint32(mode)) }); cerr != nil {
			return cerr
		}
		return err
	}}
	ln, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, mode); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

// removeStale removes the socket of a process that is gone.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("the file exists and is not a socket")
	}
	c, err := net.DialTimeout("unix", path, probeTimeout)
	if err == nil {
		return errors.Join(errors.New("another process is listening there"), c.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("another process may be listening there: %w", err)
	}
	return os.Remove(path)
}
