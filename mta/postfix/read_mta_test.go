//go:build mta

package postfix

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadOfARealPostfixExpandsAndOverrides(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("main.cf", `compatibility_level = 3.6
mine = unix:/run/a.sock
smtpd_milters = $mine,
  # a comment between the lines
  { inet:localhost:8891, { default_action = accept } }
`)
	write("master.cf", `smtp inet n - y - - smtpd
127.0.0.1:10025 inet n - n - - smtpd
  -o { smtpd_milters = $mine, unix:b } -o content_filter=
`)
	i, err := Read(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if i.Version() == "" || i.MailOwner() != "postfix" || i.QueueDir() != "/var/spool/postfix" {
		t.Errorf("version %q, owner %q, queue %q", i.Version(), i.MailOwner(), i.QueueDir())
	}
	if got := i.Set["smtpd_milters"]; !strings.HasPrefix(got, "$mine") {
		t.Errorf("smtpd_milters as written = %q; want $mine", got)
	}
	if _, set := i.Set["milter_default_action"]; set || i.Values["milter_default_action"] == "" {
		t.Error("milter_default_action: want a default that is not set")
	}
	for id, want := range map[string]string{
		"smtp/inet":            "unix:/run/a.sock, { inet:localhost:8891, default_action=accept }",
		"127.0.0.1:10025/inet": "unix:/run/a.sock, unix:b",
	} {
		s, _ := i.Service(id)
		list, err := i.Milters(s)
		if got := FormatMilters(list); err != nil || got != want {
			t.Errorf("milters of %s = %q, %v; want %q", id, got, err, want)
		}
		if i.Chrooted(s) != (id == "smtp/inet") {
			t.Errorf("%s: chrooted is %v", id, i.Chrooted(s))
		}
	}
	s, _ := i.Service("127.0.0.1:10025/inet")
	if got := s.Written["smtpd_milters"]; got != "$mine, unix:b" {
		t.Errorf("the override as written = %q; want $mine", got)
	}
}

func TestReadReportsWhatPostconfSays(t *testing.T) {
	if _, err := Read(t.Context(), filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "main.cf") {
		t.Errorf("Read of a missing directory: %v; want the message of postconf", err)
	}
}
