package pgtest

import (
	"context"
	"dmarcgate/internal/childtest"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	startTime = 2 * time.Minute  // for a server to answer, on a busy machine, after a crash with much to redo
	stopTime  = 10 * time.Second // from the signal to the end
	logTail   = 4096             // bytes of the log shown when a start fails
)

// The superuser of the server, and the password that it asks for on TCP.
const (
	User     = "dmarcgate"
	Password = "of the tests"
)

// Server is a private PostgreSQL.
type Server struct {
	t     testing.TB
	dir   string
	bin   string
	port  int
	owner *syscall.Credential // nil when the test itself is not root
	proc  *exec.Cmd           // nil while it is stopped
	done  chan struct{}       // closed when proc has been waited for
	names int                 // databases made
}

// Start makes a database cluster and starts its server. It speaks TLS, too,
// with the certificate of CA.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t}
	if err := s.create(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	s.Restart()
	return s
}

// create makes the cluster, its certificate and its configuration.
func (s *Server) create() (err error) {
	if s.bin, err = programs(); err != nil {
		return err
	}
	if s.port, err = childtest.FreePort(); err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", "pgtest"); err != nil {
		return err
	}
	s.t.Cleanup(func() { os.RemoveAll(s.dir) })
	if s.owner, err = owner(s.dir); err != nil {
		return err
	}
	if err := s.writeFile("password", Password); err != nil {
		return err
	}
	cmd := s.command("initdb", "-D", s.data(), "-U", User, "-A", "scram-sha-256", "--pwfile", s.path("password"),
		"-N", "-E", "UTF8", "--locale", "C")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	if err := s.writeCertificates(); err != nil {
		return err
	}
	return s.writeFile("data/postgresql.auto.conf", s.configuration())
}

// configuration is of a small server: what a test writes need not survive the
// machine.
func (s *Server) configuration() string {
	return fmt.Sprintf(`
listen_addresses = '127.0.0.1'
port = %d
unix_socket_directories = '%s'
fsync = off
full_page_writes = off
shared_buffers = 16MB
max_connections = 60
autovacuum = off
timezone = 'UTC'
log_timezone = 'UTC'
ssl = on
ssl_cert_file = '%s'
ssl_key_file = '%s'
`, s.port, s.dir, s.path("server.crt"), s.path("server.key"))
}

// Restart starts the server when it is stopped, and returns when it answers.
func (s *Server) Restart() {
	s.t.Helper()
	if s.proc != nil {
		s.Stop()
	}
	log, err := os.OpenFile(s.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.proc = s.command("postgres", "-D", s.data())
	s.proc.Stdout, s.proc.Stderr = log, log
	// The server's fast shutdown, should this process die.
	s.proc.SysProcAttr.Pdeathsig = syscall.SIGINT
	done := make(chan struct{})
	s.done = done
	if err := childtest.Start(s.proc, func(error) { close(done) }); err != nil {
		s.t.Fatal(err)
	}
	s.waitReady()
}

func (s *Server) waitReady() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	err := childtest.Poll(ctx, func() bool {
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
		if err != nil {
			return ended(s.done)
		}
		_ = conn.Close(ctx)
		return true
	})
	if err != nil || ended(s.done) {
		text, _ := os.ReadFile(s.path("log"))
		s.t.Fatalf("PostgreSQL does not answer; its log ends in:\n%s", text[max(0, len(text)-logTail):])
	}
}

// Stop ends the server in an orderly way: connections are cut, transactions
// rolled back. Stopping it again does nothing.
func (s *Server) Stop() { s.end(syscall.SIGINT) }

// Kill ends the server at once, as a crash does: it recovers when it is
// started again.
func (s *Server) Kill() { s.end(syscall.SIGQUIT) }

func (s *Server) end(sig syscall.Signal) {
	s.t.Helper()
	if s.proc == nil {
		return
	}
	s.Resume()
	_ = s.proc.Process.Signal(sig)
	select {
	case <-s.done:
	case <-time.After(stopTime):
		_ = s.proc.Process.Kill()
		s.t.Errorf("PostgreSQL did not stop within %v and was killed", stopTime)
	}
	s.proc = nil
}

// Pause makes the server hang: connections stay open and nothing answers.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume lets it go on.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

// signal reaches the server and its children. Each child leads a session of
// its own, so they are told by their parent. The server is first, so that no
// child is added meanwhile.
func (s *Server) signal(sig syscall.Signal) {
	_ = s.proc.Process.Signal(sig)
	for _, p := range childtest.Processes() {
		if p.Parent == s.proc.Process.Pid {
			_ = syscall.Kill(p.ID, sig)
		}
	}
}

// Database makes an empty database and returns its URL, without TLS.
func (s *Server) Database() string {
	s.t.Helper()
	s.names++
	name := fmt.Sprintf("d%d", s.names)
	s.Exec(s.URL("postgres"), "CREATE DATABASE "+name)
	return s.URL(name)
}

// Exec runs statements in a database.
func (s *Server) Exec(url, sql string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

// URL returns the URL of a database of this name, with the password and
// without TLS.
func (s *Server) URL(database string) string { return urlOf(s.Addr(), database) }

// Addr is where the server listens.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Log returns what the server has logged.
func (s *Server) Log() string {
	s.t.Helper()
	text, err := os.ReadFile(s.path("log"))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }
func (s *Server) data() string            { return s.path("data") }

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.Env = append(slices.DeleteFunc(os.Environ(), isPostgresVariable), "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: s.owner}
	return cmd
}

// writeFile writes a file that only the server can read.
func (s *Server) writeFile(name, text string) error {
	path := s.path(name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	if s.owner == nil {
		return nil
	}
	return os.Chown(path, int(s.owner.Uid), int(s.owner.Gid))
}

func ended(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}
