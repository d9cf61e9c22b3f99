package control

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/site"
)

// packageUser is the user of the daemon as the packages install it.
const packageUser = "dmarcgate"

// Place says where the running daemon is: at Socket or, when that is empty, where
// the configuration file has its control socket.
type Place struct{ Config, Socket string }

// Client is for commands that change something: they need a configuration that
// can be read, or the socket.
func (p Place) Client() (*admin.Client, error) {
	if p.Socket != "" {
		return admin.Dial(p.Socket), nil
	}
	cfg, err := config.Load(p.Config)
	if err != nil {
		return nil, fmt.Errorf("finding the control socket: %w; --socket names it, too", err)
	}
	return admin.Dial(cfg.Admin.Control), nil
}

// AnyClient is Client for commands that need nothing of the configuration but
// where the daemon is, and that change nothing that the file does not say: that
// is read from a broken file, too, or is the default place. Then the process at
// the socket must be root's, this user's or the daemon user's.
func (p Place) AnyClient(warn io.Writer) (*admin.Client, error) {
	client, err := p.Client()
	if err == nil {
		return client, nil
	}
	if errors.Is(err, fs.ErrNotExist) && p.Config != site.DefaultConfig {
		return nil, err
	}
	place := config.FindPlace(p.Config)
	from := "the default place"
	if place.Read {
		from = "read from the broken file"
	}
	why, _, _ := strings.Cut(err.Error(), "\n")
	fmt.Fprintf(warn, "dmarcgate: %s\ndmarcgate: asking the daemon at %s, %s\n", why, place.Control, from)
	return At(place.Control, place.User), nil
}

// At is a client of the socket at path, which asks nothing of a process that is
// neither root's, this user's nor that of the daemon's user as it is configured.
func At(path, configured string) *admin.Client {
	users := daemonUsers(configured)
	return admin.DialIf(path, func(p admin.Peer) error {
		if !slices.Contains(users, p.UID) {
			return fmt.Errorf("the process is run by %s, not by root or the daemon's user; name the socket with --socket if this is right", p)
		}
		return nil
	})
}

// daemonUsers are the users whose process may be the daemon.
func daemonUsers(configured string) []uint32 {
	ids := []uint32{0, uint32(os.Geteuid())}
	for _, account := range []string{configured, packageUser} {
		name, _, _ := strings.Cut(account, ":") // behind it is a group
		u, err := user.Lookup(name)
		if err != nil {
			continue // of "" and of one that is not there
		}
		if id, err := strconv.ParseUint(u.Uid, 10, 32); err == nil {
			ids = append(ids, uint32(id))
		}
	}
	return ids
}
