package mtatest

import (
	"context"
	"dmarcgate/internal/childtest"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const (
	unboundProgram = sbin + "unbound"
	nsdProgram     = sbin + "nsd"
	probeTime      = 200 * time.Millisecond // for one question while a server starts
)

// DNS is a real resolver on loopback: unbound, with its cache, retries and
// iteration, asking an NSD that serves one zone of the test's own, and maybe a
// signed one, which unbound validates.
type DNS struct {
	t        testing.TB
	dir      string
	addr     string
	resolver *server // unbound
	zone     *server // nsd
	zonePort int
	serial   uint32 // of the root zone
	once     sync.Once
}

// StartDNS starts a resolver that knows the records of zoneText and nothing
// else, and stops it when the test ends. It takes about a fifth of a second.
//
// zoneText is a flat list of records in the text of RFC 1035, Section 5, with
// names of any domain, taken as absolute with or without a final dot. TTL is
// 300 s where none is given, 60 s for "there is no such thing". All of it is
// the root zone, so a domain needs no SOA (and can have none).
//
// Two kinds of failure can be had: every question about a domain in broken, or
// a name below it, is answered with SERVFAIL. And NS records delegate, so a
// domain whose NS has an address where nobody listens, such as 127.0.0.9, has
// the resolver try for half a minute and more.
func StartDNS(t testing.TB, zoneText string, broken ...string) *DNS {
	t.Helper()
	return startDNS(t, zoneText, nil, broken)
}

// StartValidatingDNS is StartDNS with a signed zone beside the root zone, and
// with a resolver that validates what is below it. What is not stays unsigned.
func StartValidatingDNS(t testing.TB, zoneText string, signed *SignedZone) *DNS {
	t.Helper()
	return startDNS(t, zoneText, signed, nil)
}

func startDNS(t testing.TB, zoneText string, signed *SignedZone, broken []string) *DNS {
	t.Helper()
	if err := need(unboundProgram, nsdProgram, sbin+"nsd-checkzone"); err != nil {
		t.Fatal(err)
	}
	d := &DNS{t: t, dir: workDir(t, "")}
	t.Cleanup(d.Stop)
	if err := d.start(zoneText, signed, broken); err != nil {
		t.Fatalf("starting DNS: %v", err)
	}
	return d
}

func (d *DNS) start(zoneText string, signed *SignedZone, broken []string) error {
	nsdPort, err := childtest.FreePort()
	if err != nil {
		return err
	}
	d.zonePort, d.serial = nsdPort, 1
	if err := writeZone(d.dir, d.serial, zoneText); err != nil {
		return err
	}
	zones := fmt.Sprintf(nsdConf, d.dir, nsdPort)
	for _, domain := range broken {
		zones += fmt.Sprintf(nsdBroken, domain)
	}
	modules := `module-config: "iterator"`
	if signed != nil {
		if err := writeFile(filepath.Join(d.dir, "signed.zone"), signed.text); err != nil {
			return err
		}
		zones += fmt.Sprintf(nsdSigned, signed.apex)
		modules = fmt.Sprintf(unboundValidating, signed.anchor)
	}
	if err := d.startZones(nsdPort, zones); err != nil {
		return err
	}
	return d.startResolver(nsdPort, modules)
}

// startZones starts NSD.
func (d *DNS) startZones(port int, text string) error {
	conf := filepath.Join(d.dir, "nsd.conf")
	if err := writeFile(conf, text); err != nil {
		return err
	}
	var err error
	d.zone, err = run(filepath.Join(d.dir, "nsd.log"), nsdProgram, "-d", "-c", conf)
	if err != nil {
		return err
	}
	return d.zone.ready(func() bool { return answers(loopback(port)) })
}

// startResolver starts unbound.
func (d *DNS) startResolver(nsdPort int, modules string) error {
	port, err := childtest.FreePort()
	if err != nil {
		return err
	}
	d.addr = loopback(port)
	conf := filepath.Join(d.dir, "unbound.conf")
	if err := writeFile(conf, fmt.Sprintf(unboundConf, d.dir, port, nsdPort, modules)); err != nil {
		return err
	}
	program, err := unconfined(d.dir, unboundProgram)
	if err != nil {
		return err
	}
	d.resolver, err = run(filepath.Join(d.dir, "unbound.log"), program, "-d", "-c", conf)
	if err != nil {
		return err
	}
	return d.resolver.ready(func() bool { return answers(d.addr) })
}

// writeZone writes the root zone, and says what is wrong with it.
func writeZone(dir string, serial uint32, zoneText string) error {
	file := filepath.Join(dir, "root.zone")
	if err := writeFile(file, fmt.Sprintf(zoneHead, serial)+zoneText+"\n"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, sbin+"nsd-checkzone", ".", file).CombinedOutput()
	if err != nil {
		lines := strings.Count(zoneHead, "\n")
		return fmt.Errorf("the zone is wrong (line numbers count %d lines before it): %s", lines, out)
	}
	return nil
}

const zoneHead = `$ORIGIN .
$TTL 300
@ SOA mtatest-root. hostmaster.mtatest-root. %d 3600 600 86400 60
@ NS mtatest-root.
mtatest-root. A 127.0.0.1
`

const nsdConf = `server:
	ip-address: 127.0.0.1@%[2]d
	username: ""
	chroot: ""
	server-count: 1
	database: ""
	zonesdir: "%[1]s"
	pidfile: "%[1]s/nsd.pid"
	xfrdfile: "%[1]s/xfrd.state"
	zonelistfile: "%[1]s/zone.list"
	xfrdir: "%[1]s"
	hide-version: yes
	rrl-ratelimit: 0
remote-control:
	control-enable: no
zone:
	name: "."
	zonefile: root.zone
`

// nsdBroken is a zone without a file, for which NSD answers SERVFAIL.
const nsdBroken = `zone:
	name: "%s"
	zonefile: there-is-no-such-file
`

// nsdSigned is the signed zone.
const nsdSigned = `zone:
	name: "%s"
	zonefile: signed.zone
`

// unboundValidating has unbound validate below a key, and say why an answer is
// refused (RFC 8914).
const unboundValidating = `module-config: "validator iterator"
	ede: yes
	trust-anchor: "%s"`

// unboundConf makes a resolver that believes the test's root zone and nothing
// of its own: no DNSSEC unless the test has a signed zone, none of the built-in zones (for test., invalid.,
// reverse zones of documentation addresses and so on), names asked in full.
const unboundConf = `server:
	interface: 127.0.0.1
	port: %[2]d
	username: ""
	chroot: ""
	directory: "%[1]s"
	pidfile: ""
	use-syslog: no
	logfile: ""
	do-daemonize: no
	num-threads: 1
	do-ip6: no
	%[4]s
	do-not-query-localhost: no
	qname-minimisation: no
	target-fetch-policy: "0 0 0 0 0"
	unblock-lan-zones: yes
	insecure-lan-zones: yes
	local-zone: "localhost." nodefault
	local-zone: "127.in-addr.arpa." nodefault
	local-zone: "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa." nodefault
	local-zone: "home.arpa." nodefault
	local-zone: "onion." nodefault
	local-zone: "test." nodefault
	local-zone: "invalid." nodefault
remote-control:
	control-enable: no
stub-zone:
	name: "."
	stub-addr: 127.0.0.1@%[3]d
	stub-prime: no
`

// unconfined returns a program that may read files in dir. Debian's AppArmor
// profile confines /usr/sbin/unbound to its own directories, by path, so a
// copy is run where AppArmor is on.
func unconfined(dir, program string) (string, error) {
	on, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	if err != nil || !strings.HasPrefix(string(on), "Y") {
		return program, nil
	}
	bytes, err := os.ReadFile(program)
	if err != nil {
		return "", err
	}
	own := filepath.Join(dir, filepath.Base(program))
	return own, os.WriteFile(own, bytes, 0o755)
}

// answers reports whether a server has the SOA of the root.
func answers(addr string) bool { return serial(addr) > 0 }

// serial asks a server for the serial of the root zone; 0 when there is none.
func serial(addr string) uint32 {
	c := dns.Client{Timeout: probeTime}
	q := new(dns.Msg).SetQuestion(".", dns.TypeSOA)
	r, _, err := c.Exchange(q, addr)
	if err != nil || r.Rcode != dns.RcodeSuccess || len(r.Answer) != 1 {
		return 0
	}
	return r.Answer[0].(*dns.SOA).Serial
}

// Addr returns the address of the resolver, as "127.0.0.1:port", for UDP and
// TCP.
func (d *DNS) Addr() string { return d.addr }

// SetZone replaces the zone that is served. What the resolver has in its cache
// stays there until its TTL is over. It returns when NSD answers by the new
// zone, whose serial is the number of the change, many times in a row: a process
// of NSD that has the old zone shares the socket until it ends.
func (d *DNS) SetZone(zoneText string) {
	d.t.Helper()
	d.serial++
	if err := d.setZone(zoneText); err != nil {
		d.t.Fatalf("changing the zone: %v", err)
	}
}

func (d *DNS) setZone(zoneText string) error {
	file := filepath.Join(d.dir, "root.zone")
	before, err := os.Stat(file)
	if err != nil {
		return err
	}
	if err := writeZone(d.dir, d.serial, zoneText); err != nil {
		return err
	}
	// NSD compares times, of a resolution that the file system chooses.
	later := before.ModTime().Add(time.Second)
	if err := os.Chtimes(file, later, later); err != nil {
		return err
	}
	if err := syscall.Kill(d.zone.pid, syscall.SIGHUP); err != nil {
		return err
	}
	return d.zone.ready(func() bool {
		for range 20 {
			if serial(loopback(d.zonePort)) != d.serial {
				return false
			}
		}
		return true
	})
}

// StopResolver suspends the resolver: questions get no answer, and are
// answered late when it is resumed while they wait. Its cache is kept.
func (d *DNS) StopResolver() {
	d.t.Helper()
	if err := d.resolver.signal(syscall.SIGSTOP, "T"); err != nil {
		d.t.Errorf("suspending the resolver: %v", err)
	}
}

// ResumeResolver lets a suspended resolver go on.
func (d *DNS) ResumeResolver() {
	d.t.Helper()
	if err := d.resolver.signal(syscall.SIGCONT, "RSD"); err != nil {
		d.t.Errorf("resuming the resolver: %v", err)
	}
}

// Stop ends both servers, so that questions are refused by the kernel, and
// fails the test when a process of them stays. It may be called again.
func (d *DNS) Stop() {
	d.once.Do(func() {
		var errs []error
		for _, s := range []*server{d.resolver, d.zone} {
			if s != nil {
				errs = append(errs, s.stop())
			}
		}
		if err := errors.Join(errs...); err != nil {
			d.t.Errorf("stopping DNS: %v", err)
		}
	})
}

// Processes lists the running processes of both servers by process id.
func (d *DNS) Processes() []int {
	return append(d.resolver.processes(), d.zone.processes()...)
}
