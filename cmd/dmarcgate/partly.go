package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/daemon/system"
	"dmarcgate/site"
)

// packageUser is the user of the daemon as the packages install it.
const packageUser = "dmarcgate"

// anyClient is client for commands that need nothing of the configuration but
// where the daemon is, and that change nothing that the file does not say: that
// is read from a broken file, too, or is the default place. Then the process at
// the socket must be root's, this user's or the daemon user's.
func (c controlFlags) anyClient(e *env) (*admin.Client, error) {
	client, err := c.client()
	if err == nil {
		return client, nil
	}
	if errors.Is(err, fs.ErrNotExist) && c.Config != site.DefaultConfig {
		return nil, err
	}
	place := config.FindPlace(c.Config)
	from := "the default place"
	if place.Read {
		from = "read from the broken file"
	}
	why, _, _ := strings.Cut(err.Error(), "\n")
	fmt.Fprintf(e.stderr, "dmarcgate: %s\ndmarcgate: asking the daemon at %s, %s\n", why, place.Control, from)
	return daemonAt(place.Control, place.User), nil
}

// daemonAt is a client of the socket at path, which asks nothing of a process
// that is neither root's, this user's nor the daemon user's.
func daemonAt(path, user string) *admin.Client {
	users := daemonUsers(user)
	return admin.DialIf(path, func(p admin.Peer) error {
		if !slices.Contains(users, p.UID) {
			return fmt.Errorf("it is run by %s, and not by root or the daemon's user; name the socket with --socket if it is right", p)
		}
		return nil
	})
}

// daemonUsers are the users whose process may be the daemon.
func daemonUsers(user string) []uint32 {
	ids := []uint32{0, uint32(os.Geteuid())}
	for _, name := range []string{user, packageUser} {
		if name == "" {
			continue
		}
		if a, err := system.LookupAccount(name); err == nil {
			ids = append(ids, uint32(a.UID))
		}
	}
	return ids
}
