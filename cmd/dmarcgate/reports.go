package main

import (
	"context"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"dmarcgate/message"
	"dmarcgate/reports"
	"dmarcgate/site"
	"dmarcgate/term"
)

// reportsCmd is about aggregate reports. It is described in docs/reports.md.
type reportsCmd struct {
	Preview    previewCmd       `cmd:"" help:"Show the report about a domain as it would be made from stored results. Needs no network and sends nothing."`
	List       reportsListCmd   `cmd:"" help:"List reports of the queue, newest first."`
	Show       reportsShowCmd   `cmd:"" help:"Show a report of the queue with its deliveries and its document."`
	Status     reportsStatusCmd `cmd:"" help:"Show whether reports are sent, days, queue and suppressions."`
	Plan       planCmd          `cmd:"" help:"Show what would become of the reports of a day. Asks the DNS for destinations, and sends nothing."`
	SendNow    sendNowCmd       `cmd:"" help:"Make the mails of a report due now that wait for another attempt."`
	Retry      retryCmd         `cmd:"" help:"Put a report that has ended back to work, or a day that a restored queue has ended."`
	Suppress   suppressCmd      `cmd:"" help:"Send no reports to an address or a host, or about a domain."`
	Unsuppress unsuppressCmd    `cmd:"" help:"Lift a suppression."`
	Pause      pauseCmd         `cmd:"" help:"Send no reports, on all hosts of the queue, until resume."`
	Resume     resumeCmd        `cmd:"" help:"Send reports again."`
}

// interrupted returns a context that ends with the program's interruption.
func interrupted() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
}

// parseDay reads a UTC day. "" is yesterday: the last day that is complete.
func parseDay(text string, now time.Time) (time.Time, error) {
	today := now.UTC().Truncate(24 * time.Hour)
	switch text {
	case "", "yesterday":
		return today.AddDate(0, 0, -1), nil
	case "today":
		return today, nil
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return day, fmt.Errorf("--day: %q is neither a day, as 2026-11-22, nor today or yesterday", text)
	}
	return day, nil
}

// reporter is the name and version of the program in reports.
func reporter() string { return "dmarcgate " + version }

type previewCmd struct {
	backendFlags
	Domain string `arg:"" help:"Policy domain: where the DMARC record of the messages is."`
	Day    string `help:"UTC day: 2026-11-22, today or yesterday (default: yesterday)." placeholder:"DAY"`
	Schema string `help:"Form of the document: rfc9990 or rfc7489 (default: ${default})." enum:"rfc9990,rfc7489" default:"rfc9990"`
	XML    bool   `name:"xml" help:"Print the document." xor:"form"`
	JSON   bool   `help:"Print JSON." xor:"form"`
}

// Validate is called by kong; what it finds is a usage error.
func (c *previewCmd) Validate() (err error) {
	domain, err := message.ParseDomain(c.Domain)
	if err != nil {
		return fmt.Errorf("%q is not a domain: %w", term.Printable(c.Domain), err)
	}
	c.Domain = domain
	_, err = parseDay(c.Day, time.Now())
	return err
}

func (c *previewCmd) Run(e *env) error {
	ctx, stop := interrupted()
	defer stop()
	day, err := parseDay(c.Day, time.Now())
	if err != nil {
		return err
	}
	cfg, err := site.LoadPartly(e.stderr, c.Config)
	if err != nil {
		return err
	}
	store, err := site.OpenStore(ctx, e.stderr, cfg, c.AllHosts)
	if err != nil {
		return err
	}
	defer store.Close()
	return reports.Preview(ctx, e.stdout, e.stderr, cfg, store, reports.PreviewOptions{
		Domain: c.Domain, Day: day, Form: c.Schema, Generator: reporter(), XML: c.XML, JSON: c.JSON, Progress: e.progress(c.JSON),
	})
}
