package milter

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// probeTimeout is how long the owner of a socket that exists has to answer.
const probeTimeout = time.Second

// Listen opens a listener: network is "unix", with a path, or "tcp", "tcp4" or
// "tcp6", with host and port.
//
// A socket file gets exactly mode, and at no time a wider one. One that nobody
// answers on is replaced; one that somebody answers on, and a file of another
// kind, are errors. It is removed when the listener is closed.
func Listen(network, addr string, mode os.FileMode) (net.Listener, error) {
	var ln net.Listener
	var err error
	if network == "unix" {
		ln, err = listenUnix(addr, mode.Perm())
	} else {
		ln, err = net.Listen(network, addr)
	}
	if err != nil {
		return nil, fmt.Errorf("listening on %s:%s: %w", network, addr, err)
	}
	return ln, nil
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
