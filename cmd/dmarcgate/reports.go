package main

import (
	"context"
	"errors"
	"os/signal"
	"syscall"

	"dmarcgate/config"
	"dmarcgate/report/queue"
	"dmarcgate/reports"
	"dmarcgate/site"
)

// reportsCmd is about aggregate reports. It is described in docs/reports.md.
type reportsCmd struct {
	Preview    previewCmd       `cmd:"" help:"Show the report about a domain as it would be made from stored results. Needs no network and sends nothing."`
	List       reportsListCmd   `cmd:"" help:"List reports of the queue, newest first."`
	Show       reportsShowCmd   `cmd:"" help:"Show a report of the queue with its deliveries and its document."`
	Status     reportsStatusCmd `cmd:"" help:"Show whether reports are sent, days, queue and suppressions."`
	Plan       planCmd          `cmd:"" help:"Show what would become of the reports of a day. Asks the DNS for destinations and sends nothing."`
	SendNow    sendNowCmd       `cmd:"" help:"Send the mails of a report now, not at the time of their next attempt."`
	Retry      retryCmd         `cmd:"" help:"Try a report again that has ended, or the reports of a day that a restored queue has ended."`
	Suppress   suppressCmd      `cmd:"" help:"Send no reports to an address or a host, or about a domain."`
	Unsuppress unsuppressCmd    `cmd:"" help:"Remove a suppression."`
	Pause      pauseCmd         `cmd:"" help:"Send no reports, on all hosts of the queue, until resume."`
	Resume     resumeCmd        `cmd:"" help:"Send reports again."`
}

// generator is the name and version of the program in reports.
func generator() string { return "dmarcgate " + version }

// looking calls f with the readable part of a configuration, until an interrupt.
func looking(e *env, path string, f func(context.Context, *config.Config) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	cfg, err := site.LoadPartly(e.stderr, path)
	if err != nil {
		return err
	}
	return f(ctx, cfg)
}

type previewCmd struct {
	backendFlags
	Domain reports.Domain `arg:"" help:"Show the report about this policy domain: where the DMARC record of the messages is."`
	Day    reports.Day    `help:"Show the report of this UTC day: 2026-11-22, today or yesterday (default: yesterday)." placeholder:"DAY"`
	Schema string         `help:"Write the document in this form: rfc9990 or rfc7489 (default: ${default})." enum:"rfc9990,rfc7489" default:"rfc9990" placeholder:"SCHEMA"`
	XML    bool           `name:"xml" help:"Print the document." xor:"form"`
	JSON   bool           `help:"Print JSON." xor:"form"`
}

func (c *previewCmd) Run(e *env) error {
	return looking(e, c.Config, func(ctx context.Context, cfg *config.Config) error {
		return reports.Preview(ctx, e.stdout, e.stderr, cfg, reports.PreviewOptions{
			Domain: c.Domain, Day: c.Day, AllHosts: c.AllHosts, Form: c.Schema, Generator: generator(), XML: c.XML, JSON: c.JSON, Progress: e.progress(c.JSON),
		})
	})
}

type planCmd struct {
	resolverFlags
	AllHosts bool        `help:"Read the results of all hosts from PostgreSQL (default: this host only)."`
	Day      reports.Day `help:"Show the reports of this UTC day: 2026-11-22, today or yesterday (default: yesterday)." placeholder:"DAY"`
	JSON     bool        `help:"Print JSON."`
}

func (c *planCmd) Run(e *env) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	cfg, err := c.load(e)
	if err != nil {
		return err
	}
	return reports.Plan(ctx, e.stdout, e.stderr, cfg, reports.PlanOptions{Day: c.Day, AllHosts: c.AllHosts, Generator: generator(), JSON: c.JSON, Progress: e.progress(c.JSON)})
}

// queueFlags are those of commands that look at the queue.
type queueFlags struct {
	Config string `short:"c" default:"${config}" help:"Use this configuration file (default: ${default})." type:"path"`
	JSON   bool   `help:"Print JSON."`
}

type reportsListCmd struct {
	queueFlags
	Day    reports.Day    `help:"List reports of this UTC day: 2026-11-22, today or yesterday (default: all)." placeholder:"DAY"`
	Domain reports.Domain `help:"List reports about this policy domain (default: all)."`
	State  string         `help:"List reports in this state: planned, ready, done, withheld, withdrawn, split, failed or held; or with a mail in this state: due, trying, sent, refused, expired, suppressed, unauthorized, withdrawn or withheld (default: all)." enum:"planned,ready,done,withheld,withdrawn,split,failed,held,due,trying,sent,refused,expired,suppressed,unauthorized," default:"" placeholder:"STATE"`
	Why    string         `help:"List reports with this reason, or with a mail with this reason (default: all)."`
	Limit  uint16         `default:"100" help:"List at most this many reports (default: ${default})."`
}

