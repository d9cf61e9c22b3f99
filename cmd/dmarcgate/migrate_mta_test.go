//go:build mta

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/childtest"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/mtatest"
)

// docs/migrate.md is a test: its commands run as they stand there, on a host with
// Postfix and with OpenDKIM and OpenDMARC of Debian, whose configurations are those of
// the packages with what a site adds. Paths are those of the test, and systemctl is the
// test itself.

// chainDNS is where OpenDKIM and OpenDMARC find their name server: resolv.conf has no
// ports.
const chainDNS = "127.53.77.1"

// migrating is such a host.
type migrating struct {
	t       *testing.T
	dir     string
	postfix *mtatest.Postfix
	running map[string]*exec.Cmd // by service
	daemon  *served
}

// added is what the site has added to the configurations of the packages.
var added = map[string]string{
	"opendkim": `
Socket local:/var/spool/postfix/opendkim/opendkim.sock
PidFile DIR/opendkim.pid
UserID root
Domain receiver.example
Selector s1
KeyFile DIR/key
Nameservers ` + chainDNS + `
RequireSafeKeys no
TrustAnchorFile /dev/null
AuthservID mx.receiver.example
`,
	"opendmarc": `
Socket local:/var/spool/postfix/opendmarc/opendmarc.sock
PidFile DIR/opendmarc.pid
UserID root
AuthservID mx.receiver.example
TrustedAuthservIDs mx.receiver.example
SPFSelfValidate true
RejectFailures true
HistoryFile /var/spool/postfix/opendmarc/opendmarc.dat
IgnoreHosts DIR/etc/opendmarc/ignore.hosts
`,
}

