//go:build mta

package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/internal/mtatest"
	"dmarcgate/internal/pgtest"
)

// The faults that a real Postfix, whose smtpd is chrooted, can have. The facts come
// from postconf and from connecting as the user postfix.
func TestDoctorNamesFaultsOfARealPostfix(t *testing.T) {
	postfix := mtatest.StartPostfix(t, mtatest.PostfixConfig{Chroot: true})
	conf := filepath.Join(filepath.Dir(postfix.QueueDir()), "conf")
	socket := filepath.Join(postfix.QueueDir(), "dg.sock")
	dns := mtatest.StartDNS(t, postfixZone)
	d, _ := startDaemon(t, dns.Addr(), daemontest.Config{Profile: "monitor", Address: "unix:" + socket, Extra: "authserv_ids_also = [\"mx.receiver.example\"]\n"})
	owned := func(uid int) {
		t.Helper()
		if err := os.Chown(socket, uid, 0); err != nil {
			t.Fatal(err)
		}
	}
	user, err := os.Stat(filepath.Join(filepath.Dir(conf), "data")) // belongs to postfix
	if err != nil {
		t.Fatal(err)
	}
	const good = "smtpd_milters = { unix:dg.sock, default_action=accept }"
	for _, tt := range []struct {
		name     string
		settings []string
		closed   bool
		want     string // ids
		line     string // of the first fix
	}{
		{"a healthy one", nil, false, "", ""},
		{"mail of sendmail without the daemon", []string{"non_smtpd_milters ="}, false, "non_smtpd_milters", "non_smtpd_milters = { unix:dg.sock, default_action=accept }"},
		{"no milter", []string{"smtpd_milters ="}, false, "not_attached", "smtpd_milters = "},
		{"the path as it is outside of the chroot", []string{"smtpd_milters = { unix:" + socket + ", default_action=accept }"}, false, "socket_chroot", "address = "},
		{"a socket of root alone", nil, true, "socket_closed", "socket_owner = \":postfix\""},
		{"default_action of an enforcing site", []string{"smtpd_milters = unix:dg.sock"}, false, "default_action", "smtpd_milters = { unix:dg.sock, default_action=accept }"},
		{"a short time-out", []string{"milter_content_timeout = 10s"}, false, "timeout", "smtpd_milters = { unix:dg.sock, default_action=accept, content_timeout=54s }"},
		{"an old protocol", []string{"milter_protocol = 4"}, false, "milter_protocol", "smtpd_milters = { unix:dg.sock, default_action=accept, protocol=6 }"},
		{"networks of the site", []string{"mynetworks = 127.0.0.0/8, 10.1.0.0/16"}, false, "own_mail_evaluated", "trusted_networks = [\"10.1.0.0/16\"]"},
		{"a proxy filter", []string{"smtpd_proxy_filter = 127.0.0.1:10024"}, false, "proxy_filter", "-o smtpd_milters="},
		{"an action of Postfix 3.11", []string{"smtpd_milters = { unix:dg.sock, default_action=shutdown }"}, false, "shutdown_unknown default_action", "smtpd_milters = { unix:dg.sock, default_action=tempfail }"},
		{"two instances of which one asks", []string{"multi_instance_directories = " + conf + "-out"}, false, "instance_not_attached", "smtpd_milters = "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reconfigure(t, postfix, conf, append([]string{good, "non_smtpd_milters = $smtpd_milters"}, tt.settings...))
			uid := 0
			if !tt.closed {
				uid = uidOf(user)
			}
			owned(uid)
			_, found, out := findings(t, "-c", d.path, "--postfix-dir", conf)
			if got := faultIDs(found); got != tt.want {
				t.Fatalf("doctor finds %q; want %q\n%s", got, tt.want, out)
			}
			if tt.want != "" && !strings.HasPrefix(found[0].Fixes[0].Line, strings.TrimSpace(tt.line)) {
				t.Errorf("the line is %q; want %q", found[0].Fixes[0].Line, tt.line)
			}
		})
	}
}

