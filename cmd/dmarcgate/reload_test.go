package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dmarcgate/admin"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
)

const reloadZone = `
bank.example.        TXT "v=spf1 -all"
_dmarc.bank.example. TXT "v=DMARC1; p=reject"
`

// change replaces text in a daemon's configuration file.
func change(t *testing.T, d *daemon, old, new string) {
	t.Helper()
	path := d.state.path
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(old)) {
		t.Fatalf("the configuration has no %q:\n%s", old, text)
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(text, []byte(old), []byte(new)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func spoofMail(qid string) miltertest.Mail {
	return miltertest.Mail{Client: demoStranger, Helo: "[203.0.113.66]", From: "a@bank.example", Rcpts: []string{"u@receiver.example"},
		QueueID: qid, Message: []byte("From: a@bank.example\r\n\r\nhello\r\n")}
}

func TestAReloadChangesWhatItCanAndNamesWhatItCannot(t *testing.T) {
	dns := dnstest.New(t, reloadZone)
	d, log := startDaemon(t, dns.Addr(), testConfig{profile: "strict", quarantine: "tag", trusted: "192.0.2.255"})
	client, err := miltertest.Dial(d.gates[0].listener.Address.String(), miltertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	send := func(qid string) int {
		t.Helper()
		res, err := client.Send(spoofMail(qid))
		if err != nil {
			t.Fatal(err)
		}
		return res.Code
	}
	if got := send("1"); got != 550 {
		t.Fatalf("before the reload: %d; want 550", got)
	}
	change(t, d, `profile = "strict"`, `profile = "monitor"`)
	if r := d.reload(); !r.OK || len(r.Restart) != 0 {
		t.Fatalf("reload() = %+v; want success without a restart", r)
	}
	if got := send("2"); got != 0 {
		t.Errorf("after the reload, on the same connection: %d; want delivery", got)
	}
	change(t, d, `timeout = "2s"`, `timeout = "3s"`)
	change(t, d, `listen = "127.0.0.1:0"`, `listen = ""`)
	r := d.reload()
	if want := []string{"dns", "admin"}; !r.OK || !slices.Equal(r.Restart, want) {
		t.Errorf("reload() = %+v; want success, and %q to wait for a restart", r, want)
	}
	if !strings.Contains(log.String(), "need a restart") {
		t.Error("the log does not say that a restart is needed")
	}
}

func TestAReloadThatFailsKeepsWhatIsInForce(t *testing.T) {
	dns := dnstest.New(t, reloadZone)
	d, log := startDaemon(t, dns.Addr(), testConfig{profile: "strict", quarantine: "tag", trusted: "192.0.2.255"})
	client, err := miltertest.Dial(d.gates[0].listener.Address.String(), miltertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	change(t, d, `profile = "strict"`, `profil = "monitor"`)
	r := d.reload()
	if want := "did you mean \"profile\"?"; r.OK || !strings.Contains(r.Problem, want) || !strings.Contains(r.Problem, d.state.path+":") {
		t.Errorf("reload() = %+v; want a failure with file:line and %q", r, want)
	}
	if res, err := client.Send(spoofMail("1")); err != nil || res.Code != 550 {
		t.Errorf("after a failed reload: %+v, %v; want 550 as before", res, err)
	}
	if _, body := get(t, "http://"+d.web.socket.Addr().String()+"/metrics"); !strings.Contains(body, "dmarcgate_config_last_reload_successful 0") {
		t.Error("the metric of the last reload is not 0")
	}
	if s := d.status(t.Context()); !strings.Contains(s.Failure, "did you mean") {
		t.Errorf("status = %+v; want the failure in it", s)
	}
	if !strings.Contains(log.String(), "stay in force") {
		t.Error("the log does not say that the old settings stay in force")
	}
}

// Two configurations differ in profile, texts and rules. Whatever a message
// was answered with must come from one of them.
func TestReloadsUnderLoadLoseNoMessageAndMixNothing(t *testing.T) {
	reloads, connections := 20*scale(t), 50
	dns := dnstest.New(t, reloadZone)
	rules := t.TempDir()
	d, _ := startDaemon(t, dns.Addr(), testConfig{profile: "strict", quarantine: "reject", trusted: "192.0.2.255",
		extra: fmt.Sprintf("rules_dir = %q\n[reply]\nreject = \"DMARC A {domain} {reason}\"\n", rules)})
	rule := filepath.Join(rules, "a.toml")
	ruleText := []byte("[[rule]]\nid = \"only-in-b\"\nowner = \"x\"\ncreated = 2026-01-01\nmode = \"enforce\"\naction = \"as_published\"\n[rule.match]\nheader_from = [\"bank.example\"]\n")
	var stop atomic.Bool
	var sent, mixed atomic.Int64
	answered := make(chan struct{}, 1) // so that each pair of reloads has messages between them
	var wg sync.WaitGroup
	for c := range connections {
		wg.Go(func() {
			client, err := miltertest.Dial(d.gates[0].listener.Address.String(), miltertest.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			defer client.Close()
			for i := 0; !stop.Load(); i++ {
				qid := fmt.Sprintf("4X%dy%d", c, i)
				res, err := client.Send(spoofMail(qid))
				if err != nil || res.Code != 550 {
					t.Errorf("message %s = %+v, %v; want 550 under either configuration", qid, res, err)
					return
				}
				sent.Add(1)
				select {
				case answered <- struct{}{}:
				default:
				}
				rows, err := d.store.ByQueueID(context.Background(), qid)
				if err != nil || len(rows) != 1 {
					t.Errorf("message %s has %d rows, %v; want one", qid, len(rows), err)
					return
				}
				a := strings.HasPrefix(res.Text, "DMARC A") && rows[0].Decision.Rule == ""
				b := strings.HasPrefix(res.Text, "DMARC B") && rows[0].Decision.Rule == "only-in-b"
				if !a && !b {
					mixed.Add(1)
					t.Errorf("message %s: reply %q with decision %+v belongs to neither configuration", qid, res.Text, rows[0].Decision)
				}
			}
		})
	}
	for i := range reloads {
		if i%2 == 0 {
			change(t, d, "DMARC A", "DMARC B")
			if err := os.WriteFile(rule, ruleText, 0o644); err != nil {
				t.Fatal(err)
			}
		} else {
			change(t, d, "DMARC B", "DMARC A")
			if err := os.Remove(rule); err != nil {
				t.Fatal(err)
			}
		}
		if r := d.reload(); !r.OK {
			t.Errorf("reload %d: %s", i, r.Problem)
		}
		select {
		case <-answered:
		case <-t.Context().Done():
		case <-time.After(20 * time.Second):
			t.Fatalf("no message was answered for 20 s after reload %d", i)
		}
	}
	stop.Store(true)
	wg.Wait()
	t.Logf("%d reloads, %d messages, %d mixed", reloads, sent.Load(), mixed.Load())
	if sent.Load() < int64(reloads) {
		t.Errorf("messages = %d in %d reloads; want load", sent.Load(), reloads)
	}
}

func TestTheControlSocketServesItsCommands(t *testing.T) {
	dns := dnstest.New(t, reloadZone)
	d, _ := startDaemon(t, dns.Addr(), testConfig{profile: "strict", quarantine: "tag", trusted: "192.0.2.255"})
	cfg := d.state.path
	if info, err := os.Stat(d.inputs().Config.Admin.Control); err != nil || info.Mode().Perm() != controlMode {
		t.Errorf("mode of the control socket = %v, %v; want %o", info.Mode(), err, controlMode)
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
	if code, out, _ = command("reload", "-c", cfg); code != 0 || out != "reloaded\n" {
		t.Errorf("reload = %d, %q; want success", code, out)
	}
	socket := d.inputs().Config.Admin.Control
	change(t, d, `profile = "strict"`, `profile = "stric"`)
	if code, _, stderr = command("reload", "--socket", socket); code != 1 || !strings.Contains(stderr, `did you mean "strict"?`) {
		t.Errorf("reload of a wrong file = %d, %q; want 1 and the mend", code, stderr)
	}
	if code, _, stderr = command("status", "--socket", filepath.Join(t.TempDir(), "no.sock")); code != 1 || !strings.Contains(stderr, "is it running?") {
		t.Errorf("status without a daemon = %d, %q; want 1", code, stderr)
	}
}

func TestTailShowsDecisionsAsTheyAreMade(t *testing.T) {
	dns := dnstest.New(t, reloadZone)
	d, _ := startDaemon(t, dns.Addr(), testConfig{profile: "strict", quarantine: "tag", trusted: "192.0.2.255"})
	client, err := miltertest.Dial(d.gates[0].listener.Address.String(), miltertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var out bytes.Buffer
	done := make(chan error, 1)
	tail := &tailCmd{controlFlags: controlFlags{Socket: d.inputs().Config.Admin.Control}, Domain: "bank.example", IP: "203.0.113.0/24", Action: "reject", Count: 1}
	go func() { done <- tail.run(t.Context(), &env{stdout: &out}) }()
	// Messages are sent until tail has seen one: it may start late.
	for i := 0; ; i++ {
		if _, err := client.Send(spoofMail(fmt.Sprint("4X", i))); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			if err != nil || !strings.Contains(out.String(), "from=bank.example ip=203.0.113.66 reject: no aligned") {
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
