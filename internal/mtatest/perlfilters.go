package mtatest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"path/filepath"
	"testing"
)

const (
	spamdProgram         = sbin + "spamd"
	spamassMilterProgram = sbin + "spamass-milter"
	amavisProgram        = sbin + "amavisd"
)

// spamassassinConf has what spamd needs beside the lines of the test: the plugin
// that runs rules, and the names of the rules that match in the header.
const spamassassinConf = `loadplugin Mail::SpamAssassin::Plugin::Check
add_header all Status "_YESNO_, tests=_TESTS_"
report_safe 0
`

// StartSpamAssassin starts spamd, which looks nothing up, and spamass-milter
// before it, and stops both when the test ends. lines are the rules and further
// lines of local.cf; the rules of the package are not read, which takes long. It
// returns the address of the milter's socket, for smtpd_milters.
func StartSpamAssassin(t testing.TB, lines string) string {
	t.Helper()
	for _, program := range []string{spamdProgram, spamassMilterProgram} {
		if err := need(program); err != nil {
			t.Fatal(err)
		}
	}
	dir := Dir(t)
	files := map[string]string{"site/local.cf": spamassassinConf + lines, "rules/none.cf": "\n"}
	startFilter(t, dir, files, dialUnix(dir), spamdProgram, "--local", "--nouser-config", "--max-children=1", "--syslog=stderr", "--username=nobody", "--helper-home-dir="+dir,
		"--configpath="+dir+"/rules", "--siteconfigpath="+dir+"/site", "--socketpath="+dir+"/sock", "--socketmode=0666")
	milter := Dir(t)
	startFilter(t, milter, nil, dialUnix(milter), "/bin/sh", "-c", "umask 0; exec "+spamassMilterProgram+" -p "+milter+"/sock -- -U "+dir+"/sock")
	return "unix:" + milter + "/sock"
}

// amavisConf is the configuration of amavis with blanks: the directory, the
// addresses to listen at and to return mail to, and the lines of the test.
const amavisConf = `use strict;
$daemon_user = 'nobody'; $daemon_group = 'nogroup';
$MYHOME = '%[1]s/home'; $TEMPBASE = $MYHOME; $pid_file = "$MYHOME/pid"; $lock_file = "$MYHOME/lock";
$enable_db = 0; $DO_SYSLOG = 0; $log_level = 0; $max_servers = 1;
$myhostname = 'mx.receiver.example'; $mydomain = 'receiver.example'; @local_domains_maps = (['.receiver.example']);
$inet_socket_bind = '%[2]s'; $inet_socket_port = %[3]s;
$forward_method = $notify_method = 'smtp:[%[4]s]:%[5]s';
@bypass_virus_checks_maps = @bypass_spam_checks_maps = @bypass_banned_checks_maps = @bypass_header_checks_maps = (1);
$originating = 1; $enable_dkim_signing = 1;
dkim_key('receiver.example', 's1', '%[1]s/key');
%[6]s
1;
`

// StartAmavis starts amavis without scanners at an address, host:port, and stops
// it when the test ends. It signs mail of receiver.example and returns all mail to
// the smtpd at another address. lines are further lines of its configuration. It
// finds no key in the DNS.
func StartAmavis(t testing.TB, at, back, lines string) {
	t.Helper()
	if err := need(amavisProgram); err != nil {
		t.Fatal(err)
	}
	dir := Dir(t)
	home := filepath.Join(dir, "home")
	if err := mkdir(home, 0o777); err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		t.Fatal(err)
	}
	backHost, backPort, err := net.SplitHostPort(back)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"key": signingKey(t), "conf": fmt.Sprintf(amavisConf, dir, host, port, backHost, backPort, lines)}
	startFilter(t, dir, files, func() (net.Conn, error) { return net.Dial("tcp", at) }, amavisProgram, "-c", dir+"/conf", "foreground")
}

// signingKey makes a key for DKIM in PEM.
func signingKey(t testing.TB) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}
