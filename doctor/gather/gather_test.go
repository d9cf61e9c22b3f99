package gather

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/doctor"
)

// silentHost has a name server and a control socket that take questions and never
// answer.
func silentHost(t *testing.T, more string) (path string, cfg *config.Config) {
	t.Helper()
	dir := t.TempDir()
	dns, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dns.Close() })
	control, err := net.Listen("unix", filepath.Join(dir, "control.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { control.Close() })
	path = filepath.Join(dir, "dmarcgate.toml")
	text := "state_dir = \"" + dir + "\"\n[[listener]]\nname = \"mta\"\naddress = \"unix:" + dir + "/m.sock\"\nprofile = \"monitor\"\n[dns]\nservers = [\"" + dns.LocalAddr().String() + "\"]\n" + more
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if cfg, err = config.Load(path); err != nil {
		t.Fatal(err)
	}
	return path, cfg
}

func facts(t *testing.T, o Options) *doctor.Host {
	t.Helper()
	o.PostfixDir, o.Filters = t.TempDir(), t.TempDir() // without files
	if o.Client == nil {
		o.Client = func(cfg *config.Config) *admin.Client { return admin.Dial(cfg.Admin.Control) }
	}
	h, err := Facts(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestFactsReturnsInTimeWhenNobodyAnswers(t *testing.T) {
	path, _ := silentHost(t, "")
	begin := time.Now()
	h := facts(t, Options{Config: path, deadline: 300 * time.Millisecond})
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("Facts took %v; want about 300 ms", took)
	}
	asked := strings.Join(append(h.Unseen, h.Silence), "\n")
	if !strings.Contains(asked, "name servers: no answer in time") && (len(h.Resolvers) == 0 || h.Resolvers[0].Answers) ||
		!strings.Contains(asked, "daemon: no answer in time") && !strings.Contains(h.Silence, "deadline") {
		t.Errorf("not examined: %q, silence %q; want name servers and the daemon", h.Unseen, h.Silence)
	}
}

func TestFactsKnowsTheDateOfThePublicSuffixList(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list.dat")
	written := time.Date(2024, 5, 6, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name, text, keys string
		want             time.Time
	}{
		{"a VERSION", "// VERSION: 2023-02-09_07-59-50_UTC\ncom\n", "method = \"psl\"\npsl_file = \"" + list + "\"\n", time.Date(2023, 2, 9, 0, 0, 0, 0, time.UTC)},
		{"no VERSION", "com\n", "compare = true\npsl_file = \"" + list + "\"\n", written},
		{"the tree walk uses none", "com\n", "", time.Time{}},
	} {
		if err := os.WriteFile(list, []byte(tt.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(list, written, written); err != nil {
			t.Fatal(err)
		}
		_, cfg := silentHost(t, "[discovery]\n"+tt.keys)
		if got := suffixList(cfg.Discovery); !got.Date.Equal(tt.want) {
			t.Errorf("%s: the list is of %v; want %v", tt.name, got.Date, tt.want)
		}
	}
	if got := suffixList(config.Discovery{Method: "psl"}); got.Date.Year() < 2025 || got.Path != "" {
		t.Errorf("the list built in is %+v; want one with a date", got)
	}
}

func TestFactsSeesThatConfigurationOrRulesChanged(t *testing.T) {
	dir := t.TempDir()
	path, rules := filepath.Join(dir, "c.toml"), filepath.Join(dir, "rules")
	if err := os.Mkdir(rules, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, hours := range map[string]int{path: 1, filepath.Join(rules, "a.toml"): 3, filepath.Join(rules, "notes.txt"): 9} {
		at := time.Unix(int64(hours)*3600, 0)
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if got := newest(path, rules); got.Unix() != 3*3600 {
		t.Errorf("newest = %v; want that of the rule file", got.UTC())
	}
}

// A process that has the store open, beside the daemon, is another daemon.
func TestUsersFindsAnotherProcessWithTheStoreOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.db")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in, keep, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	child, err := os.StartProcess("/bin/cat", []string{"cat"}, &os.ProcAttr{Files: []*os.File{in, os.Stderr, os.Stderr, f}})
	if err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer keep.Close() // ends cat
	if got := users(path, 0); len(got) != 1 || !strings.HasSuffix(got[0], fmt.Sprintf("process %d", child.Pid)) {
		t.Errorf("users = %q; want the child", got)
	}
	if got := users(path, child.Pid); len(got) != 0 {
		t.Errorf("users but the daemon = %q; want none", got)
	}
}

func TestClosedForNamesWhatKeepsAProcessOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.db")
	if err := os.WriteFile(path, nil, 0o440); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		uid    int
		groups []int
		want   bool
	}{{0, nil, true}, {4711, []int{os.Getegid()}, false}, {4711, nil, false}} {
		if got := writes(tt.uid, tt.groups, info); got != tt.want {
			t.Errorf("writes(%d, %d) = %v; want %v", tt.uid, tt.groups, got, tt.want)
		}
	}
	uid, groups, ok := identity(os.Getpid())
	if !ok || uid != os.Geteuid() || !slices.Contains(groups, os.Getegid()) {
		t.Errorf("identity of this process = %d, %d, %v", uid, groups, ok)
	}
}

func TestTogetherTellsWhatDidNotEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	h := &doctor.Host{}
	hang := make(chan struct{})
	defer close(hang)
	unseen := together(ctx, h, []task{
		{"quick", func(context.Context) func(*doctor.Host) {
			return func(h *doctor.Host) { h.Silence = "quick"; cancel() }
		}},
		{"slow", func(context.Context) func(*doctor.Host) { <-hang; return func(*doctor.Host) {} }},
	})
	if h.Silence != "quick" || len(unseen) != 1 || unseen[0] != "slow: no answer in time" {
		t.Errorf("together = %q, host %+v; want the quick one, and that the slow one did not end", unseen, h)
	}
}
