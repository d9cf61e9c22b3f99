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

// Socket is what a listener is opened on.
type Socket struct {
	// Network is "unix", with a path for Addr, or "tcp", "tcp4" or "tcp6", with
	// host and port.
	Network, Addr string
	// Mode, UID and GID are the permissions and the owner of a socket file; -1
	// leaves an owner as it is. They mean nothing for the other networks.
	Mode     os.FileMode
	UID, GID int
}

// Listen opens the listener.
//
// A socket file gets exactly Mode, and at no time can anybody else connect: its
// owner is set first. Only the directory keeps others from exchanging the file
// meanwhile, so nobody else should have the right to write there. One that
// nobody answers on is replaced; one that somebody answers on, and a file of
// another kind, are errors. It is removed when the listener is closed.
func (s Socket) Listen() (net.Listener, error) {
	var ln net.Listener
	var err error
	if s.Network == "unix" {
		ln, err = s.listenUnix()
	} else {
		ln, err = net.Listen(s.Network, s.Addr)
	}
	if err != nil {
		return nil, fmt.Errorf("listening on %s:%s: %w", s.Network, s.Addr, err)
	}
	return ln, nil
}

func (s Socket) listenUnix() (net.Listener, error) {
	if err := removeStale(s.Addr); err != nil {
		return nil, err
	}
	// On Linux the mode of the unbound socket is that of the file to be
	// made, less the umask. So the file begins as this process's own, and
	// is opened to others when its owner is right.
	own := uint32(s.Mode.Perm() & 0o700)
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if cerr := raw.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), own) }); cerr != nil {
			return cerr
		}
		return err
	}}
	ln, err := lc.Listen(context.Background(), "unix", s.Addr)
	if err != nil {
		return nil, err
	}
	if err := s.protect(); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

// protect sets the owner of the socket file, then its mode.
func (s Socket) protect() error {
	if s.UID >= 0 || s.GID >= 0 {
		if err := os.Lchown(s.Addr, s.UID, s.GID); err != nil {
			return err
		}
	}
	return os.Chmod(s.Addr, s.Mode.Perm())
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
