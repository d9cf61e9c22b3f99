//go:build mta && linux

package packagetest

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/mtatest"
	"dmarcgate/internal/scale"
)

// maxBinary is the size that the program may have.
const maxBinary = 32 << 20

// Versions of the test, from one checkout.
const (
	older = "1.0"
	newer = "1.1"
)

// TestPackage builds the package once for all its parts.
func TestPackage(t *testing.T) {
	deb := Build(t, older)
	for name, check := range map[string]func(*testing.T, string){
		"has the same bytes when built again": checkSame,
		"has no lintian error":                checkLintian,
		"has a small static program":          checkProgram,
		"has every example of deploy":         checkExamples,
		"has no leftovers by piuparts":        checkPiuparts,
		"installs, upgrades and purges":       checkLife,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // the life of a host has pauses, in which the others work
			check(t, deb)
		})
	}
}

func checkSame(t *testing.T, deb string) {
	first, second := read(t, deb), read(t, Build(t, older))
	if !bytes.Equal(first, second) {
		t.Errorf("two builds of one commit differ, %d and %d bytes; want the same bytes", len(first), len(second))
	}
}

func checkLintian(t *testing.T, deb string) {
	out, err := exec.Command("lintian", "--allow-root", "--fail-on", "error", deb).CombinedOutput()
	if err != nil {
		t.Errorf("lintian: %v\n%s", err, out)
	}
}

// checkPiuparts runs at full size alone: it takes a minute, and checkLife looks for
// the same leftovers.
func checkPiuparts(t *testing.T, deb string) {
	if scale.Of(t) == 1 {
		t.Skip("SKIPPED: full size alone (make soak)")
	}
	// The copy of a chroot is a host without systemd as its first process.
	out, err := exec.Command("piuparts", "--existing-chroot", unpack(t), "--distribution", "bookworm", "--no-eatmydata", deb).CombinedOutput()
	if err != nil {
		t.Errorf("piuparts: %v\n%s", err, out)
	}
}

func checkProgram(t *testing.T, deb string) {
	dir := t.TempDir()
	output(t, exec.Command("dpkg-deb", "-x", deb, dir))
	path := filepath.Join(dir, "usr/sbin/dmarcgate")
	if size := len(read(t, path)); size > maxBinary {
		t.Errorf("the program has %d bytes; want at most %d", size, maxBinary)
	}
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if libraries, err := f.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("the program needs the libraries %v, %v; want none", libraries, err)
	}
}

// examples are the files and folders of deploy that operators copy.
var examples = []string{"dmarcgate.toml", "fail2ban", "grafana/dmarcgate.json", "prometheus/dmarcgate.rules.yml", "prometheus/tests", "rules.d"}