// reconfigure gives the Postfix of conf these settings and defaults, and makes a
// second instance beside it that asks no milter.
func reconfigure(t *testing.T, postfix *mtatest.Postfix, conf string, settings []string) {
	t.Helper()
	out := conf + "-out"
	if err := os.RemoveAll(out); err != nil {
		t.Fatal(err)
	}
	reset := []string{"milter_content_timeout = 300s", "milter_protocol = 6", "mynetworks = 127.0.0.0/8", "smtpd_proxy_filter =", "multi_instance_directories ="}
	if err := postfix.Postconf(append(reset, settings...)...); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(out, os.DirFS(conf)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(conf + "/main.cf")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(out+"/main.cf", append(text, "smtpd_milters =\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
}

// PostgreSQL that is down or has no connection left is named, and nothing waits for
// it.
func TestDoctorNamesFaultsOfPostgreSQL(t *testing.T) {
	server := pgtest.Start(t)
	d, _ := shippingDaemon(t, server)
	finds := func(want string) {
		t.Helper()
		var got, out string
		begin := time.Now()
		for time.Since(begin) < 30*time.Second { // the daemon tries again now and then
			_, list, text := findings(t, "-c", d.path, "--postfix-dir", noPostfix(t))
			if got, out = faultIDs(list), text; got == want {
				return
			}
		}
		t.Fatalf("doctor finds %q; want %q\n%s", got, want, out)
	}
	finds("")
	server.Pause()
	begin := time.Now()
	findings(t, "-c", d.path, "--postfix-dir", noPostfix(t))
	if took := time.Since(begin); took > 9*time.Second {
		t.Errorf("doctor took %v beside a PostgreSQL that hangs; want at most 8 s", took)
	}
	server.Resume()
	server.Stop()
	finds("postgres_down")
	server.Restart()
	finds("")
	server.Exec(server.URL("postgres"), "ALTER ROLE gate CONNECTION LIMIT 0")
	server.Exec(server.URL("postgres"), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'gate'")
	finds("postgres_connections")
}

// A forwarder whose own server refuses passes that on: dnsmasq refuses, too, above
// its limit of queries.
func TestDoctorNamesAForwarderThatRefuses(t *testing.T) {
	forwarder := mtatest.StartForwarder(t, refusing(t))
	d, _ := startDaemon(t, forwarder.Addr(), daemontest.Config{Profile: "monitor", DNSTimeout: "5s"})
	var flood sync.WaitGroup
	defer flood.Wait()
	for n := range 30 {
		flood.Go(func() {
			client, err := miltertest.Dial(d.Listeners()[0].Addr(), miltertest.Options{Timeout: time.Minute})
			if err != nil {
				t.Error(err)
				return
			}
			defer client.Close()
			m := daemontest.SpoofedMail(fmt.Sprintf("Q%d", n))
			m.From, m.Message = fmt.Sprintf("a@m%d.example", n), fmt.Appendf(nil, "From: a@d%d.example\n\nx\n", n)
			if _, err := client.Send(m); err != nil {
				t.Error(err)
			}
		})
	}
	var out string
	for begin := time.Now(); time.Since(begin) < 20*time.Second; {
		_, found, text := findings(t, "-c", d.path, "--postfix-dir", noPostfix(t))
		if out = text; strings.Contains(faultIDs(found), "dns_refuses") {
			return
		}
	}
	t.Errorf("doctor finds no dns_refuses:\n%s", out)
}

// refusing is a name server that refuses all queries.
func refusing(t *testing.T) (addr string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	t.Cleanup(served.Wait)
	t.Cleanup(func() { conn.Close() })
	served.Go(func() {
		for buf := make([]byte, 4096); ; {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if n > 12 {
				buf[2], buf[3] = buf[2]|0x80, 0x85 // a reply: REFUSED
				conn.WriteTo(buf[:n], from)
			}
		}
	})
	return conn.LocalAddr().String()
}

// uidOf is the owner of a file.
func uidOf(info os.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }
