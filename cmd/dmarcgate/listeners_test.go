package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/site"
)

// daemonOf runs a daemon with a configuration of the test's own, in which %s
// stands for the directory.
func daemonOf(t *testing.T, text string) *daemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "dg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "dmarcgate.toml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "%s", dir)), 0o644); err != nil {
		t.Fatal(err)
	}
	in, err := site.Load(path, site.AllParts)
	if err != nil {
		t.Fatal(err)
	}
	d, err := newDaemon(context.Background(), path, in, newLogger(io.MultiWriter(t.Output()), "logfmt", "info"))
	if err != nil {
		t.Fatal(err)
	}
	d.start(context.Background())
	t.Cleanup(func() { d.shutdown(context.Background()) })
	return d
}

// sendTo sends one message to a gate and returns the message as it is
// delivered, or the reply.
func sendTo(t *testing.T, g *gate, m miltertest.Mail) (final string, res miltertest.Result) {
	t.Helper()
	c, err := miltertest.Dial(g.listener.Address.String(), miltertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if res, err = c.Send(m); err != nil {
		t.Fatal(err)
	}
	return string(miltertest.Apply(m.Message, res)), res
}

func TestEachListenerHasSettingsOfItsOwn(t *testing.T) {
	dns := dnstest.New(t, reloadZone)
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	d := daemonOf(t, fmt.Sprintf(`
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
`, dns.Addr()))
	inside, outside := d.gates[0], d.gates[1]
	outside.listener.Address.Addr = outside.sockets[0].Addr().String() // the port that the system chose

	forged := spoofMail("1")
	forged.Message = []byte("Authentication-Results: mx.receiver.example; dmarc=pass\r\nAuthentication-Results: inside.receiver.example; dmarc=pass\r\nFrom: a@bank.example\r\n\r\nhello\r\n")
	final, res := sendTo(t, inside, forged)
	if res.Action != miltertest.Continue || strings.Count(final, "Authentication-Results:") != 1 || !strings.HasPrefix(final, "Authentication-Results: inside.receiver.example;") {
		t.Errorf("inside: %v\n%s\nwant delivery with one field, under the listener's name", res.Reply, final)
	}
	if _, res := sendTo(t, outside, spoofMail("2")); res.Code != 550 {
		t.Errorf("outside: %+v; want 550", res.Reply)
	}
	friend := spoofMail("3")
	friend.Client = demoForwarder
	sendTo(t, inside, friend)
	rows, err := d.store.ByQueueID(t.Context(), "3")
	if err != nil || len(rows) != 1 || rows[0].Facts.Skip != "trusted_network" {
		t.Errorf("row of a trusted network = %+v, %v; want skip=trusted_network", rows, err)
	}
	info, err := os.Stat(inside.listener.Address.Addr)
	if err != nil {
		t.Fatal(err)
	}
	if uid := strconv.Itoa(int(info.Sys().(*syscall.Stat_t).Uid)); uid != nobody.Uid || info.Mode().Perm() != 0o600 {
		t.Errorf("socket of user %s with mode %v; want %s and 0600", uid, info.Mode().Perm(), nobody.Uid)
	}
}

func TestASuffixListFromAFileIsReadAgainAtAReload(t *testing.T) {
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
	path := write(t, "list.dat", list("example\n"))
	d := daemonOf(t, fmt.Sprintf(`
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
`, path, dns.Addr()))
	mail := miltertest.Mail{Client: demoShop, Helo: "[192.0.2.10]", From: "a@mail.bank.example", Rcpts: []string{"u@receiver.example"},
		QueueID: "1", Message: []byte("From: a@bank.example\r\n\r\nhello\r\n")}
	if _, res := sendTo(t, d.gates[0], mail); res.Action != miltertest.Continue {
		t.Fatalf("with the suffix example: %+v; want delivery, as both are of bank.example", res.Reply)
	}
	if err := os.WriteFile(path, []byte(list("example\nbank.example\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := d.reload(); !r.OK {
		t.Fatal(r.Problem)
	}
	if _, res := sendTo(t, d.gates[0], mail); res.Code != 550 {
		t.Errorf("with the suffix bank.example: %+v; want 550, as mail.bank.example is another organization", res.Reply)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := d.reload(); r.OK || !strings.Contains(r.Problem, path) {
		t.Errorf("reload() with an empty list = %+v; want a failure that names it", r)
	}
	if _, res := sendTo(t, d.gates[0], mail); res.Code != 550 {
		t.Errorf("after the failed reload: %+v; want 550 as before", res.Reply)
	}
}

func TestWithoutAStoreMailIsAnsweredAndTheLogSaysSo(t *testing.T) {
	dns := dnstest.New(t, reloadZone)
	d, log := startDaemon(t, dns.Addr(), testConfig{profile: "strict", quarantine: "tag", trusted: "192.0.2.255", extra: "[store]\ndurability = \"off\"\n"})
	if _, res := sendTo(t, d.gates[0], spoofMail("1")); res.Code != 550 {
		t.Errorf("Send() = %+v; want 550", res.Reply)
	}
	if !strings.Contains(log.String(), "record=off") {
		t.Errorf("log = %s; want record=off", log)
	}
	if s := d.status(t.Context()); s.Store != "off" || s.Checks["store"] != "" {
		t.Errorf("status = %+v; want no store and no check of one", s)
	}
	if _, err := os.Stat(filepath.Join(d.inputs().Config.StateDir, "results.db")); !os.IsNotExist(err) {
		t.Errorf("the file of the store: %v; want none", err)
	}
}
