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
	Rspamd    importRspamdCmd    `cmd:"" help:"Import the configuration of rspamd: local.d/dmarc.conf, or the output of rspamadm configdump."`
	AuthMilt  importAuthMiltCmd  `cmd:"" name:"authentication-milter" help:"Import authentication_milter.json."`
}

type importRspamdCmd struct{ convert }

func (c *importRspamdCmd) Run(e *env) error { return c.run(e, "rspamd", migrate.Rspamd) }

type importAuthMiltCmd struct{ convert }

func (c *importAuthMiltCmd) Run(e *env) error {
	return c.run(e, "authentication-milter", migrate.AuthenticationMilter)
}

// importOpenDMARCCmd has two uses: with --config it turns a configuration into ours, and
// with files it takes history over.
type importOpenDMARCCmd struct {
	Socket  string   `placeholder:"PATH" help:"Use this control socket for history files (default: the control socket of the configuration)." type:"path"`
	Daemon  string   `short:"c" name:"daemon-config" placeholder:"FILE" default:"${config}" help:"Use this configuration file of dmarcgate for history files (default: ${default})." type:"path"`
	History []string `arg:"" optional:"" name:"file" help:"Import these history files; - is standard input."`
	DryRun  bool     `help:"Read the history files and report errors, but write nothing."`
	JSON    bool     `help:"Print JSON, for history files."`
	convert
}

// convert has the flags of every command that imports a configuration.
type convert struct {
	Config string   `placeholder:"FILE" help:"Import this configuration file of the other program." type:"path"`
	Write  string   `placeholder:"DIR" help:"Write dmarcgate.toml and rules.d to this directory (default: print them)." type:"path"`
	Files  []string `placeholder:"DIR" help:"Read files that the configuration names below these directories, too (default: only below its own directory)." type:"path"`
}

func (c *convert) run(e *env, name string, from func(migrate.Input) migrate.Result) error {
	if c.Config == "" {
		return term.Usagef("name the configuration of the other program with --config")
	}
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
