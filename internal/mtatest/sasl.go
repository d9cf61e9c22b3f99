package mtatest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
)

// StartSASL answers Postfix's questions about passwords as Dovecot does, and
// takes every password. It returns the settings for an smtpd that offers AUTH,
// each "name=value" as "-o" in master.cf has them. Postfix must run without a
// chroot. Limits: mechanism PLAIN, the whole response in the AUTH command.
func StartSASL(t testing.TB) []string {
	t.Helper()
	socket := Dir(t) + "/auth"
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	go func() {
		for id := 1; ; id++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go authenticate(c, id)
		}
	}()
	return []string{"smtpd_sasl_auth_enable=yes", "smtpd_sasl_type=dovecot", "smtpd_sasl_path=" + socket}
}

// authenticate speaks the server's side of Dovecot's authentication protocol
// on one connection.
func authenticate(c net.Conn, id int) {
	defer c.Close()
	fmt.Fprintf(c, "VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t%d\nCUID\t%d\nCOOKIE\t0123456789abcdef0123456789abcdef\nDONE\n", os.Getpid(), id)
	for in := bufio.NewScanner(c); in.Scan(); {
		if words := strings.Split(in.Text(), "\t"); words[0] == "AUTH" && len(words) > 1 {
			fmt.Fprintf(c, "OK\t%s\tuser=alice\n", words[1])
		}
	}
}
