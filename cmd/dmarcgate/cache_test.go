package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/admin"
	"dmarcgate/dnscache"
	"dmarcgate/internal/dnstest"
	"dmarcgate/term"
)

// shelf is the cache of a daemon that has nothing else.
type shelf []dnscache.Entry

func (s shelf) Dump(f func(dnscache.Entry) bool) {
	for _, e := range s {
		if !f(e) {
			return
		}
	}
}

func (s shelf) Show(name string) (list []dnscache.Entry) {
	for _, e := range s {
		if e.Name == name {
			list = append(list, e)
		}
	}
	return list
}

func (s shelf) Flush(name string) int { return len(s.Show(name)) }
func (s shelf) FlushAll() int         { return len(s) }

// serveCache serves a cache on the control socket of a state directory, and
// returns the directory.
func serveCache(t *testing.T, cache admin.Cache) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "dg") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ln, err := net.Listen("unix", filepath.Join(dir, "control.sock"))
	if err != nil {
		t.Fatal(err)
	}
	srv, done := admin.NewControl(admin.Control{Cache: cache}), make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(ln)
	}()
	t.Cleanup(func() {
		srv.Close()
		<-done
	})
	return dir
}

var mixedShelf = shelf{
	{Name: "b.example", Type: "TXT", Records: []string{"v=spf1 -all", "\x1b[2J\"\n"}, AD: true, Age: 3 * time.Minute, TTL: 2 * time.Minute},
	{Name: "a\x07.example", Type: "TXT", NXDomain: true, TTL: time.Second},
	{Name: "a.example", Type: "TXT", Records: []string{"old"}, Stale: true, Failure: "timeout", Age: time.Hour},
	{Name: "a.example", Type: "A", Failure: "servfail", Age: time.Second, TTL: 4 * time.Second},
	{Name: "a.example", Type: "MX", TTL: time.Minute},
}

func TestCacheDumpIsSortedAndPrintable(t *testing.T) {
	socket := filepath.Join(serveCache(t, mixedShelf), "control.sock")
	code, out, stderr := command("cache", "dump", "--socket", socket)
	want := `TXT a?.example: no such name (age 0s, TTL 1s)
A a.example: servfail (age 1s, TTL 4s)
MX a.example: no record of this type (age 0s, TTL 1m0s)
TXT a.example: ["old"] (age 1h0m0s, TTL 0s, stale); the last lookup failed: timeout
TXT b.example: ["v=spf1 -all" "\x1b[2J\"\n"] (age 3m0s, TTL 2m0s, AD)
`
	if code != 0 || out != want || stderr != "" {
		t.Errorf("cache dump = %d\n%s%s\nwant\n%s", code, out, stderr, want)
	}
	if _, out, _ = command("cache", "dump", "--socket", socket, "--type", "txt", "--stale"); out != strings.SplitAfter(want, "\n")[3] {
		t.Errorf("cache dump --type txt --stale =\n%s\nwant the stale entry", out)
	}
	_, out, _ = command("cache", "dump", "--socket", socket, "--json")
	var names []string
	for line := range strings.Lines(out) {
		var e dnscache.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Errorf("cache dump --json prints %q: %v", line, err)
		}
		names = append(names, e.Name+strings.Join(e.Records, ""))
	}
	if want := []string{"a?.example", "a.example", "a.example", "a.exampleold", "b.examplev=spf1 -all?[2J\"?"}; !slices.Equal(names, want) {
		t.Errorf("cache dump --json has %q; want %q", names, want)
	}
}

func TestCacheShowListsEntriesOfName(t *testing.T) {
	socket := filepath.Join(serveCache(t, mixedShelf), "control.sock")
	code, out, stderr := command("cache", "show", "--socket", socket, "A.Example.")
	want := `a.example
├─ TXT (age 1h0m0s, TTL 0s, stale)
│  ├─ the last lookup failed: timeout
│  └─ "old"
├─ A (age 1s, TTL 4s)
│  └─ the last lookup failed: servfail
└─ MX (age 0s, TTL 1m0s)
   └─ no record
`
	if code != 0 || out != want {
		t.Errorf("cache show = %d, %s\n%s\nwant\n%s", code, stderr, out, want)
	}
	if code, out, _ = command("cache", "show", "--socket", socket, "c.example"); code != 0 || out != "c.example\n└─ nothing is cached\n" {
		t.Errorf("cache show of nothing = %d, %q; want 0 and that there is nothing", code, out)
	}
	if code, out, _ = command("cache", "show", "--socket", socket, "c.example", "--json"); code != 0 || out != "[]\n" {
		t.Errorf("cache show --json of nothing = %d, %q; want an empty list", code, out)
	}
}

