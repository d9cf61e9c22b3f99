package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"dmarcgate/config"
	"dmarcgate/setup"
	"dmarcgate/term"
)

// setupCmd connects an MTA of this host to the daemon.
type setupCmd struct {
	Postfix  setupPostfixCmd  `cmd:"" help:"Show or apply the changes of a Postfix instance that let it ask the daemon."`
	Sendmail setupSendmailCmd `cmd:"" help:"Show or apply the changes of sendmail.mc that let Sendmail ask the daemon."`
}

// setupFlags are those of every MTA.
type setupFlags struct {
	controlFlags
	Listener string `help:"Use this listener for the MTA (default: the only one)."`
	Apply    bool   `help:"Apply the changes, and remove them if a test fails (default: only print them)." xor:"order"`
	Undo     bool   `help:"Remove the changes of an earlier --apply." xor:"order"`
	Guard    bool   `hidden:"" help:"Report the end of another setup and remove its unfinished changes." xor:"order"`
}

// options are what the flags say, with a guard for the MTA that is named.
func (c *setupFlags) options(e *env, mta string) (setup.Options, error) {
	o := setup.Options{Listener: c.Listener, Out: e.stdout}
	if c.Undo {
		return o, nil
	}
	var err error
	if o.Config, err = config.Load(c.Config); err != nil {
		return o, err
	}
	o.Guard = func(dir string) (func(), error) { return startGuard(mta, dir) }
	o.Client, err = c.place().Client()
	return o, err
}

// setupContext ends with a signal: --apply goes back then.
func setupContext() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
}

type setupPostfixCmd struct {
	setupFlags
	ConfigDir string `help:"Use the Postfix instance with this configuration directory (default: the directory of postconf)." placeholder:"DIR" type:"path"`
	NoProbe   bool   `help:"Skip the test message of --apply."`
}

// Validate is called by kong; what it finds is a usage error.
func (c *setupPostfixCmd) Validate() error {
	if c.NoProbe && !c.Apply {
		return fmt.Errorf("--no-probe belongs to --apply")
	}
	return nil
}

func (c *setupPostfixCmd) Run(e *env) error {
	ctx, stop := setupContext()
	defer stop()
	if c.Guard {
		return guard(c.ConfigDir, func(ctx context.Context) error { return setup.Recover(ctx, c.ConfigDir, e.stderr) })
	}
	o, err := c.options(e, "postfix")
	if err != nil {
		return err
	}
	o.Dir, o.NoProbe = c.ConfigDir, c.NoProbe
	switch {
	case c.Undo:
		return setup.UndoPostfix(ctx, o)
	case c.Apply:
		return setup.ApplyPostfix(ctx, o)
	}
	return setup.Postfix(ctx, o)
}

type setupSendmailCmd struct {
	setupFlags
	ConfigDir string `help:"Use sendmail.mc and sendmail.cf of this directory (default: ${default})." placeholder:"DIR" type:"path" default:"/etc/mail"`
	CFDir     string `name:"cf-dir" help:"Use the m4 files of Sendmail in this directory (default: ${default})." placeholder:"DIR" type:"path" default:"/usr/share/sendmail/cf"`
}

func (c *setupSendmailCmd) Run(e *env) error {
	ctx, stop := setupContext()
	defer stop()
	if c.Guard {
		return guard(c.ConfigDir, func(ctx context.Context) error {
			return setup.RecoverSendmail(ctx, c.ConfigDir, setup.Options{Out: e.stderr})
		})
	}
	o, err := c.options(e, "sendmail")
	if err != nil {
		return err
	}
	files := setup.SendmailFiles{Dir: c.ConfigDir, CFDir: c.CFDir}
	switch {
	case c.Undo:
		return setup.UndoSendmail(ctx, o, c.ConfigDir)
	case c.Apply:
		return setup.ApplySendmail(ctx, o, files)
	}
	return setup.Sendmail(ctx, o, files)
}

// guard waits until its standard input ends. A byte before says that all is well.
func guard(dir string, recover func(context.Context) error) error {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	if dir == "" {
		return term.Usagef("--guard needs --config-dir")
	}
	if n, _ := io.ReadFull(os.Stdin, make([]byte, 1)); n == 1 {
		return nil
	}
	return recover(context.Background())
}

// startGuard starts a guard in a session of its own, which outlives this process
// and the end of its terminal.
func startGuard(mta, dir string) (release func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "setup", mta, "--guard", "--config-dir", dir)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the guard: %w", err)
	}
	return func() {
		pipe.Write([]byte{1})
		pipe.Close()
		cmd.Wait()
	}, nil
}
