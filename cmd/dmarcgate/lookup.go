package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"dmarcgate/auth/dkim"
	"dmarcgate/config"
	"dmarcgate/lookup"
	"dmarcgate/message"
	"dmarcgate/site"
)

// resolverFlags choose the configuration and the DNS of a command that works
// without the daemon.
type resolverFlags struct {
	Config string   `short:"c" default:"${config}" help:"Use the DNS settings of this file (default: ${default}, or the built-in settings without this file)." type:"path"`
	DNS    []string `help:"Query these DNS servers, as ip:port (default: the configured servers)." placeholder:"IP:PORT"`
}

// load reads the configuration as loadPartly does.
func (r resolverFlags) load(e *env) (*config.Config, error) {
	cfg, err := site.LoadPartly(e.stderr, r.Config)
	if err != nil {
		return nil, err
	}
	if len(r.DNS) > 0 {
		cfg.DNS.Servers = r.DNS
		cfg.DNS.Trusted = slices.DeleteFunc(cfg.DNS.Trusted, func(s string) bool { return !slices.Contains(r.DNS, s) })
	}
	return cfg, nil
}

// lookupCmd shows what a receiver sees of a domain. It is described in
// docs/lookup.md.
type lookupCmd struct {
	resolverFlags
	Domain   string   `arg:"" optional:"" help:"Look up this domain of a From address."`
	Batch    string   `help:"Look up the domains in FILE, one per line; - is standard input." placeholder:"FILE"`
	JSON     bool     `help:"Print JSON; for --batch, one object per line and the summary last."`
	Selector []string `help:"Look up the DKIM keys of these selectors, too; repeatable." placeholder:"NAME"`
	MailText bool     `name:"mail-text" help:"Print, but do not send, a message to the domain owner with the defects and a corrected record."`
}

// Validate is called by kong; what it finds is a usage error.
func (c *lookupCmd) Validate() error {
	switch {
	case (c.Domain == "") == (c.Batch == ""):
		return errors.New("give one domain, or --batch FILE")
	case c.MailText && (c.JSON || c.Batch != ""):
		return errors.New("--mail-text goes with one domain, and without --json")
	case len(c.Selector) > 0 && (c.MailText || c.Batch != ""):
		return errors.New("--selector goes with one domain, and without --mail-text")
	case len(c.Selector) > lookup.MaxSelectors:
		return fmt.Errorf("--selector: more than %d", lookup.MaxSelectors)
	case c.Batch != "":
		return nil
	}
	domain, err := message.ParseDomain(c.Domain)
	if err != nil {
		return fmt.Errorf("%q is not a domain: %w", c.Domain, err)
	}
	c.Domain = domain
	for _, s := range c.Selector {
		if _, err := dkim.KeyName(s, domain); err != nil {
			return fmt.Errorf("--selector: %q is not a name: %w", s, err)
		}
	}
	return nil
}

// Run ends with an error, and so with exit code 1, when the domain could not be
// looked up or has a defect that changes what its record means.
func (c *lookupCmd) Run(e *env) error {
	cfg, err := c.load(e)
	if err != nil {
		return err
	}
	in, err := site.With(cfg, site.SuffixPart) // rules have no say here
	if err != nil {
		return err
	}
	dns, err := site.NewResolver(in.Config, nil)
	if err != nil {
		return err
	}
	defer dns.Close()
	ctx, o := context.Background(), lookup.Options{Site: in, DNS: dns, JSON: c.JSON, Selectors: c.Selector, Progress: e.progress(c.JSON)}
	switch {
	case c.Batch != "":
		return lookup.Batch(ctx, e.stdout, c.Batch, o)
	case c.MailText:
		return lookup.MailText(ctx, e.stdout, e.stderr, c.Domain, o)
	}
	return lookup.Domain(ctx, e.stdout, c.Domain, o)
}
