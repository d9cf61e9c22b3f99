package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dmarcgate/internal/dnstest"
)

// What happens to the file of a store under load costs no mail: each message
// gets its answer, and has one row in one of the files there are at the end, or
// is counted as dropped.
func TestStoreFileRemovedUnderLoadCostsNoMail(t *testing.T) {
	move := func(t *testing.T, path, to string, ends ...string) {
		for _, end := range ends {
			if err := os.Rename(path+end, to+end); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		name  string
		do    func(t *testing.T, path, aside string)
		known string // in the log
	}{
		{"made unreadable", func(t *testing.T, path, _ string) {
			for _, end := range storeFiles {
				if err := os.Chmod(path+end, 0); err != nil {
					t.Fatal(err)
				}
			}
		}, ""},
		{"renamed with its log", func(t *testing.T, path, aside string) { move(t, path, aside, "-wal", "-shm", "") }, "store file was removed, renamed or replaced"},
		{"renamed without its log", func(t *testing.T, path, aside string) { move(t, path, aside, "") }, "store file was removed, renamed or replaced"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dns := dnstest.New(t, processZone)
			h := newHost(t, hostConfig{dns: dns.Addr(), extra: patientStore})
			path := h.storePath()
			aside := filepath.Join(t.TempDir(), "aside.db")
			p := h.start()
			f := startFeed(h, "f", 6, 0)
			f.more(200)
			tt.do(t, path, aside)
			f.more(100)
			p.recovers(t, f)
			f.stop()
			counted := p.counts()
			if tt.known != "" && !p.logged("level=ERROR", tt.known) {
				t.Errorf("the log does not say %q", tt.known)
			}
			p.stop()
			files := []string{path}
			if _, err := os.Stat(aside); err == nil {
				files = append(files, aside)
			}
			f.checkFeed(counted, files...)
		})
	}
}

// A file whose content is destroyed under load costs no mail, and is set aside
// when that is noticed. SQLite notices when it reads a page that it has not kept
// in memory, and the next start at the latest: what was written until then is
// lost with the file.
func TestStoreFileDestroyedUnderLoadIsRenamed(t *testing.T) {
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr(), extra: patientStore})
	p := h.start()
	f := startFeed(h, "f", 6, 0)
	f.more(200)
	overwrite(t, h.storePath())
	overwrite(t, h.storePath()+"-wal")
	f.more(200)
	f.stop()
	if counted := p.counts(); int64(counted.written+counted.dropped) != f.sent.Load() {
		t.Errorf("counted %+v of %d messages", counted, f.sent.Load())
	}
	p.stop()
	p = h.start()
	aside, err := filepath.Glob(h.storePath() + ".damaged-*")
	if err != nil || len(aside) == 0 || !strings.Contains(h.logs(), "store file damaged") {
		t.Errorf("files set aside = %q, %v; want one, and a line of the log", aside, err)
	}
	again := startFeed(h, "again", 6, 100)
	again.wait()
	p.metricIs(100, "dmarcgate_store_records_total", `outcome="written"`)
	p.stop()
	if rows := h.rows(); len(rows) < 100 {
		t.Errorf("the new file has %d rows; want 100 or more", len(rows))
	}
}

// overwrite puts other bytes into a file without making it another one.
func overwrite(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt(bytes.Repeat([]byte(strings.Repeat("x", 64)), int(info.Size())/64), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
}