// checkExamples compares the examples of the package, which docs/debian.md names, with
// those of the checkout.
func checkExamples(t *testing.T, deb string) {
	dir := t.TempDir()
	output(t, exec.Command("dpkg-deb", "-x", deb, dir))
	for _, name := range examples {
		got, want := filepath.Join(dir, "usr/share/doc/dmarcgate/examples", name), filepath.Join("../../deploy", name)
		if out, err := exec.Command("diff", "-r", want, got).CombinedOutput(); err != nil {
			t.Errorf("the example %s differs from deploy: %v\n%s", name, err, out)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// life is a host on which the package is installed, upgraded and removed.
type life struct {
	*Root
	t *testing.T
}

func newLife(t *testing.T, olderDeb string) *life {
	t.Helper()
	l := &life{Start(t), t}
	for version, file := range map[string]string{older: olderDeb, newer: Build(t, newer)} {
		if err := os.Mkdir(filepath.Dir(l.Path(deb(version))), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(l.Path(deb(version)), read(t, file), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// deb is where the package of a version is in the host.
func deb(version string) string { return "/root/" + version + "/dmarcgate_" + version + "_all.deb" }

// install installs a version with the command of docs/debian.md. There is no
// terminal, so a question would fail the installation.
func (l *life) install(version string) {
	l.t.Helper()
	l.Run("cd /root/" + version + " && " + documented(l.t, "apt install ./dmarcgate_*.deb"))
}

// downgrade installs the version before, which apt asks about.
func (l *life) downgrade(version string) {
	l.t.Helper()
	l.Run("cd /root/" + version + " && yes | " + documented(l.t, "apt install --allow-downgrades ./dmarcgate_*.deb"))
}

// documented returns a command that stands on docs/debian.md.
func documented(t *testing.T, command string) string {
	t.Helper()
	for line := range strings.Lines(string(read(t, "../../docs/debian.md"))) {
		if line, _, _ = strings.Cut(line, "#"); strings.TrimSpace(line) == command {
			return command
		}
	}
	t.Errorf("docs/debian.md has no command %q", command)
	return command
}

// status is what the running daemon tells.
func (l *life) status() (s struct {
	Version   string
	Listeners []struct {
		Address, Profile string
		Sockets          []string
	}
}) {
	l.t.Helper()
	if err := json.Unmarshal([]byte(l.Run("dmarcgate status --json")), &s); err != nil {
		l.t.Fatal(err)
	}
	return s
}

func checkLife(t *testing.T, olderDeb string) {
	l := newLife(t, olderDeb)
	l.isMailServer()
	before, mainCF := l.files(), l.mainCF()
	l.respectsPolicy()
	l.serveDNS()
	l.install(older)
	l.endsAsDocumented(l.Run(documented(t, "dmarcgate setup postfix --apply")))
	l.firstVerdict()
	l.isHealthy()
	l.startsInMonitor()
	l.losesNoMessage()
	l.Run(documented(t, "dmarcgate setup postfix --undo"))
	l.keeps(mainCF, "setup postfix --undo")
	// The removal of the package does the same.
	l.Run("dmarcgate setup postfix --apply --no-probe")
	l.removes()
	l.keeps(mainCF, "the removal")
	l.purges(before)
}

// endsAsDocumented compares the last lines of setup with those of docs/debian.md,
// whose message has another queue id.
func (l *life) endsAsDocumented(out string) {
	l.t.Helper()
	_, rest, _ := strings.Cut(string(read(l.t, "../../docs/debian.md")), "\n```text\n")
	want, _, _ := strings.Cut(rest, "```")
	id := regexp.MustCompile(`message \S+ `)
	if want == "" || !strings.HasSuffix(id.ReplaceAllString(out, "message ID "), id.ReplaceAllString(want, "message ID ")) {
		l.t.Errorf("setup prints\n%s\nwant at the end what docs/debian.md shows:\n%s", out, want)
	}
}

// isMailServer gives the stock Postfix its domain, and lets this test be another
// client than it is.
func (l *life) isMailServer() {
	l.t.Helper()
	l.Run("postconf -e myhostname=mx.receiver.example mydestination=receiver.example smtpd_authorized_xclient_hosts=127.0.0.1 && postfix reload")
	if got := l.Run("postconf -F smtp/inet/chroot"); strings.TrimSpace(got) != "smtp/inet/chroot = y" {
		l.t.Errorf("the chroot of Debian's smtpd is %q; want y", got)
	}
}

// mainCF is the configuration of Postfix with the names in its folder.
func (l *life) mainCF() string {
	l.t.Helper()
	return l.Run("cat /etc/postfix/main.cf /etc/postfix/master.cf; ls -A /etc/postfix")
}

// keeps compares the configuration of Postfix with that before setup.
func (l *life) keeps(before, what string) {
	l.t.Helper()
	if got := l.mainCF(); got != before {
		l.t.Errorf("after %s the configuration of Postfix is\n%s\nwant\n%s", what, got, before)
	}
}

// isHealthy runs doctor, which finds nothing.
func (l *life) isHealthy() {
	l.t.Helper()
	if out, err := l.Try(documented(l.t, "dmarcgate doctor")); err != nil || out != "no fault found\n" {
		l.t.Errorf("doctor after the installation and setup: %v\n%s\nwant no fault", err, out)
	}
}

// respectsPolicy installs where the host forbids packages to start services.
func (l *life) respectsPolicy() {
	l.t.Helper()
	l.Run("printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d")
	l.install(older)
	if out, _ := l.Try("systemctl is-active dmarcgate.service dmarcgate.socket dmarcgate-postfix.socket"); out != "inactive\ninactive\ninactive\n" {
		l.t.Errorf("under a policy-rc.d that forbids starts the units are %q; want inactive", out)
	}
	l.Run("rm /usr/sbin/policy-rc.d && apt-get purge -y dmarcgate")
}

func (l *life) startsInMonitor() {
	l.t.Helper()
	got := l.status()
	if got.Version != older || len(got.Listeners) != 1 || got.Listeners[0].Profile != "monitor" {
		l.t.Fatalf("status after the installation = %+v; want version %s and one listener with the profile monitor", got, older)
	}
	slices.Sort(got.Listeners[0].Sockets)
	if want := []string{"unix:/run/dmarcgate/milter.sock", "unix:/var/spool/postfix/dmarcgate/milter.sock"}; !slices.Equal(got.Listeners[0].Sockets, want) {
		l.t.Errorf("the sockets of the daemon are %q; want %q", got.Listeners[0].Sockets, want)
	}
	l.Run("dmarcgate check-config --strict") // no warnings
	// The MTA's user reaches the milter socket in its chroot, and nothing else.
	l.Run("setpriv --reuid=postfix --regid=postfix --init-groups test -w /var/spool/postfix/dmarcgate/milter.sock")
	for _, file := range []string{"/var/lib/dmarcgate", "/var/lib/dmarcgate/control.sock"} {
		if _, err := l.Try("setpriv --reuid=postfix --regid=postfix --init-groups test -r " + file); err == nil {
			l.t.Errorf("the user postfix can read %s", file)
		}
	}
	if out := l.Run("systemctl --failed --no-legend; systemd-analyze verify --man=no dmarcgate.service dmarcgate.socket dmarcgate-postfix.socket"); out != "" {
		l.t.Errorf("systemd reports %s", out)
	}
}

const zone = `
.                      NS  ns.example.
!ad .
sender.example.        TXT "v=spf1 ip4:192.0.2.0/28 -all"
_dmarc.sender.example. TXT "v=DMARC1; p=reject"
!any
`

// serveDNS answers queries of the host by the zone.
func (l *life) serveDNS() {
	l.t.Helper()
	l.Run("printf 'nameserver 127.0.0.1\\noptions trust-ad\\n' >/etc/resolv.conf")
	err := l.Inside(func() error {
		s, err := dnstest.ServeAt(dnstest.NewZone(l.t, zone), "127.0.0.1:53")
		if err == nil {
			l.t.Cleanup(s.Close)
		}
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

// send sends one message from a host on the world's side.
func (l *life) send(client string) (reply mtatest.Reply, err error) {
	err = l.Inside(func() error {
		s, err := mtatest.Dial("127.0.0.1:25")
		if err != nil {
			return err
		}
		defer s.Close()
		if _, err = s.EHLO("localhost"); err != nil {
			return err
		}
		if _, err = s.XCLIENT(client, "", "mail.sender.example"); err != nil {
			return err
		}
		if _, err = s.EHLO("mail.sender.example"); err != nil {
			return err
		}
		reply, err = s.Send(mtatest.Mail{From: "a@sender.example", Rcpts: []string{"root@receiver.example"}, Data: []byte("From: a@sender.example\r\n\r\nhello\r\n")})
		return err
	})
	return reply, err
}

// firstVerdict sends a message that passes and a forged one, which monitor
// delivers.
func (l *life) firstVerdict() {
	l.t.Helper()
	for client, want := range map[string]string{"192.0.2.10": "dmarc=pass", "203.0.113.66": "dmarc=fail"} {
		if reply, err := l.send(client); err != nil || reply.Code != 250 {
			l.t.Fatalf("a message from %s gets %v, %v; want 250", client, reply, err)
		}
		if out := l.Run("dmarcgate results export --format csv --since 1h 2>/dev/null | grep -F " + client); !strings.Contains(out, strings.TrimPrefix(want, "dmarc=")) {
			l.t.Errorf("the stored result of %s is %q; want %s", client, out, want)
		}
	}
	mail := l.Run("postqueue -f; while [ -n \"$(postqueue -j)\" ]; do :; done; cat /var/mail/root /var/mail/nobody 2>/dev/null || find /var/mail")
	for _, want := range []string{"Authentication-Results: mx.receiver.example", "dmarc=pass", "dmarc=fail"} {
		if !strings.Contains(mail, want) {
			l.t.Errorf("the delivered mail has no %q:\n%s", want, mail)
		}
	}
}

// losesNoMessage upgrades and downgrades under load: every message gets 250 and
// is in the store. Meanwhile Postfix refuses mail for now when there is no answer.
func (l *life) losesNoMessage() {
	l.t.Helper()
	const action = "sed -i s/default_action=%s/default_action=%s/ /etc/postfix/main.cf && postfix reload"
	l.Run(fmt.Sprintf(action, "accept", "tempfail"))
	defer l.Run(fmt.Sprintf(action, "tempfail", "accept"))
	stored := l.stored()
	var sent atomic.Int64
	step := make(chan struct{}) // closed at the end
	var senders sync.WaitGroup
	for range 3 {
		senders.Go(func() {
			for {
				select {
				case <-step:
					return
				default:
				}
				if reply, err := l.send("192.0.2.10"); err != nil || reply.Code != 250 {
					l.t.Errorf("under load a message gets %v, %v; want 250", reply, err)
				}
				sent.Add(1)
			}
		})
	}
	for _, change := range []struct {
		to      string
		install func(string)
	}{{newer, l.install}, {older, l.downgrade}, {newer, l.install}} {
		version, at := change.to, sent.Load()
		change.install(version)
		if got := l.status().Version; got != version {
			l.t.Errorf("after the installation of %s the daemon has version %s", version, got)
		}
		if sent.Load() == at {
			l.t.Errorf("no message was sent during the installation of %s", version)
		}
	}
	close(step)
	senders.Wait()
	if got := l.stored() - stored; got != int(sent.Load()) {
		l.t.Errorf("%d of %d messages are in the store; want all", got, sent.Load())
	}
	l.t.Logf("%d messages while the package changed three times", sent.Load())
}

// stored is the number of results in the store.
func (l *life) stored() int {
	l.t.Helper()
	return strings.Count(l.Run("dmarcgate results export --format jsonl --since 1h 2>/dev/null"), "\n")
}

// removes checks that a removal keeps configuration and results.
func (l *life) removes() {
	l.t.Helper()
	l.Run("touch /etc/dmarcgate/rules.d/own.toml && yes | " + documented(l.t, "apt remove dmarcgate"))
	if out, err := l.Try("pgrep -x dmarcgate || ls -d /proc/[0-9]*/exe | xargs -n1 readlink | grep dmarcgate"); err == nil {
		l.t.Errorf("after the removal the daemon runs: %s", out)
	}
	l.Run("test -e /etc/dmarcgate/dmarcgate.toml && test -e /etc/dmarcgate/rules.d/own.toml && test -e /var/lib/dmarcgate/results.db")
	if out, err := l.Try("ls -d /usr/sbin/dmarcgate /run/dmarcgate /var/spool/postfix/dmarcgate 2>/dev/null"); err == nil {
		l.t.Errorf("after the removal there are %s", out)
	}
}

// purges compares the files of the host with those before the installation.
func (l *life) purges(before map[string]bool) {
	l.t.Helper()
	l.Run("yes | " + documented(l.t, "apt purge dmarcgate"))
	for file := range l.files() {
		if !before[file] {
			l.t.Errorf("after the purge there is %s", file)
		}
	}
	if out, _ := l.Try("dpkg -l dmarcgate 2>/dev/null | grep ^[a-z][a-z]"); out != "" {
		l.t.Errorf("after the purge dpkg knows %s", out)
	}
	l.Run("getent passwd dmarcgate") // stays, so that its number is not given to another user
}

// byOthers are the places where apt, the journal and Postfix write meanwhile.
var byOthers = []string{"/proc/", "/var/log/", "/var/cache/apt/", "/var/lib/apt/", "/var/lib/postfix/", "/var/mail/", "/var/spool/postfix/"}

// files lists the files of the host without those of others.
func (l *life) files() map[string]bool {
	l.t.Helper()
	list := make(map[string]bool)
	for file := range strings.Lines(l.Run("find / -xdev; ls -d /var/spool/postfix/dmarcgate /run/* 2>/dev/null || true")) {
		file = strings.TrimSpace(file)
		if file == "/var/spool/postfix/dmarcgate" || !slices.ContainsFunc(byOthers, func(place string) bool { return strings.HasPrefix(file, place) }) {
			list[file] = true
		}
	}
	return list
}
