package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/doctor"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
)

// noPostfix is a configuration directory of Postfix that has no files.
func noPostfix(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "none")
}

// findings runs doctor and returns its exit code and what it finds.
func findings(t *testing.T, args ...string) (code int, found []doctor.Finding, out string) {
	t.Helper()
	code, out, stderr := command(append([]string{"doctor", "--json"}, args...)...)
	var said struct {
		Findings []doctor.Finding `json:"findings"`
		Unseen   []string         `json:"not_examined"`
	}
	if err := json.Unmarshal([]byte(out), &said); err != nil {
		t.Fatalf("doctor --json = %d, %q, %s: %v", code, out, stderr, err)
	}
	return code, said.Findings, out
}

// faultIDs are the ids of errors and warnings.
func faultIDs(found []doctor.Finding) string {
	var ids []string
	for _, f := range found {
		if f.Level != "remark" {
			ids = append(ids, f.ID)
		}
	}
	return strings.Join(ids, " ")
}

func TestDoctorExitsWithTheSeverityOfItsFindings(t *testing.T) {
	dns := dnstest.New(t, toolZone+"!any\n")
	d, _ := startDaemon(t, dns.Addr(), daemontest.Config{Profile: "monitor"})
	args := []string{"-c", d.path, "--postfix-dir", noPostfix(t)}
	if code, found, out := findings(t, args...); code != exitOK || faultIDs(found) != "" {
		t.Errorf("doctor of a running daemon = %d, %s; want no fault", code, out)
	}
	if code, out, _ := command(append([]string{"doctor"}, args...)...); code != exitOK || !strings.Contains(out, "no fault found\n") {
		t.Errorf("doctor = %d, %q; want no fault found", code, out)
	}

	later := time.Now().Add(time.Hour) // the file was edited, without a reload
	if err := os.Chtimes(d.path, later, later); err != nil {
		t.Fatal(err)
	}
	if code, found, out := findings(t, args...); code != exitFailed || faultIDs(found) != "config_not_read" {
		t.Errorf("doctor after an edit = %d, %s; want config_not_read", code, out)
	}

	text, err := os.ReadFile(d.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.path, append([]byte("new_key = 1\n"), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	code, found, out := findings(t, args...)
	if code != exitUsage || !strings.Contains(faultIDs(found), "config ") {
		t.Errorf("doctor of a configuration of a newer version = %d, %s; want config, and exit code %d", code, out, exitUsage)
	}
	if code, _, stderr := command("doctor", "-c", filepath.Join(t.TempDir(), "none.toml")); code != exitUsage || !strings.Contains(stderr, "none.toml") {
		t.Errorf("doctor without a file = %d, %q; want %d and its name", code, stderr, exitUsage)
	}
}

func TestDoctorFindsADaemonThatDoesNotRun(t *testing.T) {
	path := daemontest.Config{Profile: "monitor"}.Write(t, dnstest.New(t, toolZone+"!any\n").Addr())
	code, found, out := findings(t, "-c", path, "--postfix-dir", noPostfix(t))
	if code != exitFailed || faultIDs(found) != "daemon_down" || found[0].Fixes[0].Line != "systemctl start dmarcgate" {
		t.Errorf("doctor without a daemon = %d, %s; want daemon_down", code, out)
	}
}

func TestDoctorRepeatsWarningsOfCheckConfig(t *testing.T) {
	rule := `[[rule]]
id = "never"
owner = "postmaster@receiver.example"
created = 2026-01-01
expires = 2027-06-01
mode = "enforce"
action = "accept"
reason = "local_policy"
[rule.match]
client = ["192.0.2.7"]
author = ["shop.example"]
not_author = ["shop.example"]
`
	d, _ := startDaemon(t, dnstest.New(t, toolZone+"!any\n").Addr(), daemontest.Config{Profile: "monitor", Rules: rule})
	code, found, out := findings(t, "-c", d.path, "--postfix-dir", noPostfix(t))
	if code != exitFailed || !strings.Contains(out, "[never_decides]") || found[0].ID != "config_warning" || !strings.HasSuffix(found[0].Fixes[0].Place, "case.toml") {
		t.Errorf("doctor of a rule that never decides = %d, %s; want the warning of check-config with its file", code, out)
	}
}

// The check that the daemon makes before it sends reports is one of doctor, whether
// sending is switched on or not.
func TestDoctorChecksTheIdentityOfReports(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key.pem")
	dns := dnstest.New(t, toolZone+"_dmarc.reports.example. TXT \"v=DMARC1; p=reject\"\nreports.example. MX 10 mx.reports.example.\n!any\n")
	d, _ := startDaemon(t, dns.Addr(), daemontest.Config{Profile: "monitor", Extra: fmt.Sprintf(
		"[reports]\norganization = \"R\"\nemail = \"dmarc@reports.example\"\nsubmitter = \"reports.example\"\nselector = \"r1\"\nkey_file = %q\nsmarthost = \"127.0.0.1:25\"\ntls = \"none\"\n", key)})
	args := []string{"-c", d.path, "--postfix-dir", noPostfix(t)}
	if code, found, out := findings(t, args...); code != exitFailed || faultIDs(found) != "report_identity" || !strings.Contains(out, "no such file") {
		t.Errorf("doctor without the key = %d, %s; want report_identity", code, out)
	}
	if err := os.WriteFile(key, dkimPEM(t), 0o600); err != nil {
		t.Fatal(err)
	}
	code, found, out := findings(t, args...)
	if code != exitFailed || faultIDs(found) != "report_identity" || !strings.Contains(out, "publish r1._domainkey.reports.example TXT") {
		t.Errorf("doctor without a key in the DNS = %d, %s; want report_identity with the record to publish", code, out)
	}
	if !slices.ContainsFunc(found, func(f doctor.Finding) bool { return f.ID == "report_advice" }) {
		t.Errorf("doctor without an SPF record = %s; want report_advice", out)
	}
}

// dkimPEM is a private key as openssl writes it.
func dkimPEM(t *testing.T) []byte {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}
