package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"dmarcgate/config"
	"dmarcgate/control"
	"dmarcgate/explain"
	"dmarcgate/milter"
	"dmarcgate/site"
)

// explainCmd asks for the whole envelope: a guessed one would explain another
// message.
type explainCmd struct {
	resolverFlags
	Message   string   `arg:"" optional:"" help:"Explain the message in this file; - is standard input."`
	Client    string   `help:"Set the address of the SMTP client." placeholder:"ADDR"`
	Helo      *string  `help:"Set the client's HELO name." placeholder:"NAME"`
	MailFrom  *string  `help:"Set the reverse path; <> is the null path." placeholder:"ADDRESS"`
	Name      *string  `name:"client-name" help:"Set the client name confirmed by an address lookup of the MTA; an empty name is none." placeholder:"NAME"`
	TLS       string   `name:"tls" help:"State whether the client used TLS: yes or no." enum:"yes,no," default:"" placeholder:"yes|no"`
	Auth      *string  `help:"Set the client's SMTP AUTH user; an empty name is none." placeholder:"NAME"`
	Rcpt      []string `help:"Add a recipient; repeatable." placeholder:"ADDRESS"`
	Listener  string   `help:"Use the settings of this listener (default: the first)."`
	Profile   string   `help:"Use this profile: monitor, conformant or strict (default: the profile of the listener)." enum:"monitor,conformant,strict," default:"" placeholder:"PROFILE"`
	Second    bool     `name:"second-opinion" help:"Compare SPF and DKIM with other implementations."`
	ForSender bool     `help:"Print the fixes for the sender, ready to be sent to the sender."`
	Bundle    string   `help:"Write message, DNS data and decision to FILE as a redacted test case; - is standard output." placeholder:"FILE"`
	NoRedact  bool     `help:"Write the bundle without redaction."`
	Rule      string   `help:"Show for each key of this rule whether the key holds for the message." placeholder:"ID"`
	QID       string   `name:"qid" help:"Explain the stored messages with this queue id instead of a file." placeholder:"ID"`
	AllHosts  bool     `help:"Search the results of all hosts in PostgreSQL for --qid (default: this host only)."`
	NoDaemon  bool     `help:"Skip the comparison of DNS answers with the cache of the running daemon."`
	JSON      bool     `help:"Print JSON."`
}

