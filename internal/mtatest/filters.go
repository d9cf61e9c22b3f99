package mtatest

import (
	"context"
	"dmarcgate/internal/childtest"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	opendkimProgram = sbin + "opendkim"
	rspamdProgram   = "/usr/bin/rspamd"
	filterTime      = 2 * time.Minute // for a filter to start, rspamd for the first time on a busy machine
)

// opendkimConf is the configuration of OpenDKIM with blanks: the directory
// (twice), and the lines of the test.
const opendkimConf = `Socket local:%[1]s/sock
UMask 0
Syslog no
Domain receiver.example
Selector s1
KeyFile %[1]s/key
RequireSafeKeys no
InternalHosts 127.0.0.1
%[2]s
`

// StartOpenDKIM starts OpenDKIM, which signs mail of receiver.example by
// authenticated clients and programs of the host, and stops it when the test
// ends. lines are further lines of opendkim.conf, such as "Mode s". It returns
// the address of its socket, for smtpd_milters. It finds no key in the DNS.
func StartOpenDKIM(t testing.TB, lines string) string {
	t.Helper()
	if err := need(opendkimProgram); err != nil {
		t.Fatal(err)
	}
	dir := Dir(t)
	startFilter(t, dir, map[string]string{"key": signingKey(t), "conf": fmt.Sprintf(opendkimConf, dir, lines)},
		dialUnix(dir), opendkimProgram, "-f", "-x", dir+"/conf")
	return "unix:" + dir + "/sock"
}

// rspamdFiles switch off what looks outside or takes long, and have one worker
// that speaks milter at a socket. DIR stands for the directory.
var rspamdFiles = map[string]string{
	"local.d/options.inc":           "disable_hyperscan = true;\nfilters = [];\nurl_tld = \"DIR/tlds\";\ndns { nameserver = [\"127.0.0.1:1\"]; timeout = 0.1s; retransmits = 1; }\n",
	"tlds":                          "example\n", // the list of Debian is compiled for a minute, and read for seconds
	"local.d/worker-proxy.inc":      "bind_socket = \"DIR/sock mode=0666\";\ncount = 1;\nmilter = yes;\ntimeout = 20s;\nupstream \"local\" { default = yes; self_scan = yes; }\n",
	"local.d/worker-normal.inc":     "enabled = false;\n",
	"local.d/worker-controller.inc": "enabled = false;\n",
	"local.d/worker-fuzzy.inc":      "enabled = false;\n",
	"local.d/rbl.conf":              "enabled = false;\n",
	"local.d/surbl.conf":            "enabled = false;\n",
	"local.d/phishing.conf":         "enabled = false;\n",
	"local.d/fuzzy_check.conf":      "enabled = false;\n",
	"local.d/asn.conf":              "enabled = false;\n",
}

// StartRspamd starts rspamd with Debian's configuration and no network around,
// and stops it when the test ends. files are further files below the directory
// of the local configuration, such as "local.d/multimap.conf"; DIR in them
// stands for that directory. It returns the address of its socket, for
// smtpd_milters. The first start compiles patterns for some seconds, and keeps them
// in the cache folder of the checkout.
func StartRspamd(t testing.TB, files map[string]string) string {
	t.Helper()
	if err := need(rspamdProgram); err != nil {
		t.Fatal(err)
	}
	dir := Dir(t)
	all := map[string]string{}
	for _, list := range []map[string]string{rspamdFiles, files} {
		for name, text := range list {
			all[name] = strings.ReplaceAll(text, "DIR", dir)
		}
	}
	cache, err := cacheDir("rspamd")
	if err == nil {
		err = os.MkdirAll(cache, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	startFilter(t, dir, all, dialUnix(dir), rspamdProgram, "-f", "-i", "-c", "/etc/rspamd/rspamd.conf",
		"--var=LOCAL_CONFDIR="+dir, "--var=RUNDIR="+dir, "--var=DBDIR="+cache, "--var=LOGDIR="+dir)
	return "unix:" + dir + "/sock"
}

// dialUnix connects to the socket "sock" of a filter's directory.
func dialUnix(dir string) func() (net.Conn, error) {
	return func() (net.Conn, error) { return net.Dial("unix", dir+"/sock") }
}

// startFilter writes the files of a filter and starts it. It is ready when it
// takes connections.
func startFilter(t testing.TB, dir string, files map[string]string, dial func() (net.Conn, error), program string, args ...string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := writeFile(path, text); err != nil {
			t.Fatal(err)
		}
	}
	s, err := run(filepath.Join(dir, "log"), program, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// A milter of libmilter takes SIGTERM into account after up to 5 s, and no
		// filter has anything to save.
		for _, pid := range s.processes() {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		if err := s.stop(); err != nil {
			t.Errorf("stopping %s: %v", s.name, err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), filterTime)
	defer cancel()
	up := false
	childtest.Poll(ctx, func() bool {
		c, err := dial()
		if up = err == nil; up {
			c.Close()
		}
		return up || s.ended()
	})
	if !up {
		t.Fatalf("%s does not answer; its log ends in:\n%s", s.name, s.tail())
	}
}