func TestCacheExitCodes(t *testing.T) {
	socket := filepath.Join(serveCache(t, mixedShelf), "control.sock")
	for _, tt := range []struct {
		name string
		args []string
		code int
		text string
	}{
		{"flush of a name", []string{"flush", "a.example", "--socket", socket}, 0, "3 entries removed\n"},
		{"flush of everything", []string{"flush", "--all", "--socket", socket, "--json"}, 0, `{"removed":5}`},
		{"flush of a name that is not there", []string{"flush", "c.example", "--socket", socket}, 0, "0 entries removed\n"},
		{"flush of nothing", []string{"flush", "--socket", socket}, 2, "give one name, or --all"},
		{"flush of a name and everything", []string{"flush", "a.example", "--all"}, 2, "give one name, or --all"},
		{"flush of what is no name", []string{"flush", "a b", "--socket", socket}, 2, "is not a name"},
		{"show without a name", []string{"show", "--socket", socket}, 2, "<name>"},
		{"show of what is no name", []string{"show", "a..b", "--socket", socket}, 2, "is not a name"},
		{"dump of a type that is not looked up", []string{"dump", "--type", "HINFO", "--socket", socket}, 2, "A, AAAA, MX, PTR, SOA, TXT"},
		{"no word", nil, 2, "dump"},
		{"without a daemon", []string{"dump", "--socket", socket + "x"}, 1, "is it running?"},
		{"show without a daemon", []string{"show", "a.example", "--socket", socket + "x"}, 1, "is it running?"},
		{"flush without a daemon", []string{"flush", "--all", "--socket", socket + "x"}, 1, "is it running?"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, stderr := command(append([]string{"cache"}, tt.args...)...)
			if code != tt.code || !strings.Contains(out+stderr, tt.text) {
				t.Errorf("cache %q = %d, %q, %q; want %d and %q", tt.args, code, out, stderr, tt.code, tt.text)
			}
		})
	}
}

func TestExplainShowsDifferentCacheOfDaemon(t *testing.T) {
	dns := dnstest.New(t, "bank.example. TXT \"v=spf1 ip4:192.0.2.1 -all\"\n_dmarc.bank.example. TXT \"v=DMARC1; p=none\"\n")
	dir := serveCache(t, shelf{
		{Name: "_dmarc.bank.example", Type: "TXT", Records: []string{"v=DMARC1; p=reject"}, Age: 3 * time.Minute, TTL: 2 * time.Minute},
		{Name: "bank.example", Type: "TXT", Records: []string{"v=spf1 ip4:192.0.2.1 -all"}, TTL: time.Minute},
		{Name: "bank.example", Type: "A", NXDomain: true},
		{Name: "_dmarc.example", Type: "TXT", NXDomain: true, Stale: true, Age: time.Hour},
	})
	cfg := write(t, "dmarcgate.toml", fmt.Sprintf("authserv_id = \"mx.receiver.example\"\nstate_dir = %q\n[[listener]]\nname = \"mta\"\naddress = \"unix:/run/x.sock\"\nprofile = \"strict\"\n[dns]\nservers = [%q]\n", dir, dns.Addr()))
	mail := write(t, "message.eml", "From: x@bank.example\n\nbody\n")
	args := []string{"explain", mail, "-c", cfg, "--client", "192.0.2.1", "--helo", "[192.0.2.1]", "--mail-from", "<y@bank.example>"}
	code, out, stderr := command(args...)
	if code != 0 || strings.Count(out, "the daemon has: ") != 2 {
		t.Errorf("explain = %d, %s\n%s\nwant two lookups for which the daemon has something else", code, stderr, out)
	}
	for _, want := range []string{
		`TXT _dmarc.bank.example: ["v=DMARC1; p=none"] (miss, age 0s, TTL 5m0s)`,
		`the daemon has: ["v=DMARC1; p=reject"] (age 3m0s, TTL 2m0s)`, `the daemon has: no such name (age 1h0m0s, TTL 0s, stale)`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("explain prints\n%s\nwant %q in it", out, want)
		}
	}
	if _, out, _ = command(append(args, "--no-daemon")...); strings.Contains(out, "the daemon has") {
		t.Errorf("explain --no-daemon prints\n%s\nwant nothing of the daemon", out)
	}
	_, out, _ = command(append(args, "--json")...)
	var x struct {
		Lookups []struct {
			Name   string
			Daemon *dnscache.Entry
		}
	}
	if err := json.Unmarshal([]byte(out), &x); err != nil {
		t.Fatal(err)
	}
	for _, l := range x.Lookups {
		if got, want := l.Daemon != nil, strings.HasPrefix(l.Name, "_dmarc."); got != want {
			t.Errorf("explain --json of %s has something of the daemon: %v; want %v", l.Name, got, want)
		}
	}
}

// A key record of 4 KB must not hide how old it is.
func TestExplainShowsAgeOfLongAnswer(t *testing.T) {
	e := dnscache.Entry{Type: "TXT", Records: []string{strings.Repeat("k", 4000)}, Age: time.Minute, TTL: time.Hour}
	if text := e.String(); !strings.Contains(text, "age 1m0s, TTL 1h0m0s)") || len(text) > 2*term.MaxShown {
		t.Errorf("cache dump shows %q; want it short, with its age and TTL", text)
	}
}
