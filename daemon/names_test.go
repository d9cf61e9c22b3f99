package daemon

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dmarcgate/enforce"
	"dmarcgate/site"
)

// The file is of this program's own, and still may be anything.
func TestLoadNamesOfADamagedFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mta-names.json")
	if list, err := site.LoadNames(path); list != nil || err != nil {
		t.Errorf("loadNames without a file = %v, %v; want none", list, err)
	}
	for _, text := range []string{"", "{", "null x", `[{"listener":1}]`, `{"a":1}`, strings.Repeat(`[`, site.MaxNamesFile), strings.Repeat(" ", site.MaxNamesFile) + "[]"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if list, err := site.LoadNames(path); err == nil && len(list) > 0 {
			t.Errorf("site.LoadNames(%.20q) = %v; want an error or nothing", text, list)
		}
	}
	want := []enforce.MTAName{{Listener: "mta", Name: "mx1.site.example", Seen: time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)}}
	if err := saveWhole(path, want); err != nil {
		t.Fatal(err)
	}
	if list, err := site.LoadNames(path); err != nil || len(list) != 1 || list[0] != want[0] {
		t.Errorf("loadNames = %v, %v; want %v", list, err, want)
	}
}

func TestLocalIsNoTCPSocket(t *testing.T) {
	unix, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	if !local([]net.Listener{unix}) || local([]net.Listener{tcp}) || local([]net.Listener{unix, tcp}) {
		t.Error("local does not tell sockets of this host from others")
	}
}
