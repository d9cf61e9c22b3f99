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
	Postfix setupPostfixCmd `cmd:"" help:"Show or make the changes of a Postfix instance that let it ask the daemon."`
}

// setupFlags are those of every MTA.
type setupFlags struct {
	controlFlags
	Listener string `help:"Use this listener for the MTA (default: the only one)."`
	Apply    bool   `help:"Apply the changes and test them with a message; remove them if the test fails (default: only print them)." xor:"order"`
	Undo     bool   `help:"Remove the changes of an earlier --apply." xor:"order"`
	NoProbe  bool   `help:"Skip the test message of --apply."`
}

type setupPostfixCmd struct {
	setupFlags
	ConfigDir string `help:"Use the Postfix instance with this configuration directory (default: the directory of postconf)." placeholder:"DIR" type:"path"`
	Guard     bool   `hidden:"" help:"Report the end of another setup and remove its unfinished changes." xor:"order"`
}

// Validate is called by kong; what it finds is a usage error.
func (c *setupFlags) Validate() error {
	if c.NoProbe && !c.Apply {
		return fmt.Errorf("--no-probe belongs to --apply")
	}
	return nil
}

func (c *setupPostfixCmd) Run(e *env) error {
	// --apply goes back when it is interrupted, so the signals only end its context.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer stop()
	switch {
	case c.Guard:
		return c.guard(e)
	case c.Undo:
		return setup.UndoPostfix(ctx, setup.Options{Dir: c.ConfigDir, Out: e.stdout})
	}
	cfg, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	client, err := c.place().Client()
	if err != nil {
		return err
	}
	o := setup.Options{Config: cfg, Listener: c.Listener, Dir: c.ConfigDir, NoProbe: c.NoProbe, Client: client, Out: e.stdout, Guard: startGuard}
	if c.Apply {
		return setup.ApplyPostfix(ctx, o)
	}
	return setup.Postfix(ctx, o)
}

// guard waits until its standard input ends. A byte before says that all is well.
func (c *setupPostfixCmd) guard(e *env) error {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	if c.ConfigDir == "" {
		return term.Usagef("--guard needs --config-dir")
	}
	if n, _ := io.ReadFull(os.Stdin, make([]byte, 1)); n == 1 {
		return nil
	}
	return setup.Recover(context.Background(), c.ConfigDir, e.stderr)
}

// startGuard starts a guard in a session of its own, which outlives this process
// and the end of its terminal.
func startGuard(dir string) (release func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "setup", "postfix", "--guard", "--config-dir", dir)
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
