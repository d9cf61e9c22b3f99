// Command dmarcgate enforces DMARC at the receiving MTA: Postfix or Sendmail
// passes each message to the daemon over the milter protocol and obeys its reply.
//
// Each subcommand of cli has a file, which calls a room and prints its answer.
// Exit codes: 0 for success, 1 for a failure, 2 for a command line or
// configuration that must be changed first.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	_ "time/tzdata" // for hosts without zone files, see policy/pattern.Zone

	"github.com/alecthomas/kong"

	"dmarcgate/config"
	"dmarcgate/policy/pattern"
	"dmarcgate/site"
	"dmarcgate/term"
)

const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// cli is the command line.
type cli struct {
	Serve       serveCmd       `cmd:"" help:"Run the daemon."`
	CheckConfig checkConfigCmd `cmd:"" help:"Check the configuration file and report errors with line number and suggested fix."`
	Doctor      doctorCmd      `cmd:"" help:"Look for faults of this host, the MTA and the daemon, and print the lines that fix them."`
	Explain     explainCmd     `cmd:"" help:"Show as a tree how a message is decided."`
	Lookup      lookupCmd      `cmd:"" help:"Show the DMARC record that applies to a domain, with its defects."`
	Status      statusCmd      `cmd:"" help:"Show the status of the running daemon."`
	Reload      reloadCmd      `cmd:"" help:"Reload configuration, rules and suffix list of the running daemon."`
	Monitor     monitorCmd     `cmd:"" help:"Suspend enforcement on all listeners for a limited time."`
	Tail        tailCmd        `cmd:"" help:"Show live decisions."`
	Top         topCmd         `cmd:"" help:"Rank domains by failures, overrides, malformed records or new senders."`
	WhatIf      whatIfCmd      `cmd:"" help:"Decide stored messages again under other settings and show changed answers."`
	Rules       rulesCmd       `cmd:"" help:"Manage override rules: list, show, lint, test, hits, add."`
	Results     resultsCmd     `cmd:"" help:"Manage stored results: status, export, purge, adopt."`
	Reports     reportsCmd     `cmd:"" help:"Manage aggregate reports: preview, list, show, status, plan, send-now, retry, suppress, unsuppress, pause, resume."`
	Import      importCmd      `cmd:"" help:"Import the configuration or the results of another program."`
	Cache       cacheCmd       `cmd:"" help:"Show and flush the DNS cache of the running daemon."`
	Setup       setupCmd       `cmd:"" help:"Set up an MTA of this host to ask the daemon."`
	Demo        demoCmd        `cmd:"" help:"Send sample messages through a private daemon and show the decisions."`
	Completion  completionCmd  `cmd:"" help:"Print a completion script for a shell."`
	Version     versionCmd     `cmd:"" help:"Print the version."`
	Listeners   listenersCmd   `cmd:"" hidden:"" help:"Print the names of the listeners."`

	ShowVersion kong.VersionFlag `name:"version" help:"Print the version."`
}

// env is what commands may use of the world.
type env struct {
	stdout, stderr io.Writer
	ask            func(question string) (bool, error) // nil without a terminal
}

// progress shows how far a command has come, on a terminal that shows neither
// JSON nor other output at the same time.
func (e *env) progress(json bool) *term.Progress {
	return term.NewProgress(e.stderr, json || term.IsTerminal(e.stdout))
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) (code int) {
	defer func() { // kong ends the program through Exit, for --help and for wrong flags
		if p := recover(); p != nil {
			e, ok := p.(exit)
			if !ok {
				panic(p)
			}
			code = int(e)
		}
	}()
	var c cli
	parser, err := kong.New(&c,
		kong.Name("dmarcgate"),
		kong.Description("Enforce DMARC at the receiving MTA."),
		kong.Vars{"config": site.DefaultConfig, "version": versionLine()},
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(exit(code)) }),
	)
	if err != nil {
		fmt.Fprintln(stderr, "dmarcgate:", err)
		return exitUsage
	}
	ctx, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintln(stderr, "dmarcgate:", enumProblem(err.Error()))
		fmt.Fprintln(stderr, "Run dmarcgate --help, or dmarcgate COMMAND --help.")
		return exitUsage
	}
	return report(ctx.Run(&env{stdout: stdout, stderr: stderr, ask: term.Asker(os.Stdin, stderr)}), stderr)
}

// enumError is kong's error about a value that is not on a list.
var enumError = regexp.MustCompile(`^(.*) must be one of (".*") but got (".*")$`)

// enumProblem puts it as the rest of the program does, without the empty value
// that stands for none, and with the nearest word.
func enumProblem(text string) string {
	m := enumError.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	var words []string
	for _, w := range strings.Split(m[2], ",") {
		if w = strings.Trim(w, `"`); w != "" {
			words = append(words, w)
		}
	}
	got, err := strconv.Unquote(m[3])
	if err != nil {
		got = strings.Trim(m[3], `"`)
	}
	out := fmt.Sprintf("%s: %q is not one of %s", m[1], got, strings.Join(words, ", "))
	if near := pattern.Nearest(got, words); near != "" {
		out += fmt.Sprintf("; did you mean %s?", near)
	}
	return out
}

// exit is the exit code of a run that kong ended.
type exit int

// report prints an error and returns the exit code for it.
func report(err error, stderr io.Writer) int {
	var broken *config.Errors
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &broken):
		fmt.Fprintln(stderr, err) // each line begins with file:line already
		return exitUsage
	}
	fmt.Fprintln(stderr, "dmarcgate:", err)
	if errors.As(err, new(term.UsageError)) || errors.As(err, new(*config.FileError)) {
		return exitUsage
	}
	return exitFailed
}