// Validate finds what is wrong with the flags together.
func (c *explainCmd) Validate() error {
	envelope := []struct {
		name string
		set  bool
	}{{"MESSAGE", c.Message != ""}, {"--client", c.Client != ""}, {"--helo", c.Helo != nil}, {"--mail-from", c.MailFrom != nil}}
	if c.QID != "" {
		more := []struct {
			name string
			set  bool
		}{{"--client-name", c.Name != nil}, {"--tls", c.TLS != ""}}
		for _, f := range append(envelope, more...) {
			if f.set {
				return fmt.Errorf("%s: not allowed with --qid, which reads the value from the store", f.name)
			}
		}
		if c.Second || c.Bundle != "" || len(c.Rcpt) > 0 || c.Auth != nil {
			return errors.New("--qid: the store has no message, so --rcpt, --auth, --second-opinion and --bundle have no use")
		}
		return nil
	}
	var missing []string
	for _, f := range envelope {
		if !f.set {
			missing = append(missing, f.name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("missing %s; or --qid", strings.Join(missing, ", "))
	}
	if _, err := c.envelope(); err != nil {
		return err
	}
	switch {
	case c.AllHosts:
		return errors.New("--all-hosts: needs --qid")
	case c.NoRedact && c.Bundle == "":
		return errors.New("--no-redact: needs --bundle")
	case c.Bundle == "-" && c.ForSender && !c.JSON:
		return errors.New("--bundle - and --for-sender: standard output has room for one")
	}
	return nil
}

func (c *explainCmd) Run(e *env) error {
	if c.QID != "" {
		return c.stored(e)
	}
	env, err := c.envelope()
	if err != nil {
		return err
	}
	in, listener, err := c.settings(e)
	if err != nil {
		return err
	}
	letter, err := explain.ReadFile(c.Message, env)
	if err != nil {
		return err
	}
	x, err := explain.Message(in, listener, letter, c.options(in))
	if err != nil {
		return err
	}
	return x.Write(e.stdout, e.stderr, c.output())
}

func (c *explainCmd) options(in site.Site) explain.Options {
	o := explain.Options{
		ClientName: c.Name != nil, TLS: c.TLS != "", Auth: c.Auth != nil, Rcpt: len(c.Rcpt) > 0,
		Second: c.Second, Rule: c.Rule, Bundle: c.Bundle != "", Redact: !c.NoRedact,
	}
	if !c.NoDaemon {
		o.Daemon = control.At(in.Config.Admin.Control, in.Config.User) // the place may be read from a broken file
	}
	return o
}

func (c *explainCmd) output() explain.Output {
	return explain.Output{JSON: c.JSON, ForSender: c.ForSender, Bundle: c.Bundle}
}

func (c *explainCmd) envelope() (*milter.Envelope, error) {
	ip, err := netip.ParseAddr(c.Client)
	if err != nil {
		return nil, fmt.Errorf("--client: %q is not an address; write for example 192.0.2.10 or 2001:db8::1", c.Client)
	}
	trim := func(s string) string { return strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">") }
	if path := trim(*c.MailFrom); path != "" && !strings.Contains(path, "@") {
		return nil, fmt.Errorf(`--mail-from: %q has no @; write an address, or "<>" for the null path`, *c.MailFrom)
	}
	env := &milter.Envelope{Client: ip.Unmap(), Helo: *c.Helo, MailFrom: trim(*c.MailFrom), QueueID: "explain"}
	if c.Name != nil && !strings.HasPrefix(*c.Name, "[") { // as MTAs write a client without a name
		env.ClientName = strings.ToLower(strings.TrimSuffix(*c.Name, "."))
	}
	if c.TLS == "yes" {
		env.TLS = explain.SomeTLS
	}
	if c.Auth != nil && *c.Auth != "" {
		env.AuthType, env.Authenticated = "PLAIN", *c.Auth
	}
	for _, r := range c.Rcpt {
		env.Rcpts = append(env.Rcpts, trim(r))
	}
	return env, nil
}

// settings returns the active ones for a listener, the first by default.
func (c *explainCmd) settings(e *env) (site.Site, config.Listener, error) {
	cfg, err := c.load(e)
	if err != nil {
		return site.Site{}, config.Listener{}, err
	}
	in, err := site.With(cfg, site.AllParts|site.DemoteRules)
	if err != nil {
		return in, config.Listener{}, err
	}
	in.TellDemoted(e.stderr)
	l, err := site.Listener(cfg, c.Listener)
	if err == nil && c.Profile != "" {
		err = l.Profile.UnmarshalText([]byte(c.Profile))
	}
	return in, l, err
}

// stored explains the messages of a queue id from the store: nothing is looked
// up. The daemon may run beside it.
func (c *explainCmd) stored(e *env) error {
	in, err := c.storedSite(e)
	if err != nil {
		return err
	}
	all, err := explain.Stored(context.Background(), e.stderr, in, explain.StoredOptions{
		QueueID: c.QID, AllHosts: c.AllHosts, Listener: c.Listener, Profile: c.Profile, Rule: c.Rule,
	})
	if err != nil {
		return err
	}
	for _, x := range all {
		if err := x.Write(e.stdout, e.stderr, c.output()); err != nil {
			return err
		}
	}
	return nil
}

// storedSite is the configuration and its rules. Rules that cannot be read are
// told and left out, unless --rule asks for one: what is stored can be shown
// without them, and only what would be decided now cannot.
func (c *explainCmd) storedSite(e *env) (site.Site, error) {
	cfg, err := c.load(e)
	if err != nil {
		return site.Site{}, err
	}
	in, err := site.With(cfg, site.RulePart|site.DemoteRules)
	if err == nil || c.Rule != "" {
		in.TellDemoted(e.stderr)
		return in, err
	}
	site.TellProblems(e.stderr, err)
	fmt.Fprintln(e.stderr, "dmarcgate: continuing without the rules: the decision under the active settings is not shown")
	return site.With(cfg, 0)
}
