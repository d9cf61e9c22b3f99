package mtatest

import (
	_ "embed"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// SendmailConfig says how a private Sendmail differs from the plain one, which
// is mx.receiver.example, takes mail for receiver.example, and asks no milter.
type SendmailConfig struct {
	// Dir is a directory for it alone; empty means one of its own. See the
	// function Dir for what it must be like.
	Dir string

	// Milter is the second argument of INPUT_MAIL_FILTER, such as
	// "S=local:/path/to/socket, F=T, T=C:30s;S:30s;R:10s;E:5m"; empty means no
	// milter. The socket must be a UNIX socket: there is no network around.
	Milter string

	// MC is further text of sendmail.mc, before the mailers.
	MC string
}

// smtpPort is where Sendmail listens on its own network.
const smtpPort = 25

// mc is sendmail.mc with blanks: the directory (several times), the port of
// the sink, the milter, and further text. Why it has what it has:
//
//   - Nothing is read outside of the directory, and nothing leaves it: what is
//     accepted, and every bounce, goes to the sink. (The network around, see
//     host, leads nowhere either.)
//   - Hosts are found by gethostbyname(3) alone, and no domain of a sender or
//     recipient is looked up.
//   - A busy machine makes Sendmail neither slow nor deaf.
//   - /tmp, where Dir is, may be written by everybody, but has its sticky bit.
//
//go:embed sendmail.mc
var mc string

// serviceSwitch is what confSERVICE_SWITCH_FILE names.
const serviceSwitch = "hosts files\npasswd files\naliases files\n"

// mc renders sendmail.mc.
func (c SendmailConfig) mc(dir, sink string) (string, error) {
	_, port, err := net.SplitHostPort(sink)
	if err != nil {
		return "", err
	}
	filter := "dnl"
	if c.Milter != "" {
		filter = "INPUT_MAIL_FILTER(`gate', `" + c.Milter + "')dnl"
	}
	return fmt.Sprintf(mc, dir, port, smtpPort, filter, strings.TrimSpace(c.MC)), nil
}

// unpacked finds the folder that sendmail.sh has made.
func unpacked() (string, error) { return cacheDir("sendmail/current") }

// cacheDir returns a folder in the cache folder of the checkout that this test
// belongs to.
func cacheDir(name string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, ".cache", name), nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod at or above the working directory")
		}
		dir = filepath.Dir(dir)
	}
}
