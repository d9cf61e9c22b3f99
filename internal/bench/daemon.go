package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// daemon is a dmarcgate process.
type daemon struct {
	*process
	dir string // its configuration, socket and state
	web string // "http://host:port" of its metrics
}

// daemonConfig is what differs between the configurations.
type daemonConfig struct {
	durability string
	dns        string // "ip:port"
	pages      bool   // status pages at the socket of daemon.pages
	more       string // further lines
}

// write writes the configuration file of a daemon that lives in dir, and
// returns its path.
func (c daemonConfig) write(dir, web string) (string, error) {
	text := fmt.Sprintf(`authserv_id = "mx.receiver.example"
state_dir = %q
[dns]
servers = [%q]
[store]
durability = %q
[admin]
listen = %q
[[listener]]
name = "bench"
address = "unix:%s"
profile = "strict"
`, dir, c.dns, c.durability, web, filepath.Join(dir, "s"))
	if c.pages {
		text += fmt.Sprintf("[pages]\nlisten = \"unix:%s\"\n", pagesSocket(dir))
	}
	path := filepath.Join(dir, "dmarcgate.toml")
	return path, os.WriteFile(path, []byte(text+c.more), 0o600)
}

// pagesSocket is where the daemon that lives in dir serves its status pages.
func pagesSocket(dir string) string { return filepath.Join(dir, "p") }

// startDaemon starts a daemon that lives in dir and waits until it is ready.
func startDaemon(ctx context.Context, binary, dir string, cfg daemonConfig) (*daemon, error) {
	web, err := freeAddress()
	if err != nil {
		return nil, err
	}
	path, err := cfg.write(dir, web)
	if err != nil {
		return nil, err
	}
	d := &daemon{dir: dir, web: "http://" + web}
	d.process, err = startProcess(ctx, dir, d.ready, binary, "serve", "-c", path)
	if err != nil {
		return nil, err
	}
	d.address = "unix:" + filepath.Join(dir, "s")
	return d, nil
}

// freeAddress returns a loopback address on which nobody listens. Another
// process can take it meanwhile; then the daemon does not start.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

const webTimeout = 5 * time.Second

func (d *daemon) get(path string) (string, error) {
	client := http.Client{Timeout: webTimeout}
	resp, err := client.Get(d.web + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	defer client.CloseIdleConnections()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, resp.Status, strings.TrimSpace(string(text)))
	}
	return string(text), err
}

// ready asks whether the daemon serves: its sockets are there by then. The
// readiness check would be kept for a second when it is asked too early.
func (d *daemon) ready() error {
	_, err := d.get("/healthz")
	return err
}

// allocations is what a Go process has allocated since its start.
type allocations struct{ objects, bytes float64 }

func (d *daemon) allocations() (allocations, error) {
	text, err := d.get("/metrics")
	if err != nil {
		return allocations{}, err
	}
	return parseAllocations(text)
}

func parseAllocations(text string) (allocations, error) {
	var a allocations
	wanted := map[string]*float64{"go_memstats_mallocs_total": &a.objects, "go_memstats_alloc_bytes_total": &a.bytes}
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), " ")
		field := wanted[name]
		if field == nil {
			continue
		}
		var err error
		if *field, err = strconv.ParseFloat(value, 64); err != nil {
			return a, err
		}
		delete(wanted, name)
	}
	if len(wanted) > 0 {
		return a, fmt.Errorf("metrics without %d of the allocation counters", len(wanted))
	}
	return a, nil
}

func (a allocations) minus(b allocations) allocations {
	return allocations{a.objects - b.objects, a.bytes - b.bytes}
}
