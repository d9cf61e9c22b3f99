package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/config"
	"dmarcgate/message"
	"dmarcgate/report/consent"
	"dmarcgate/report/queue"
	"dmarcgate/reports"
	"dmarcgate/site"
)

// queueFlags are those of commands that only look.
type queueFlags struct {
	Config string `short:"c" default:"${config}" help:"Use this configuration file (default: ${default})." type:"path"`
	JSON   bool   `help:"Print JSON."`
}

// load reads the configuration as loadPartly does, and returns a context that ends with
// the program's interruption.
func (f queueFlags) load(e *env) (context.Context, context.CancelFunc, *config.Config, error) {
	cfg, err := site.LoadPartly(e.stderr, f.Config)
	ctx, stop := interrupted()
	return ctx, stop, cfg, err
}

type reportsListCmd struct {
	queueFlags
	Day    string `help:"List reports of this UTC day: 2026-11-22, today or yesterday (default: all)." placeholder:"DAY"`
	Domain string `help:"List reports about this policy domain (default: all)."`
	State  string `help:"List reports in this state, or with a mail in this state (default: all)." enum:"planned,ready,done,withheld,withdrawn,split,failed,held,due,trying,sent,refused,expired,suppressed,unauthorized," default:"" placeholder:"STATE"`
	Why    string `help:"List reports with this reason, or with a mail with this reason (default: all)."`
	Limit  int    `default:"100" help:"List at most this many reports (default: ${default})."`
}

// Validate is called by kong; what it finds is a usage error.
func (c *reportsListCmd) Validate() (err error) {
	if c.Limit < 1 || c.Limit > 10_000 {
		return errors.New("--limit: from 1 to 10000")
	}
	if c.Domain != "" {
		if c.Domain, err = message.ParseDomain(c.Domain); err != nil {
			return fmt.Errorf("--domain: %w", err)
		}
	}
	_, err = parseDay(c.Day, time.Now())
	return err
}

func (c *reportsListCmd) Run(e *env) error {
	ctx, stop, cfg, err := c.load(e)
	defer stop()
	if err != nil {
		return err
	}
	o := reports.ListOptions{Domain: c.Domain, State: c.State, Why: c.Why, Limit: c.Limit, JSON: c.JSON}
	if c.Day != "" {
		o.Day, _ = parseDay(c.Day, time.Now()) // Validate has read it
	}
	return reports.List(ctx, e.stdout, cfg, o)
}

type reportsShowCmd struct {
	queueFlags
	ID       string `arg:"" help:"Report-ID."`
	XML      bool   `name:"xml" help:"Print the document."`
	Mail     bool   `help:"Print the mail to the first destination, or to --to."`
	To       string `help:"Choose the mail to this address." placeholder:"ADDRESS"`
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
	ctx, stop, cfg, err := c.load(e)
	defer stop()
	if err != nil {
		return err
	}
	return reports.Show(ctx, e.stdout, e.stderr, cfg, reports.ShowOptions{ID: c.ID, XML: c.XML, Mail: c.Mail, To: c.To, Attempts: c.Attempts, JSON: c.JSON})
}

type reportsStatusCmd struct{ queueFlags }

func (c *reportsStatusCmd) Run(e *env) error {
	ctx, stop, cfg, err := c.load(e)
	defer stop()
	if err != nil {
		return err
	}
	return reports.Status(ctx, e.stdout, cfg, c.JSON)
}

type planCmd struct {
	resolverFlags
	AllHosts bool   `help:"Read the results of all hosts from PostgreSQL (default: this host only)."`
	Day      string `help:"UTC day: 2026-11-22, today or yesterday (default: yesterday)." placeholder:"DAY"`
	JSON     bool   `help:"Print JSON."`
}

// Validate is called by kong; what it finds is a usage error.
func (c *planCmd) Validate() error {
	_, err := parseDay(c.Day, time.Now())
	return err
}

