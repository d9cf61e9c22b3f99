//go:build mta

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/scale"
)

// smallDisk mounts a file system of a size for the store of a host, and returns
// its directory. Where mounting is refused, the test is not run and says so.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(dir) })
	err = syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size+",mode=0755")
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		t.Skipf("NOT RUN: this host does not let us mount a small file system (%v). What happens on a full disk was not tested", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmounting: %v", err)
			_ = syscall.Unmount(dir, syscall.MNT_DETACH)
		}
	})
	return dir
}

// available is how many bytes a file system has left.
func available(t *testing.T, dir string) int64 {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Bavail) * st.Bsize
}

// fill takes all that is free on a file system but for keep bytes, and returns
// what gives it back.
func fill(t *testing.T, dir string, keep int64) (release func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for available(t, dir) > keep {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// A full disk costs rows and no mail: each message gets its answer, each row
// that is lost is counted and in the log, and the daemon recovers by itself.
func TestServeFullDiskCostsNoMail(t *testing.T) {
	tests := []struct {
		name, minFree, why string
		metric             string
	}{
		{"there is no limit, and the disk is full to the last page", "0B", "disk_full", "dmarcgate_store_dropped_total"},
		{"the store stops before the disk is full", "1MiB", "no_space", "dmarcgate_store_guard"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			disk := smallDisk(t, "48m")
			path := filepath.Join(disk, "results.db")
			dns := dnstest.New(t, processZone)
			h := newHost(t, hostConfig{dns: dns.Addr(), extra: patientStore + fmt.Sprintf("path = %q\nmin_free = %q\n", path, tt.minFree)})
			p := h.start()
			f := startFeed(h, "f", 6, 0)
			for i := range min(2*scale.Of(t), 20) {
				if i >= 2 && available(t, disk) < 8<<20 { // the rows alone would fill the disk, the faster the machine the sooner
					t.Logf("%d times full", i)
					break
				}
				f.more(100)
				release := fill(t, disk, 0)
				before := p.metric("dmarcgate_store_dropped_total", fmt.Sprintf("why=%q", tt.why))
				p.awaitMetric("to grow", func(v float64) bool { return v > before+50 }, "dmarcgate_store_dropped_total", fmt.Sprintf("why=%q", tt.why))
				if p.metric(tt.metric) == 0 {
					t.Errorf("%s = 0 on a full disk", tt.metric)
				}
				release()
				p.recovers(t, f)
			}
			f.stop()
			counted := p.counts()
			p.metricIs(0, "dmarcgate_store_guard")
			p.stop()
			f.checkFeed(counted, path)
		})
	}
}

// A disk that is full when the daemon stops and starts costs no start.
func TestServeStartsOnFullDisk(t *testing.T) {
	disk := smallDisk(t, "24m")
	path := filepath.Join(disk, "results.db")
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr(), extra: patientStore + fmt.Sprintf("path = %q\n", path)})
	p := h.start()
	f := startFeed(h, "f", 6, 200)
	f.wait()
	p.metricIs(200, "dmarcgate_store_records_total", `outcome="written"`)
	release := fill(t, disk, 0)
	p.kill()
	p = h.start()
	during := startFeed(h, "during", 6, 100)
	during.wait()
	p.metricIs(100, "dmarcgate_store_dropped_total")
	release()
	after := startFeed(h, "after", 6, 0)
	p.recovers(t, after)
	after.stop()
	counted := p.counts()
	p.stop()
	rows, err := readStore(path)
	if err != nil || len(rows) != 200+int(counted.written) || int64(counted.written+counted.dropped) != 100+after.sent.Load() {
		t.Errorf("%d rows, %v; counted %+v after 200 rows, 100 messages on a full disk and %d later", len(rows), err, counted, after.sent.Load())
	}
}
