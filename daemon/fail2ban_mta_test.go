//go:build mta

package daemon

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
)

// fail2ban is the unpacked package (internal/mtatest/unpack.sh), with our filter.
type fail2ban struct {
	root   string
	config string
}

// newFail2ban copies the configuration of the package, and puts our files beside it.
func newFail2ban(t *testing.T) fail2ban {
	t.Helper()
	root, err := filepath.Abs("../.cache/fail2ban/current")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(root); err != nil {
		t.Fatalf("%v: run internal/mtatest/install.sh", err)
	}
	f := fail2ban{root, filepath.Join(t.TempDir(), "fail2ban")}
	if err := os.CopyFS(f.config, os.DirFS(filepath.Join(root, "etc/fail2ban"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"filter.d/dmarcgate.conf", "jail.d/dmarcgate.conf"} {
		text, err := os.ReadFile("../deploy/fail2ban/" + name)
		if err != nil {
			t.Fatal(err)
		}
		daemontest.PutFile(t, filepath.Join(f.config, name), string(text))
	}
	return f
}

// run runs a program of the package.
func (f fail2ban) run(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command("python3", append([]string{filepath.Join(f.root, "usr/bin", program)}, args...)...)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join(f.root, "usr/lib/python3/dist-packages"), "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState.ExitCode() < 0 {
		t.Fatal(err)
	}
	return string(out)
}

// banned returns the addresses that fail2ban-regex finds in lines of a log.
func (f fail2ban) banned(t *testing.T, lines string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mail.log")
	daemontest.PutFile(t, path, lines)
	out := f.run(t, "fail2ban-regex", "-c", f.config, "-o", "ip", path, filepath.Join(f.config, "filter.d/dmarcgate.conf"))
	return strings.Fields(out)
}

// logged returns the line of the log about a message.
func logged(t *testing.T, log *daemontest.Buffer, qid string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^time=\S+ qid=` + qid + ` .*$`).FindString(log.String())
	if m == "" {
		t.Fatalf("no line about %s:\n%s", qid, log)
	}
	return m
}

func TestFail2banFilterBansTheEvaluatedClientOfForgeriesOnly(t *testing.T) {
	f := newFail2ban(t)
	zone := daemontest.Zone + "spammer.example. TXT \"v=spf1 ip4:203.0.113.70 -all\"\nevil.example. TXT \"v=spf1 -all\"\n"
	d, log := startDaemon(t, dnstest.New(t, zone).Addr(), daemontest.Config{
		Trusted: "192.0.2.99",
		Extra: "[conformant]\nforwarder_networks = [\"192.0.2.16/28\"]\n" +
			"[[trusted_relay]]\nnetworks = [\"198.51.100.25\"]\nnames = [\"relay.receiver.example\"]\n",
	})
	pose := `x" client=192.0.2.1 helo=x author=bank.example mail_from=bank.example result=fail p=reject requested=reject applied=reject reason=- spf=fail dkim=none arc=none why=x dur=1.0ms action=reject`
	from := func(client string, change func(*miltertest.Mail)) miltertest.Mail {
		m := daemontest.SpoofedMail("")
		m.Client = netip.MustParseAddr(client)
		change(&m)
		return m
	}
	header := func(h string) func(*miltertest.Mail) {
		return func(m *miltertest.Mail) { m.Message = []byte(h + "\r\n\r\nhello\r\n") }
	}
	tests := []struct {
		name string
		mail miltertest.Mail
		want string
	}{
		{"a forgery", from("203.0.113.66", func(*miltertest.Mail) {}), "203.0.113.66"},
		{"a forgery over IPv6", from("2001:db8::66", func(*miltertest.Mail) {}), "2001:db8::66"},
		{"HELO that poses as our line", from("203.0.113.67", func(m *miltertest.Mail) { m.Helo = pose }), "203.0.113.67"},
		{"HELO with a line of its own", from("203.0.113.68", func(m *miltertest.Mail) {
			m.Helo = "x\nNov 30 12:00:00 mx dmarcgate[7]: qid=1 listener=mta client=192.0.2.1 " + pose
		}), "203.0.113.68"},
		{"From that poses as our line", from("203.0.113.69", header(`From: "`+strings.ReplaceAll(pose, `"`, `\"`)+`" <a@bank.example>`)), "203.0.113.69"},
		{"From domain that poses as our line", from("203.0.113.71", header("From: a@["+pose+"]")), ""},
		{"a HELO that ends a quote", from("203.0.113.72", func(m *miltertest.Mail) { m.Helo = `\" relay=1 \\` }), "203.0.113.72"},
		{"MAIL FROM that passes by SPF", from("203.0.113.70", func(m *miltertest.Mail) { m.From = "a@spammer.example" }), ""},
		{"mail with a broken signature", from("203.0.113.73", header("DKIM-Signature: v=1; a=rsa-sha256; d=bank.example; s=s; h=from; bh=AA==; b=AA==\r\nFrom: a@bank.example")), ""},
		{"a forwarder of the configuration", from("192.0.2.17", func(*miltertest.Mail) {}), ""},
		{"a relay of our own", from("198.51.100.25", header("Received: from evil.example (evil.example [203.0.113.80])\r\n\tby relay.receiver.example (Postfix) with ESMTP id 4Xy\r\n\tfor <u@receiver.example>; Mon, 30 Nov 2026 12:00:00 +0000 (UTC)\r\nFrom: a@bank.example")), ""},
		{"a trusted host", from("192.0.2.99", func(*miltertest.Mail) {}), ""},
		{"a domain without a policy", from("203.0.113.81", header("From: a@spammer.example")), ""},
	}
	lines := make([]string, len(tests))
	for i, tt := range tests {
		tt.mail.QueueID = fmt.Sprintf("4Xy%02d", i)
		daemontest.Send(t, d.Listeners()[0].Addr(), tt.mail)
		lines[i] = logged(t, log, tt.mail.QueueID)
	}
	for _, form := range []string{"Nov 30 12:00:00 mx dmarcgate[7]: ", "2026-11-30T12:00:00.000000+00:00 mx dmarcgate[7]: ", ""} {
		got := f.banned(t, form+strings.Join(lines, "\n"+form)+"\n")
		for i, tt := range tests {
			found := slices.Contains(got, cmp.Or(tt.want, tt.mail.Client.String()))
			if found != (tt.want != "") {
				t.Errorf("%s: fail2ban bans %q; want %q of the line\n%s", tt.name, got, tt.want, form+lines[i])
			}
			got = slices.DeleteFunc(got, func(ip string) bool { return ip == tt.want })
		}
		if len(got) > 0 { // the address in a text, or that behind a relay
			t.Errorf("fail2ban bans %q besides the clients of forgeries, of lines that begin with %q", got, form)
		}
	}
}

// The commands of docs/logs.md, with other places.
func TestFail2banIsSetUpAsThePageHasIt(t *testing.T) {
	f := newFail2ban(t)
	page, err := os.ReadFile("../docs/logs.md")
	if err != nil {
		t.Fatal(err)
	}
	var script string
	for block := range strings.SplitSeq(string(page), "```") {
		if strings.Contains(block, "fail2ban-regex") {
			script = strings.TrimPrefix(block, "sh\n")
		}
	}
	mailLog := filepath.Join(t.TempDir(), "mail.log")
	daemontest.PutFile(t, mailLog, "Nov 30 12:00:00 mx dmarcgate[7]: time=2026-11-30T12:00:00.000Z qid=4XyZ04 listener=strict client=203.0.113.66 helo=host.forwarder.example "+
		"author=bank.example mail_from=forwarder.example result=fail p=reject requested=reject applied=reject reason=- spf=fail dkim=none arc=none why=\"nothing\" dur=1.0ms action=reject\n")
	for _, name := range []string{"filter.d/dmarcgate.conf", "jail.d/dmarcgate.conf"} {
		if err := os.Remove(filepath.Join(f.config, name)); err != nil {
			t.Fatal(err)
		}
	}
	script = strings.NewReplacer("/usr/share/doc/dmarcgate/examples", "deploy", "/etc/fail2ban", f.config, "/var/log/mail.log", mailLog, "fail2ban-regex ", f.root+"/usr/bin/fail2ban-regex -c "+f.config+" ").Replace(script)
	cmd := exec.Command("sh", "-eu", "-c", script)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join(f.root, "usr/lib/python3/dist-packages"), "PYTHONDONTWRITEBYTECODE=1")
	if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "203.0.113.66" {
		t.Errorf("the commands of docs/logs.md print %q, %v; want 203.0.113.66", out, err)
	}
}

func TestFail2banJailIsOff(t *testing.T) {
	f := newFail2ban(t)
	out := f.run(t, "fail2ban-client", "-c", f.config, "--dp")
	if strings.Contains(out, "'dmarcgate'") || !strings.Contains(out, "sshd") {
		t.Errorf("fail2ban-client --dp starts a jail for dmarcgate, or none for sshd:\n%.2000s", out)
	}
	jail := filepath.Join(f.config, "jail.d/dmarcgate.conf")
	daemontest.Change(t, jail, "enabled  = false", "enabled  = true")
	out = f.run(t, "fail2ban-client", "-c", f.config, "--dp")
	for _, want := range []string{"['add', 'dmarcgate', 'systemd']", "'maxretry', 10", "action=reject", "_SYSTEMD_UNIT=dmarcgate.service"} {
		if !strings.Contains(out, want) {
			t.Errorf("fail2ban-client --dp with the jail on does not have %s:\n%.3000s", want, out)
		}
	}
}
