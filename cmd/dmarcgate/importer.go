package main

import (
	"context"
	"os/signal"
	"syscall"

	"dmarcgate/store"
	"dmarcgate/term"
)

// importCmd takes over results of other programs.
type importCmd struct {
	OpenDMARC importOpenDMARCCmd `cmd:"" name:"opendmarc" help:"Import history files of OpenDMARC or Exim."`
}

type importOpenDMARCCmd struct {
	controlFlags
	Files  []string `arg:"" name:"file" help:"Import these history files; - is standard input."`
	DryRun bool     `help:"Read the files and report errors, but write nothing."`
	JSON   bool     `help:"Print JSON."`
}

func (c *importOpenDMARCCmd) Run(e *env) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return store.Import(ctx, e.stdout, e.stderr, store.ImportOptions{
		Socket: c.Socket, Config: c.Config, Files: c.Files, DryRun: c.DryRun, JSON: c.JSON, Progress: term.NewProgress(e.stderr, c.JSON),
	})
}
