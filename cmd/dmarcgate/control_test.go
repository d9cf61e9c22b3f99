package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dmarcgate/admin"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
)

func TestControlSocketServesCommands(t *testing.T) {
	dns := dnstest.New(t, daemontest.Zone)
	d, _ := startDaemon(t, dns.Addr(), daemontest.Config{})
	cfg := d.path
	if info, err := os.Stat(d.Inputs().Config.Admin.Control); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode of the control socket = %v, %v; want 0660", info.Mode(), err)
	}
	code, out, stderr := command("status", "-c", cfg)
	for _, want := range []string{"dmarcgate devel, process", "listener mta: unix:", "profile strict", "store: ok", "durability ack", "0 rules"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("status = %d, %s%s; want %q in it", code, out, stderr, want)
		}
	}
	code, out, _ = command("status", "-c", cfg, "--json")
	var s admin.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != 0 || s.PID != os.Getpid() {
		t.Errorf("status --json = %d, %+v, %v; want this process", code, s, err)
	}
	if len(s.Listeners) != 1 || !slices.Equal(s.Listeners[0].Sockets, []string{d.Listeners()[0].Addr()}) {
		t.Errorf("status --json has the listeners %+v; want one at %s", s.Listeners, d.Listeners()[0].Addr())
	}
	if code, out, _ = command("reload", "-c", cfg); code != 0 || out != "reloaded\n" {
		t.Errorf("reload = %d, %q; want success", code, out)
	}
	socket := d.Inputs().Config.Admin.Control
	daemontest.Change(t, d.path, `profile = "strict"`, `profile = "stric"`)
	if code, _, stderr = command("reload", "--socket", socket); code != 1 || !strings.Contains(stderr, `did you mean "strict"?`) {
		t.Errorf("reload of a wrong file = %d, %q; want 1 and the fix", code, stderr)
	}
	if code, _, stderr = command("status", "--socket", filepath.Join(t.TempDir(), "no.sock")); code != 1 || !strings.Contains(stderr, "is it running?") {
		t.Errorf("status without a daemon = %d, %q; want 1", code, stderr)
	}
}

func TestTailShowsLiveDecisions(t *testing.T) {
	dns := dnstest.New(t, daemontest.Zone)
	d, _ := startDaemon(t, dns.Addr(), daemontest.Config{})
	client, err := miltertest.Dial(d.Listeners()[0].Addr(), miltertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var out bytes.Buffer
	done := make(chan error, 1)
	tail := &tailCmd{controlFlags: controlFlags{Socket: d.Inputs().Config.Admin.Control}, Author: "bank.example", Client: "203.0.113.0/24", Action: "reject", Count: 1}
	go func() { done <- tail.run(t.Context(), &env{stdout: &out}) }()
	// Messages are sent until tail has seen one: it may start late.
	for i := 0; ; i++ {
		if _, err := client.Send(daemontest.SpoofedMail(fmt.Sprint("4X", i))); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			if err != nil || !strings.Contains(out.String(), "author=bank.example client=203.0.113.66 reject: no aligned") {
				t.Errorf("tail = %v, %q; want one decision", err, out.String())
			}
			return
		default:
		}
	}
}

func TestCompletionKnowsEveryCommand(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		code, out, stderr := command("completion", shell)
		for _, want := range []string{"serve", "explain", "mail-from", "reload", "check-config", "flush", "stale", "rules list --ids"} {
			if code != 0 || !strings.Contains(out, want) {
				t.Errorf("completion %s = %d, %s%s; want %q in it", shell, code, out, stderr, want)
			}
		}
	}
}
