package mtatest

import (
	"context"
	"dmarcgate/internal/childtest"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	sbin          = "/usr/sbin/"
	postfixMaster = "/usr/lib/postfix/sbin/master"
	commandTime   = 20 * time.Second // for one administrative command
	reloadTime    = 2 * time.Second  // for idle processes to leave after a reload
)

// Postfix is a private instance of Postfix that delivers to a Sink. Its methods
// may be used by several goroutines, except Reload and Stop.
type Postfix struct {
	instance
	addr string
}

// StartPostfix starts a private Postfix and stops it when the test ends. It
// takes about a third of a second. It makes no connection, so a milter has
// seen nothing of it when the test begins.
func StartPostfix(t testing.TB, cfg PostfixConfig) *Postfix {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("Postfix can only be started by root")
	}
	if err := need(postfixMaster, sbin+"postfix", sbin+"postconf"); err != nil {
		t.Fatal(err)
	}
	sink, err := StartSink()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sink.Close() })
	p := &Postfix{instance: instance{t: t, sink: sink, dir: workDir(t, cfg.Dir)}}
	if err := p.start(cfg); err != nil {
		t.Fatalf("starting Postfix: %v", err)
	}
	t.Cleanup(p.Stop)
	return p
}

func (p *Postfix) start(cfg PostfixConfig) error {
	port, err := childtest.FreePort()
	if err != nil {
		return err
	}
	p.addr = loopback(port)
	if err := p.layOut(cfg); err != nil {
		return err
	}
	// This makes the directories of the queue, with their owners and modes.
	if out, err := p.Command("postfix", "check"); err != nil {
		return fmt.Errorf("%w\n%s%s", err, out, p.Log())
	}
	// What "postfix start" runs in the end; as our child it can be waited for.
	p.process, err = run(p.logFile(), postfixMaster, "-c", p.confDir())
	if err != nil {
		return err
	}
	// The line is written when master listens and handles signals.
	err = p.process.ready(func() bool { return strings.Contains(p.Log(), ": daemon started -- ") })
	if err != nil {
		p.process.stop()
	}
	return err
}

// layOut makes the directories and files of the instance.
func (p *Postfix) layOut(cfg PostfixConfig) error {
	main, err := cfg.main(p.dir, p.sink.Addr())
	if err != nil {
		return err
	}
	owner, err := user.Lookup("postfix")
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(owner.Uid)
	if err != nil {
		return err
	}
	for _, dir := range []string{p.confDir(), p.dataDir(), p.QueueDir()} {
		if err := mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.Chown(p.dataDir(), uid, -1); err != nil {
		return err
	}
	if err := writeFile(p.mainFile(), main); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(p.confDir(), "master.cf"), cfg.master(p.addr)); err != nil {
		return err
	}
	return age(p.mainFile())
}

// age makes a main.cf look old. Every Postfix process that finds it younger
// than 2 seconds waits until it is not, lest somebody be still writing it.
func age(file string) error {
	old := time.Now().Add(-time.Minute)
	return os.Chtimes(file, old, old)
}

func (p *Postfix) confDir() string  { return filepath.Join(p.dir, "conf") }
func (p *Postfix) mainFile() string { return filepath.Join(p.confDir(), "main.cf") }
func (p *Postfix) dataDir() string  { return filepath.Join(p.dir, "data") }

// QueueDir returns the queue directory, below which a chrooted Postfix looks
// for sockets, and an unchrooted one for those without a leading slash.
func (p *Postfix) QueueDir() string { return filepath.Join(p.dir, "spool") }

// Addr returns where Postfix listens for SMTP, as "127.0.0.1:port".
func (p *Postfix) Addr() string { return p.addr }

// Command runs an administrative command of Postfix on this instance, such as
// "postsuper", "-H", id, and returns what it printed on standard output.
func (p *Postfix) Command(name string, args ...string) (string, error) {
	return command(p.confDir(), name, args...)
}

func command(conf, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, sbin+name, append([]string{"-c", conf}, args...)...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}

// Submit hands a message to sendmail(1) on this host, as local programs do.
// pickup(8) then takes the message, whose lines end in LF on the way.
func (p *Postfix) Submit(m Mail) error {
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, sbin+"sendmail", append([]string{"-C", p.confDir(), "-i", "-f", m.From, "--"}, m.Rcpts...)...)
	cmd.Stdin = strings.NewReader(strings.ReplaceAll(string(m.Data), "\r\n", "\n"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("sendmail: %w: %s", err, out)
	}
	return nil
}

// Postconf changes settings of main.cf, each "name = value". Reload makes them
// effective.
func (p *Postfix) Postconf(settings ...string) error {
	// A copy is edited and moved into place, looking old from the beginning.
	dir, err := os.MkdirTemp(p.dir, "edit")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	text, err := os.ReadFile(p.mainFile())
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "main.cf")
	if err := writeFile(file, string(text)); err != nil {
		return err
	}
	if _, err := command(dir, "postconf", append([]string{"-e"}, settings...)...); err != nil {
		return err
	}
	if err := age(file); err != nil {
		return err
	}
	return os.Rename(file, p.mainFile())
}

// Reload makes Postfix read its configuration anew, and waits until the idle
// processes with the old one have left, so that a session opened afterwards
// has the new one. A session that is open keeps its process and its settings;
// Reload does not wait for it longer than 2 seconds.
func (p *Postfix) Reload() error {
	const line = ": reload -- version "
	before := strings.Count(p.Log(), line)
	old := p.process.processes()
	if err := syscall.Kill(p.process.pid, syscall.SIGHUP); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	if err := childtest.Poll(ctx, func() bool { return strings.Count(p.Log(), line) > before }); err != nil {
		return fmt.Errorf("Postfix did not reload: %w", err)
	}
	ctx, cancel = context.WithTimeout(context.Background(), reloadTime)
	defer cancel()
	childtest.Poll(ctx, func() bool {
		return !slices.ContainsFunc(p.process.processes(), func(pid int) bool {
			return pid != p.process.pid && slices.Contains(old, pid)
		})
	})
	return nil
}

// Stop ends Postfix at once, open sessions too, and fails the test when a
// process of it stays. The log can still be read; its last lines may be
// missing, for the process that writes it ends with the others. Stop may be
// called again.
func (p *Postfix) Stop() {
	p.once.Do(func() {
		if err := p.process.stop(); err != nil {
			p.t.Errorf("stopping Postfix: %v", err)
		}
	})
}

// Session opens an SMTP session as this client: greeted, XCLIENT and EHLO
// done. It is closed when the test ends.
func (p *Postfix) Session(c Client) (*Session, error) {
	s, err := Dial(p.addr)
	if err != nil {
		return nil, err
	}
	p.t.Cleanup(func() { s.Close() })
	if c.Addr == "" {
		_, err = s.EHLO(c.helo())
		return s, err
	}
	if _, err := s.EHLO("harness"); err != nil {
		return nil, err
	}
	r, err := s.XCLIENT(c.Addr, c.Name, "")
	if err == nil && r.Code != 220 {
		err = fmt.Errorf("XCLIENT: %v", r)
	}
	if err != nil {
		return nil, err
	}
	_, err = s.EHLO(c.helo())
	return s, err
}

// Send sends one message in a session of its own as this client and returns
// the answer to it.
func (p *Postfix) Send(c Client, m Mail) (Reply, error) {
	s, err := p.Session(c)
	if err != nil {
		return Reply{}, err
	}
	return s.sendOnly(m)
}
