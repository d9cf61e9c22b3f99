package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/config"
)

// unit returns the settings of a unit file, all values of each key.
func unit(t *testing.T, name string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../deploy/systemd", name))
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string][]string)
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			out[key] = append(out[key], value)
		}
	}
	return out
}

func TestSystemdUnitsMatchDaemon(t *testing.T) {
	service, socket := unit(t, "dmarcgate.service"), unit(t, "dmarcgate-postfix.socket")
	for key, want := range map[string]string{
		"Type": "notify", "ExecStart": "/usr/sbin/dmarcgate serve", "ExecReload": "/bin/sh -c 'kill -HUP $MAINPID'",
		"RestartPreventExitStatus": fmt.Sprint(exitUsage), "StateDirectory": "dmarcgate",
		"SyslogFacility": "mail", "SyslogIdentifier": "dmarcgate",
	} {
		if !slices.Contains(service[key], want) {
			t.Errorf("dmarcgate.service: %s = %q; want %q", key, service[key], want)
		}
	}
	// systemd.service(5): RestartPreventExitStatus= is about the main process. A
	// check before it fails in another one, and is tried again for ever.
	if pre := service["ExecStartPre"]; len(pre) > 0 {
		t.Errorf("dmarcgate.service: ExecStartPre = %q; want none", pre)
	}
	if group := socket["SocketGroup"]; len(group) != 1 || group[0] == service["Group"][0] {
		t.Errorf("SocketGroup = %q, Group = %q; want two groups", group, service["Group"])
	}
	for _, command := range service["ExecStart"] {
		if err := parses(strings.Fields(command)[1:]); err != nil {
			t.Errorf("dmarcgate.service: %q: %v", command, err)
		}
	}
	if stop, err := time.ParseDuration(service["TimeoutStopSec"][0] + "s"); err != nil || stop <= config.Default().Limits.DrainTimeout.Std()+30*time.Second {
		t.Errorf("TimeoutStopSec = %v, %v; want more than drain_timeout and the 30 s for messages in progress", stop, err)
	}
	name := "systemd:" + socket["FileDescriptorName"][0]
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil || !strings.Contains(string(text), "`"+name+"`") {
		t.Errorf("docs/operations.md does not name the address %s: %v", name, err)
	}
	if want := []string{"dmarcgate.socket dmarcgate-postfix.socket"}; !slices.Equal(service["Sockets"], want) {
		t.Errorf("dmarcgate.service: Sockets = %q; want %q", service["Sockets"], want)
	}
	// The sockets of one listener have one name.
	other := unit(t, "dmarcgate.socket")
	if !slices.Equal(other["FileDescriptorName"], socket["FileDescriptorName"]) {
		t.Errorf("FileDescriptorName = %q and %q; want the same", other["FileDescriptorName"], socket["FileDescriptorName"])
	}
	if group := other["SocketGroup"]; len(group) != 1 || group[0] == service["Group"][0] {
		t.Errorf("dmarcgate.socket: SocketGroup = %q, Group = %q; want two groups", group, service["Group"])
	}
}

// systemd itself is not on every host; where it is, it has the last word.
func TestSystemdUnitIsHardened(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("SKIPPED: no systemd-analyze on this host")
	}
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=20", "../../deploy/systemd/dmarcgate.service").CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}
