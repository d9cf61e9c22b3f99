package pgtest

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

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
