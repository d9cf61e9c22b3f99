//go:build mta

package daemon

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/pgtest"
)

// shippingDaemon runs a daemon that moves its results into a database of its own.
func shippingDaemon(t *testing.T, server *pgtest.Server) *Daemon {
	t.Helper()
	password := filepath.Join(t.TempDir(), "pg-password")
	daemontest.PutFile(t, password, "a long random password\n")
	server.Exec(server.URL("postgres"), "CREATE ROLE gate LOGIN PASSWORD 'a long random password'")
	server.Exec(server.URL("postgres"), "CREATE DATABASE gate OWNER gate")
	url := fmt.Sprintf("postgres://gate@%s/gate?sslmode=verify-full&sslrootcert=%s", server.Addr(), server.CA())
	d, _ := startDaemon(t, dnstest.New(t, daemontest.Zone).Addr(), daemontest.Config{
		Extra: fmt.Sprintf("[store.postgres]\nurl = %q\npassword_file = %q\n", url, password)})
	return d
}

func TestReloadChangesPostgreSQLSettings(t *testing.T) {
	d := shippingDaemon(t, pgtest.Start(t))
	send := func(qid string) {
		t.Helper()
		if !refuses(t, d, qid) {
			t.Fatalf("message %s is not refused", qid)
		}
	}
	send("1")
	daemontest.Eventually(t, "the first row", func() bool { return d.shipping.status().Rows == 1 })
	daemontest.Change(t, d.state.path, "password_file = ", "retention = \"7d\"\npassword_file = ")
	if r := d.Reload(); !r.OK || len(r.Restart) != 0 {
		t.Fatalf("reload() = %+v; want success without a restart", r)
	}
	if got := d.shipping.opt.RetentionDays; got != 7 {
		t.Errorf("retention active = %d days; want 7", got)
	}
	send("2")
	daemontest.Eventually(t, "the next row", func() bool { return d.shipping.status().Rows == 1 })
	daemontest.Change(t, d.state.path, "sslmode=verify-full", "sslmode=sometimes")
	if r := d.Reload(); r.OK || !strings.Contains(r.Problem, "store.postgres.url") {
		t.Errorf("reload() with a broken URL = %+v; want a failure that names the key", r)
	}
	daemontest.Change(t, d.state.path, "url = ", "#url = ")
	daemontest.Change(t, d.state.path, "password_file = ", "#password_file = ")
	if r := d.Reload(); !r.OK || !slices.Equal(r.Restart, []string{"store"}) {
		t.Errorf("reload() without a URL = %+v; want it to wait for a restart", r)
	}
	send("3")
	daemontest.Eventually(t, "the row after it", func() bool { return d.shipping.status().Rows == 2 })
}
