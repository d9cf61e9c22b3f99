package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/user"
	"strconv"
	"syscall"
)

// Peer is the process at the other end of a Unix socket, as the kernel knows it
// (SO_PEERCRED, unix(7)): for a client the process that opened the listening
// socket, for a server the one that connected.
type Peer struct {
	PID int
	UID uint32
}

// hiddenUID is what the kernel shows for a user that a user namespace does not
// have (user_namespaces(7)), as under PrivateUsers= of systemd.
const hiddenUID = 65534

// String names the user, if this host knows the id, and the process.
func (p Peer) String() string {
	name := ""
	if u, err := user.LookupId(strconv.FormatUint(uint64(p.UID), 10)); err == nil {
		name = u.Username + ", "
	}
	text := fmt.Sprintf("%suser id %d, process %d", name, p.UID, p.PID)
	if p.UID == hiddenUID {
		text += " (this id stands for every user whom PrivateUsers= of the unit hides)"
	}
	return text
}

// errNoPeer means that a connection is no Unix socket.
var errNoPeer = errors.New("the user at the other end is not known")

// peerOf asks the kernel for the process at the other end.
func peerOf(conn net.Conn) (p Peer, err error) {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return Peer{}, errNoPeer
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	var asked error
	err = raw.Control(func(fd uintptr) {
		var cred *syscall.Ucred
		if cred, asked = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); asked == nil {
			p = Peer{PID: int(cred.Pid), UID: cred.Uid}
		}
	})
	return p, errors.Join(err, asked)
}

// peerKey is where a request has its Peer.
type peerKey struct{}

// withPeer is http.Server.ConnContext. A connection whose peer is not known has
// none.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	p, err := peerOf(conn)
	if err != nil {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, p)
}

// requester says who sent a request.
func requester(r *http.Request) string {
	if p, ok := r.Context().Value(peerKey{}).(Peer); ok {
		return p.String()
	}
	return errNoPeer.Error()
}