func (c *reportsListCmd) Run(e *env) error {
	return looking(e, c.Config, func(ctx context.Context, cfg *config.Config) error {
		return reports.List(ctx, e.stdout, cfg, reports.ListOptions{Day: c.Day, Domain: c.Domain, State: c.State, Why: c.Why, Limit: int(c.Limit), JSON: c.JSON})
	})
}

type reportsShowCmd struct {
	queueFlags
	ID       string `arg:"" help:"Show the report with this Report-ID."`
	XML      bool   `name:"xml" help:"Print the document."`
	Mail     bool   `help:"Print the mail, as it left or would leave."`
	To       string `help:"Print the mail to this address (default: the first destination)." placeholder:"ADDRESS"`
	Attempts bool   `help:"Show each attempt to deliver."`
}

// Validate is called by kong; what it finds is a usage error.
func (c *reportsShowCmd) Validate() error {
	switch {
	case c.XML && c.Mail || (c.XML || c.Mail) && (c.JSON || c.Attempts):
		return errors.New("--xml and --mail go without each other, and without --json and --attempts")
	case c.To != "" && !c.Mail:
		return errors.New("--to goes with --mail")
	}
	return nil
}

func (c *reportsShowCmd) Run(e *env) error {
	return looking(e, c.Config, func(ctx context.Context, cfg *config.Config) error {
		return reports.Show(ctx, e.stdout, e.stderr, cfg, reports.ShowOptions{ID: c.ID, XML: c.XML, Mail: c.Mail, To: c.To, Attempts: c.Attempts, JSON: c.JSON})
	})
}

type reportsStatusCmd struct{ queueFlags }

func (c *reportsStatusCmd) Run(e *env) error {
	return looking(e, c.Config, func(ctx context.Context, cfg *config.Config) error {
		return reports.Status(ctx, e.stdout, cfg, c.JSON)
	})
}

// orderFlags are those of commands that change the queue.
type orderFlags struct {
	controlFlags
	JSON bool `help:"Print JSON."`
}

func (f orderFlags) order(e *env, o queue.Order) error {
	cfg, err := config.Load(f.Config)
	if err != nil {
		return err
	}
	return reports.Change(context.Background(), e.stdout, e.stderr, cfg, reports.ChangeOptions{Socket: f.Socket, Order: o, JSON: f.JSON})
}

type sendNowCmd struct {
	orderFlags
	ID string `arg:"" help:"Send the report with this Report-ID."`
}

func (c *sendNowCmd) Run(e *env) error { return c.order(e, queue.Order{Do: queue.SendNow, ID: c.ID}) }

type retryCmd struct {
	orderFlags
	ID  string      `arg:"" optional:"" help:"Try the report with this Report-ID."`
	Day reports.Day `help:"Try the reports of this UTC day that a restored queue has ended: 2026-11-22." placeholder:"DAY"`
}

// Validate is called by kong; what it finds is a usage error.
func (c *retryCmd) Validate() error {
	if (c.ID == "") == c.Day.IsZero() {
		return errors.New("give a Report-ID, or --day")
	}
	return nil
}

func (c *retryCmd) Run(e *env) error {
	if c.ID == "" {
		return c.order(e, queue.Order{Do: queue.ReopenDay, Day: c.Day.Time})
	}
	return c.order(e, queue.Order{Do: queue.RetryReport, ID: c.ID})
}

type suppressCmd struct {
	orderFlags
	What   reports.Target  `arg:"" help:"Send nothing to addr:ADDRESS or host:DOMAIN (with all hosts below it), or about domain:DOMAIN (with all domains below it)."`
	For    config.Duration `help:"Remove the suppression after this time: 12h, 30d (default: never)." placeholder:"TIME"`
	Reason string          `required:"" help:"Give this reason in reports status."`
}

// Validate is called by kong; what it finds is a usage error.
func (c *suppressCmd) Validate() error {
	_, err := c.What.Suppression(c.For.Std(), c.Reason)
	return err
}

func (c *suppressCmd) Run(e *env) error {
	x, err := c.What.Suppression(c.For.Std(), c.Reason)
	if err != nil {
		return err
	}
	return c.order(e, queue.Order{Do: queue.Suppress, Suppression: x})
}

type unsuppressCmd struct {
	orderFlags
	What reports.Target `arg:"" help:"Remove addr:ADDRESS, host:DOMAIN or domain:DOMAIN, as reports status shows it."`
}

func (c *unsuppressCmd) Run(e *env) error {
	return c.order(e, queue.Order{Do: queue.Unsuppress, Suppression: queue.Suppression{Kind: string(c.What.Kind), What: c.What.What}})
}

type pauseCmd struct {
	orderFlags
	Reason string `required:"" help:"Give this reason in reports status."`
}

func (c *pauseCmd) Run(e *env) error {
	return c.order(e, queue.Order{Do: queue.PauseSending, Why: c.Reason})
}

type resumeCmd struct{ orderFlags }

func (c *resumeCmd) Run(e *env) error { return c.order(e, queue.Order{Do: queue.ResumeAgain}) }
