// Package daemontest is for tests with a daemon in the test's process: its
// directory and configuration, what it logs, and a spoofed message for it.
package daemontest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dmarcgate/internal/miltertest"
	"dmarcgate/results/sqlite"
)

// Config is what tests vary of the configuration.
type Config struct {
	Profile, Quarantine, Trusted string // "strict", "tag" and "192.0.2.255" by default
	Address                      string // of the socket; one of the test's own by default
	Mode                         string // of the socket, "0660" by default
	DNSTimeout                   string // of one query and of one lookup; "1s" and "2s" by default
	HasStore                     bool   // it finds a store without a row
	Extra                        string // TOML: top-level keys first, then tables
	Rules                        string // TOML: a rule file
	TCP                          string // TOML: further keys of a listener that listens on a port of its own, instead of a socket
	Unnamed                      bool   // no authserv_id unless Extra has one
}

// socket returns the keys of the listener that say where it listens.
func (c Config) socket(dir string) string {
	if c.TCP != "" {
		return "address = \"tcp:127.0.0.1:0\"\n" + c.TCP
	}
	return fmt.Sprintf("address = %q\nsocket_mode = %q", cmp.Or(c.Address, "unix:"+dir+"/milter.sock"), cmp.Or(c.Mode, "0660"))
}

// Write makes a directory with the configuration of a daemon with one listener,
// which asks the name server at dns, and returns the path of the file.
func (c Config) Write(t *testing.T, dns string) string {
	t.Helper()
	dir := Dir(t)
	if c.HasStore {
		WriteEmptyStore(t, dir)
	}
	top, tables := CutTables(c.Extra)
	if c.Rules != "" {
		rules := filepath.Join(dir, "rules")
		if err := os.Mkdir(rules, 0o755); err != nil {
			t.Fatal(err)
		}
		PutFile(t, filepath.Join(rules, "case.toml"), c.Rules)
		top += fmt.Sprintf("rules_dir = %q\n", rules)
	}
	if !c.Unnamed {
		top = "authserv_id = \"mx.receiver.example\"\n" + top
	}
	path := filepath.Join(dir, "dmarcgate.toml")
	PutFile(t, path, fmt.Sprintf(`
state_dir = %q
%s
[[listener]]
name = "mta"
%s
profile = %q
quarantine = %q
trusted_networks = [%q]
[admin]
listen = "127.0.0.1:0"
[dns]
servers = [%q]
query_timeout = %q
timeout = %q
%s`, dir, top, c.socket(dir), cmp.Or(c.Profile, "strict"), cmp.Or(c.Quarantine, "tag"), cmp.Or(c.Trusted, "192.0.2.255"),
		dns, cmp.Or(c.DNSTimeout, "1s"), cmp.Or(c.DNSTimeout, "2s"), tables))
	return path
}

// Write makes a directory with a configuration file of the test's own, in which
// %s stands for the directory, and returns the path of the file.
func Write(t *testing.T, text string) string {
	t.Helper()
	dir := Dir(t)
	path := filepath.Join(dir, "dmarcgate.toml")
	PutFile(t, path, strings.ReplaceAll(text, "%s", dir))
	return path
}

// Dir makes a directory that is short enough for the path of a socket, and that
// every user can enter.
func Dir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dg") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // the MTA's user must get to the socket
		t.Fatal(err)
	}
	return dir
}

// CutTables cuts TOML before its first table.
func CutTables(text string) (top, tables string) {
	i := strings.Index("\n"+text, "\n[")
	if i < 0 {
		return text, ""
	}
	return text[:i], text[i:]
}

// emptyStore is the files of a store without a row, by name. Making its tables
// takes a third of the time of a case.
var emptyStore = sync.OnceValues(func() (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "dg")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	store, err := sqlite.Open(context.Background(), sqlite.Options{
		Path: filepath.Join(dir, "results.db"), Durability: sqlite.Ack, Queue: 1, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	if err := store.Close(); err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return files, err
})

// WriteEmptyStore puts a store without a row into a directory.
func WriteEmptyStore(t *testing.T, dir string) {
	t.Helper()
	files, err := emptyStore()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// PutFile replaces a file as editors and scripts do, by rename.
func PutFile(t *testing.T, path, text string) {
	t.Helper()
	next := path + ".new"
	if err := os.WriteFile(next, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

// Change replaces text in a file, which must be there.
func Change(t *testing.T, path, old, new string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(old)) {
		t.Fatalf("%s has no %q:\n%s", path, old, text)
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(text, []byte(old), []byte(new)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Zone is the DNS of a domain that wants mail rejected that is not its own.
const Zone = `
bank.example.        TXT "v=spf1 -all"
_dmarc.bank.example. TXT "v=DMARC1; p=reject"
`

// SpoofedMail is a message that Zone wants rejected.
func SpoofedMail(qid string) miltertest.Mail {
	return miltertest.Mail{Client: netip.MustParseAddr("203.0.113.66"), Helo: "[203.0.113.66]", From: "a@bank.example", Rcpts: []string{"u@receiver.example"},
		QueueID: qid, Message: []byte("From: a@bank.example\r\n\r\nhello\r\n")}
}

// Send sends one message to the socket at addr and returns the message as it is
// delivered, or the reply.
func Send(t *testing.T, addr string, m miltertest.Mail) (final string, res miltertest.Result) {
	t.Helper()
	c, err := miltertest.Dial(addr, miltertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if res, err = c.Send(m); err != nil {
		t.Fatal(err)
	}
	return string(miltertest.Apply(m.Message, res)), res
}

// Get returns the status and the body of a page.
func Get(t *testing.T, url string) (int, string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// Eventually asks until ok answers true: the only way to wait for a daemon
// that starts.
func Eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// Rule is a rule of a rule file: the keys that every rule has, then these lines.
func Rule(id, lines string) string {
	return fmt.Sprintf("[[rule]]\nid = %q\nowner = \"x\"\ncreated = 2026-01-01\n%s", id, lines)
}

// Buffer is a buffer that several goroutines may write.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (s *Buffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// String returns what was written.
func (s *Buffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
