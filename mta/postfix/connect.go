package postfix

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// connectTime is how long a connection to a milter may take: connect_timeout of
// the lines in README.md.
const connectTime = 15 * time.Second

// Connect connects to a milter as the smtpd of a service does: as mail_owner with
// the groups of that user, in the chroot of the service, by a path below the queue
// directory. It needs root. The error is what smtpd would log.
func (i *Instance) Connect(ctx context.Context, s Service, m Milter) (net.Conn, error) {
	chroot := i.Chrooted(s)
	network, address, ok := m.Socket(i.QueueDir(), chroot)
	if !ok {
		return nil, fmt.Errorf("%s is not an address of a milter", m.Address)
	}
	if network == "tcp" {
		dialer := net.Dialer{Timeout: connectTime}
		return dialer.DialContext(ctx, network, address)
	}
	a, err := lookup(i.MailOwner())
	if err != nil {
		return nil, err
	}
	root := "/"
	if chroot {
		root = i.QueueDir()
		address = path.Join("/", strings.TrimPrefix(address, root))
	}
	fd, err := a.connect(root, address)
	if err != nil {
		return nil, fmt.Errorf("user %s, root directory %s: connect to %s: %w", i.MailOwner(), root, address, err)
	}
	f := os.NewFile(uintptr(fd), address)
	defer f.Close()
	return net.FileConn(f)
}

// account is what a process of a user may do.
type account struct {
	uid, gid int
	groups   []int
}

func lookup(name string) (account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return account{}, err
	}
	ids, err := u.GroupIds()
	if err != nil {
		return account{}, err
	}
	numbers := make([]int, 0, len(ids)+2)
	for _, text := range append([]string{u.Uid, u.Gid}, ids...) {
		n, err := strconv.Atoi(text)
		if err != nil {
			return account{}, fmt.Errorf("user %s: %w", name, err)
		}
		numbers = append(numbers, n)
	}
	return account{numbers[0], numbers[1], numbers[2:]}, nil
}

// connect opens a Unix socket as this user below a root directory. It does so in a
// thread of its own, which has the root directory and the user for itself
// (credentials belong to threads), and which ends afterwards.
func (a account) connect(root, address string) (fd int, err error) {
	ownThread(func() { fd, err = a.connectHere(root, address) })
	return fd, err
}

// ownThread runs f in a thread that ends with f. That is not the first thread of the
// process: it does not end, and /proc shows its user as the user of the process.
func ownThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and not unlocked: the thread ends with this function
		if syscall.Gettid() == os.Getpid() {
			defer runtime.UnlockOSThread()
			ownThread(f) // has another thread, since this one is taken
			return
		}
		f()
	}()
	<-done
}

func (a account) connectHere(root, address string) (fd int, err error) {
	if err := syscall.Unshare(syscall.CLONE_FS); err != nil {
		return -1, fmt.Errorf("unshare: %w", err)
	}
	if err := errors.Join(syscall.Chroot(root), syscall.Chdir("/")); err != nil {
		return -1, fmt.Errorf("chroot: %w", err)
	}
	if err := a.become(); err != nil {
		return -1, fmt.Errorf("becoming the user: %w", err)
	}
	if fd, err = syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0); err != nil {
		return -1, err
	}
	if err = syscall.Connect(fd, &syscall.SockaddrUnix{Name: address}); err != nil {
		syscall.Close(fd)
		return -1, err
	}
	return fd, nil
}

// become changes the user of this thread alone. The functions of package syscall
// and unix.Setresuid change every thread of the process; unix.Setgroups does not.
func (a account) become() error {
	if err := unix.Setgroups(a.groups); err != nil {
		return err
	}
	if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESGID, uintptr(a.gid), uintptr(a.gid), uintptr(a.gid)); e != 0 {
		return e
	}
	if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(a.uid), uintptr(a.uid), uintptr(a.uid)); e != 0 {
		return e
	}
	return nil
}
