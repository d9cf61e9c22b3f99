package daemon

import (
	"fmt"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
)

func TestListenersHaveOwnSettings(t *testing.T) {
	dns := dnstest.New(t, daemontest.Zone)
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	d, _ := startAt(t, daemontest.Write(t, fmt.Sprintf(`
authserv_id = "mx.receiver.example"
state_dir = "%%s"
[[listener]]
name = "inside"
address = "unix:%%s/inside.sock"
authserv_id = "inside.receiver.example"
profile = "monitor"
socket_mode = "0600"
socket_owner = "nobody"
trusted_networks = ["198.51.100.0/24"]
[[listener]]
name = "outside"
address = "inet:0@127.0.0.1"
profile = "strict"
[dns]
servers = [%q]
[admin]
listen = ""
`, dns.Addr())))
	inside, outside := d.Listeners()[0], d.Listeners()[1]

	forged := daemontest.SpoofedMail("1")
	forged.Message = []byte("Authentication-Results: mx.receiver.example; dmarc=pass\r\nAuthentication-Results: inside.receiver.example; dmarc=pass\r\nFrom: a@bank.example\r\n\r\nhello\r\n")
	final, res := daemontest.Send(t, inside.Addr(), forged)
	if res.Action != miltertest.Continue || strings.Count(final, "Authentication-Results:") != 1 || !strings.HasPrefix(final, "Authentication-Results: inside.receiver.example;") {
		t.Errorf("inside: %v\n%s\nwant delivery with one field, under the listener's name", res.Reply, final)
	}
	if _, res := daemontest.Send(t, outside.Addr(), daemontest.SpoofedMail("2")); res.Code != 550 {
		t.Errorf("outside: %+v; want 550", res.Reply)
	}
	friend := daemontest.SpoofedMail("3")
	friend.Client = netip.MustParseAddr("198.51.100.20")
	daemontest.Send(t, inside.Addr(), friend)
	rows, err := d.Store().ByQueueID(t.Context(), "3")
	if err != nil || len(rows) != 1 || rows[0].Facts.Skip != "trusted_network" {
		t.Errorf("row of a trusted network = %+v, %v; want skip=trusted_network", rows, err)
	}
	info, err := os.Stat(inside.Config.Address.Addr)
	if err != nil {
		t.Fatal(err)
	}
	if uid := strconv.Itoa(int(info.Sys().(*syscall.Stat_t).Uid)); uid != nobody.Uid || info.Mode().Perm() != 0o600 {
		t.Errorf("socket of user %s with mode %v; want %s and 0600", uid, info.Mode().Perm(), nobody.Uid)
	}
}

func TestReloadReadsSuffixList(t *testing.T) {
	dns := dnstest.New(t, `
mail.bank.example.   TXT "v=spf1 ip4:192.0.2.10 -all"
_dmarc.bank.example. TXT "v=DMARC1; p=reject"
`)
	list := func(more string) string {
		var b strings.Builder
		for i := range 1000 {
			fmt.Fprintf(&b, "suffix%d\n", i)
		}
		return b.String() + more
	}
	path := filepath.Join(t.TempDir(), "list.dat")
	daemontest.PutFile(t, path, list("example\n"))
	d, _ := startAt(t, daemontest.Write(t, fmt.Sprintf(`
authserv_id = "mx.receiver.example"
state_dir = "%%s"
[[listener]]
name = "mta"
address = "unix:%%s/milter.sock"
profile = "strict"
[discovery]
method = "psl"
psl_file = %q
[dns]
servers = [%q]
[admin]
listen = ""
`, path, dns.Addr())))
	mail := miltertest.Mail{Client: netip.MustParseAddr("192.0.2.10"), Helo: "[192.0.2.10]", From: "a@mail.bank.example", Rcpts: []string{"u@receiver.example"},
		QueueID: "1", Message: []byte("From: a@bank.example\r\n\r\nhello\r\n")}
	if _, res := daemontest.Send(t, d.Listeners()[0].Addr(), mail); res.Action != miltertest.Continue {
		t.Fatalf("with the suffix example: %+v; want delivery, as both are of bank.example", res.Reply)
	}
	if err := os.WriteFile(path, []byte(list("example\nbank.example\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := d.Reload(); !r.OK {
		t.Fatal(r.Problem)
	}
	if _, res := daemontest.Send(t, d.Listeners()[0].Addr(), mail); res.Code != 550 {
		t.Errorf("with the suffix bank.example: %+v; want 550, as mail.bank.example is another organization", res.Reply)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := d.Reload(); r.OK || !strings.Contains(r.Problem, path) {
		t.Errorf("reload() with an empty list = %+v; want a failure that names it", r)
	}
	if _, res := daemontest.Send(t, d.Listeners()[0].Addr(), mail); res.Code != 550 {
		t.Errorf("after the failed reload: %+v; want 550 as before", res.Reply)
	}
}

func TestServeWithoutStore(t *testing.T) {
	dns := dnstest.New(t, daemontest.Zone)
	d, log := startDaemon(t, dns.Addr(), daemontest.Config{Extra: "[store]\ndurability = \"off\"\n"})
	if _, res := daemontest.Send(t, d.Listeners()[0].Addr(), daemontest.SpoofedMail("1")); res.Code != 550 {
		t.Errorf("Send() = %+v; want 550", res.Reply)
	}
	if !strings.Contains(log.String(), "record=off") {
		t.Errorf("log = %s; want record=off", log)
	}
	if s := d.Status(t.Context()); s.Store != "off" || s.Checks["store"] != "" {
		t.Errorf("status = %+v; want no store and no check of one", s)
	}
	if _, err := os.Stat(filepath.Join(d.Inputs().Config.StateDir, "results.db")); !os.IsNotExist(err) {
		t.Errorf("the file of the store: %v; want none", err)
	}
}