func (c *planCmd) Run(e *env) error {
	ctx, stop := interrupted()
	defer stop()
	cfg, err := c.load(e)
	if err != nil {
		return err
	}
	in, err := site.With(cfg, site.SuffixPart)
	if err != nil {
		return err
	}
	dns, err := site.NewResolver(cfg, nil)
	if err != nil {
		return err
	}
	defer dns.Close()
	store, err := site.OpenStore(ctx, e.stderr, cfg, c.AllHosts)
	if err != nil {
		return err
	}
	defer store.Close()
	o := reports.PlanOptions{Generator: reporter(), JSON: c.JSON, Progress: e.progress(c.JSON), Checker: consent.Checker{DNS: dns, Suffixes: in.Suffixes}}
	if in.Suffixes != nil {
		o.Checker.Method = dmarc.PSL
	}
	o.Day, _ = parseDay(c.Day, time.Now()) // Validate has read it
	return reports.Plan(ctx, e.stdout, e.stderr, cfg, store, o)
}

// orderFlags are those of commands that change the queue.
type orderFlags struct {
	controlFlags
	JSON bool `help:"Print JSON."`
}

func (f orderFlags) order(e *env, o queue.Order) error {
	ctx, stop := interrupted()
	defer stop()
	cfg, err := config.Load(f.Config)
	if err != nil {
		return err
	}
	return reports.Change(ctx, e.stdout, e.stderr, cfg, reports.ChangeOptions{Socket: f.Socket, Order: o, JSON: f.JSON})
}

type sendNowCmd struct {
	orderFlags
	ID string `arg:"" help:"Report-ID."`
}

func (c *sendNowCmd) Run(e *env) error { return c.order(e, queue.Order{Do: queue.SendNow, ID: c.ID}) }

type retryCmd struct {
	orderFlags
	ID  string `arg:"" optional:"" help:"Report-ID."`
	Day string `help:"Make the reports of this UTC day that a restored queue has ended: 2026-11-22." placeholder:"DAY"`
}

// Validate is called by kong; what it finds is a usage error.
func (c *retryCmd) Validate() error {
	if (c.ID == "") == (c.Day == "") {
		return errors.New("give a Report-ID, or --day")
	}
	_, err := parseDay(c.Day, time.Now())
	return err
}

func (c *retryCmd) Run(e *env) error {
	if c.ID != "" {
		return c.order(e, queue.Order{Do: queue.RetryReport, ID: c.ID})
	}
	day, _ := parseDay(c.Day, time.Now()) // Validate has read it
	return c.order(e, queue.Order{Do: queue.ReopenDay, Day: day})
}

type suppressCmd struct {
	orderFlags
	What   string          `arg:"" help:"addr:ADDRESS, host:DOMAIN (with all hosts below it) or domain:DOMAIN (a policy domain, with all below it)."`
	For    config.Duration `help:"Lift the suppression after this time: 12h, 30d (default: reports unsuppress lifts it)." placeholder:"TIME"`
	Reason string          `required:"" help:"Reason, for reports status."`
}

// Validate is called by kong; what it finds is a usage error.
func (c *suppressCmd) Validate() error {
	_, err := reports.NewSuppression(c.What, c.For.Std(), c.Reason, time.Now())
	return err
}

func (c *suppressCmd) Run(e *env) error {
	x, err := reports.NewSuppression(c.What, c.For.Std(), c.Reason, time.Now())
	if err != nil {
		return err
	}
	return c.order(e, queue.Order{Do: queue.Suppress, Suppression: x})
}

type unsuppressCmd struct {
	orderFlags
	What string `arg:"" help:"addr:ADDRESS, host:DOMAIN or domain:DOMAIN, as reports status shows it."`
}

// Validate is called by kong; what it finds is a usage error.
func (c *unsuppressCmd) Validate() error {
	_, err := reports.NewSuppression(c.What, 0, "", time.Now())
	return err
}

func (c *unsuppressCmd) Run(e *env) error {
	x, err := reports.NewSuppression(c.What, 0, "", time.Now())
	if err != nil {
		return err
	}
	return c.order(e, queue.Order{Do: queue.Unsuppress, Suppression: x})
}

type pauseCmd struct {
	orderFlags
	Reason string `required:"" help:"Reason, for reports status."`
}

func (c *pauseCmd) Run(e *env) error {
	return c.order(e, queue.Order{Do: queue.PauseSending, Why: c.Reason})
}

type resumeCmd struct{ orderFlags }

func (c *resumeCmd) Run(e *env) error { return c.order(e, queue.Order{Do: queue.ResumeAgain}) }