func startMigrating(t *testing.T) *migrating {
	t.Helper()
	root, err := filepath.Abs("../../.cache/chain/current")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "usr/sbin/opendmarc")); err != nil {
		t.Fatalf("%v: run internal/mtatest/install.sh", err)
	}
	m := &migrating{t: t, dir: mtatest.Dir(t), running: map[string]*exec.Cmd{}}
	zone := dnstest.NewZone(t, postfixZone+"!any\n")
	dns, err := dnstest.ServeAt(zone, net.JoinHostPort(chainDNS, "53"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dns.Close)
	m.postfix = mtatest.StartPostfix(t, mtatest.PostfixConfig{MainCF: "smtpd_milters = unix:opendkim/opendkim.sock, unix:opendmarc/opendmarc.sock\nmilter_default_action = tempfail\n"})
	m.put("etc/resolv.conf", "nameserver "+chainDNS+"\n")
	m.put("etc/opendmarc/ignore.hosts", "10.1.0.0/16\n")
	if out, err := exec.Command("openssl", "genrsa", "-traditional", "-out", filepath.Join(m.dir, "key"), "2048").CombinedOutput(); err != nil {
		t.Fatalf("openssl: %v\n%s", err, out)
	}
	for name, more := range added {
		stock, err := os.ReadFile(filepath.Join(root, "etc", name+".conf"))
		if err != nil {
			t.Fatal(err)
		}
		m.put("etc/"+name+".conf", string(stock)+strings.ReplaceAll(more, "DIR", m.dir))
		if err := os.MkdirAll(filepath.Join(m.postfix.QueueDir(), name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m.service("start", "opendkim")
	m.service("start", "opendmarc")
	return m
}

// put writes a file of the host.
func (m *migrating) put(name, text string) {
	m.t.Helper()
	path := filepath.Join(m.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	daemontest.PutFile(m.t, path, text)
}

// queued puts the queue directory of the test into a configuration.
func (m *migrating) queued(text string) string {
	return strings.ReplaceAll(text, "/var/spool/postfix", m.postfix.QueueDir())
}

// here puts the paths of the test into a line of the page.
func (m *migrating) here(line string) string {
	return strings.ReplaceAll(m.queued(line), "/etc/", m.dir+"/etc/")
}

// service is systemctl for the two filters.
func (m *migrating) service(what, name string) {
	m.t.Helper()
	if c := m.running[name]; c != nil {
		c.Process.Kill()
		c.Wait()
		delete(m.running, name)
	}
	if what == "stop" {
		return
	}
	root, _ := filepath.Abs("../../.cache/chain/current")
	libraries, _ := filepath.Glob(root + "/usr/lib/*-linux-gnu")
	text, err := os.ReadFile(filepath.Join(m.dir, "etc", name+".conf"))
	if err != nil {
		m.t.Fatal(err)
	}
	config := filepath.Join(m.dir, name+".conf")
	daemontest.PutFile(m.t, config, m.queued(string(text)))
	socket := filepath.Join(m.postfix.QueueDir(), name, name+".sock")
	os.Remove(socket)
	flag := map[string]string{"opendkim": "-x", "opendmarc": "-c"}[name]
	script := fmt.Sprintf("umask 0; mount --bind %s/etc/resolv.conf /etc/resolv.conf && LD_LIBRARY_PATH=%s:%s/usr/lib exec %s/usr/sbin/%s -f %s %s",
		m.dir, strings.Join(libraries, ":"), root, root, name, flag, config)
	cmd := exec.Command("unshare", "--mount", "sh", "-c", script)
	cmd.Stdout, cmd.Stderr = m.t.Output(), m.t.Output()
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.running[name] = cmd
	m.t.Cleanup(func() {
		if m.running[name] == cmd {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	ctx, cancel := context.WithTimeout(m.t.Context(), 30*time.Second)
	defer cancel()
	up := func() bool {
		c, err := net.Dial("unix", socket)
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	if err := childtest.Poll(ctx, up); err != nil {
		m.t.Fatalf("%s does not listen: %v", name, err)
	}
	os.Chmod(socket, 0o666)
}

// run runs a line of the page.
func (m *migrating) run(line string) {
	m.t.Helper()
	line = m.here(line)
	switch words := strings.Fields(line); {
	case words[0] == "dmarcgate":
		args := words[1:]
		if args[0] == "check-config" || len(args) == 3 && args[0] == "import" {
			args = append(args, "-c", m.dir+"/etc/dmarcgate/dmarcgate.toml")
		}
		if args[0] == "check-config" {
			args = append(args, "--no-host") // the user dmarcgate is not on this host
		}
		code, out, stderr := command(args...)
		m.t.Logf("%s\n%s%s", line, out, stderr)
		if code != 0 {
			m.t.Fatalf("%s = %d", line, code)
		}
		if args[0] == "import" && len(args) > 3 && args[2] == "--config" {
			m.adapt(stderr)
		}
	case strings.HasPrefix(line, "systemctl enable --now dmarcgate"):
		m.daemon, _ = startAt(m.t, filepath.Join(m.dir, "etc/dmarcgate/dmarcgate.toml"))
	case words[0] == "systemctl":
		m.service(map[string]string{"restart": "start", "disable": "stop"}[words[1]], words[len(words)-1])
	case words[0] == "postconf":
		_, value, _ := strings.Cut(line, "'")
		if err := m.postfix.Postconf(strings.TrimSuffix(value, "'")); err != nil {
			m.t.Fatal(err)
		}
	case words[0] == "postfix":
		if err := m.postfix.Reload(); err != nil {
			m.t.Fatal(err)
		}
	default:
		if out, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
			m.t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
}

// adapt gives the imported configuration the paths of the test, and nothing else.
func (m *migrating) adapt(remarks string) {
	m.t.Helper()
	path := filepath.Join(m.dir, "etc/dmarcgate/dmarcgate.toml")
	text, err := os.ReadFile(path)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, want := range []string{`profile = "strict"`, `address = "unix:/var/spool/postfix/dmarcgate/milter.sock"`, `trusted_networks = ["10.1.0.0/16"]`, `method = "psl"`} {
		if !strings.Contains(string(text), want) {
			m.t.Errorf("the imported configuration does not have %s:\n%s", want, text)
		}
	}
	if !strings.Contains(remarks, "Socket: the socket moves: write unix:dmarcgate/milter.sock") {
		m.t.Errorf("the import does not say that the socket moves:\n%s", remarks)
	}
	if err := os.MkdirAll(filepath.Join(m.postfix.QueueDir(), "dmarcgate"), 0o755); err != nil {
		m.t.Fatal(err)
	}
	state := filepath.Join(m.dir, "state")
	if err := os.Mkdir(state, 0o750); err != nil {
		m.t.Fatal(err)
	}
	daemontest.PutFile(m.t, path, fmt.Sprintf("state_dir = %q\n%s\n[dns]\nservers = [%q]\n[admin]\nlisten = \"127.0.0.1:0\"\n", state, m.queued(string(text)), chainDNS))
}

// send sends a message of shop.example through Postfix.
func (m *migrating) send(c mtatest.Client) (mtatest.Reply, []string) {
	m.t.Helper()
	s, err := m.postfix.Session(c)
	if err != nil {
		m.t.Fatalf("%v\n%s", err, m.postfix.Log())
	}
	defer s.Close()
	r := sendLetter(m.t, s, "a@shop.example", []byte("From: a@shop.example\r\nDate: Mon, 30 Nov 2026 12:00:00 +0000\r\nSubject: hello\r\n\r\nhello\r\n"))
	if r.Code != 250 {
		return r, nil
	}
	ctx, cancel := context.WithTimeout(m.t.Context(), 30*time.Second)
	defer cancel()
	mail, err := m.postfix.Delivered(ctx, func(mail mtatest.Mail) bool { return mail.QueueID() == r.QueueID() })
	if err != nil {
		m.t.Fatalf("%v\n%s", err, m.postfix.Log())
	}
	return r, mail.Fields("Authentication-Results")
}

// page returns the commands of the steps for Debian.
func page(t *testing.T) (lines []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/migrate.md")
	if err != nil {
		t.Fatal(err)
	}
	_, steps, _ := strings.Cut(string(text), "## OpenDMARC and OpenDKIM on Debian\n")
	steps, _, _ = strings.Cut(steps, "\n## ")
	for i, block := range strings.Split(steps, "```") {
		if i%2 == 1 {
			for line := range strings.Lines(strings.TrimPrefix(block, "sh\n")) {
				if line = strings.TrimSpace(line); line != "" {
					lines = append(lines, line)
				}
			}
		}
	}
	if len(lines) < 8 {
		t.Fatalf("docs/migrate.md has %d commands; want all steps", len(lines))
	}
	return lines
}

func TestMigrationFromOpenDMARCAndOpenDKIMAsThePageHasIt(t *testing.T) {
	m := startMigrating(t)
	spoof, _ := m.send(thirdPartyHost)
	good, before := m.send(shopHost)
	if spoof.Code != 550 || good.Code != 250 || !strings.Contains(strings.Join(before, "\n"), "dmarc=pass") {
		t.Fatalf("OpenDMARC answers %v and %v with %q; want 550, and 250 with dmarc=pass\n%s", spoof, good, before, m.postfix.Log())
	}
	for _, line := range page(t) {
		m.run(line)
	}
	spoof, _ = m.send(thirdPartyHost)
	good, after := m.send(shopHost)
	if spoof.Code != 550 || !strings.Contains(spoof.String(), "DMARC") {
		t.Errorf("dmarcgate answers %v to a spoof; want 550", spoof)
	}
	if len(after) != 1 || good.Code != 250 || !strings.Contains(after[0], "mx.receiver.example") || !strings.Contains(after[0], "dmarc=pass") || !strings.Contains(after[0], "spf=pass") {
		t.Errorf("dmarcgate answers %v with %q; want 250 and one field with dmarc=pass and spf=pass, which OpenDKIM leaves", good, after)
	}
	rows, err := m.daemon.Store().Recent(t.Context(), 10)
	if err != nil || len(rows) != 4 {
		t.Errorf("the store has %d rows, %v; want two of the history and two new", len(rows), err)
	}
}
