package main

import (
	"context"
	"os/signal"
	"syscall"

	"dmarcgate/migrate"
	"dmarcgate/migrate/transfer"
	"dmarcgate/store"
	"dmarcgate/term"
)

// importCmd takes over what other programs have.
type importCmd struct {
	OpenDMARC importOpenDMARCCmd `cmd:"" name:"opendmarc" help:"Import the configuration of OpenDMARC, or history files of OpenDMARC or Exim."`
}

// importOpenDMARCCmd has two uses: with --config it turns a configuration into ours, and
// with files it takes history over.
type importOpenDMARCCmd struct {
	Socket  string   `placeholder:"PATH" help:"Control socket of the daemon that takes the history (default: from the configuration file)." type:"path"`
	Daemon  string   `short:"c" name:"daemon-config" placeholder:"FILE" default:"${config}" help:"Use this configuration file of dmarcgate for history files (default: ${default})." type:"path"`
	History []string `arg:"" optional:"" name:"file" help:"Import these history files; - is standard input."`
	DryRun  bool     `help:"Read the history files and report errors, but write nothing."`
	JSON    bool     `help:"Print JSON, for history files."`
	convert
}

// convert has the flags of every command that imports a configuration.
type convert struct {
	Config string   `placeholder:"FILE" help:"Convert this configuration file of the other program." type:"path"`
	Write  string   `placeholder:"DIR" help:"Write dmarcgate.toml and rules.d to this directory (default: print them)." type:"path"`
	Files  []string `placeholder:"DIR" help:"Also read files that the configuration names below these directories (default: below its own directory)." type:"path"`
}

func (c *convert) run(e *env, name string, from func(migrate.Input) migrate.Result) error {
	return transfer.Run(e.stdout, e.stderr, transfer.Options{From: from, Name: name, Config: c.Config, Files: c.Files, Write: c.Write})
}

func (c *importOpenDMARCCmd) Run(e *env) error {
	switch {
	case c.convert.Config != "" && len(c.History) > 0:
		return term.Usagef("--config converts a configuration and takes no history files; give the history files to a command of their own")
	case c.convert.Config != "":
		return c.convert.run(e, "opendmarc", migrate.OpenDMARC)
	case c.Write != "" || len(c.Files) > 0:
		return term.Usagef("--write and --files belong to --config")
	case len(c.History) == 0:
		return term.Usagef("name history files, or a configuration with --config")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return store.Import(ctx, e.stdout, e.stderr, store.ImportOptions{
		Socket: c.Socket, Config: c.Daemon, Files: c.History, DryRun: c.DryRun, JSON: c.JSON, Progress: term.NewProgress(e.stderr, c.JSON),
	})
}
