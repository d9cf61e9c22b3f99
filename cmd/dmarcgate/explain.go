package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"

	"dmarcgate/config"
	"dmarcgate/control"
	"dmarcgate/explain"
	"dmarcgate/message"
	"dmarcgate/milter"
	"dmarcgate/policy/pattern"
	"dmarcgate/results"
	"dmarcgate/site"
	"dmarcgate/term"
)

// maxMessage is the largest message file that explain reads.
const maxMessage = 256 << 20

// explainCmd asks for the whole envelope: a guessed one would explain another
// message.
type explainCmd struct {
	resolverFlags
	Message   string   `arg:"" optional:"" help:"Message file, or - for standard input."`
	IP        string   `help:"Address of the SMTP client." placeholder:"ADDR"`
	Helo      *string  `help:"Name that the client gave in HELO." placeholder:"NAME"`
	MailFrom  *string  `help:"Reverse path; <> for the null path." placeholder:"ADDRESS"`
	Name      *string  `name:"client-name" help:"Name of the client that the MTA has confirmed by an address lookup; empty if it has none." placeholder:"NAME"`
	TLS       string   `name:"tls" help:"Whether the client used TLS: yes or no." enum:"yes,no," default:"" placeholder:"yes|no"`
	Auth      *string  `help:"Name with which the client has authenticated; empty if it has not." placeholder:"NAME"`
	Rcpt      []string `help:"Recipient; may be repeated." placeholder:"ADDRESS"`
	Listener  string   `help:"Listener whose settings count; the first one by default."`
	Profile   string   `help:"Profile instead of the configured one: monitor, conformant or strict." enum:"monitor,conformant,strict," default:"" placeholder:"PROFILE"`
	Second    bool     `name:"second-opinion" help:"Ask other implementations of SPF and DKIM, too."`
	ForSender bool     `help:"Print what the sender has to mend, ready to be sent there."`
	Bundle    string   `help:"Write the message with its DNS and its decision as a test case to FILE, - for standard output. Redacted." placeholder:"FILE"`
	NoRedact  bool     `help:"Leave everything in the bundle as it is."`
	Rule      string   `help:"Show of each key of a rule whether it holds for the message." placeholder:"ID"`
	QID       string   `name:"qid" help:"Explain the messages of a queue id from the store, instead of a file." placeholder:"ID"`
	AllHosts  bool     `help:"With --qid: look at all hosts, in PostgreSQL."`
	NoDaemon  bool     `help:"Do not ask the running daemon what its cache has of these names."`
	JSON      bool     `help:"Print JSON."`
}

// Validate finds what is wrong with the flags together.
func (c *explainCmd) Validate() error {
	envelope := []struct {
		name string
		set  bool
	}{{"MESSAGE", c.Message != ""}, {"--ip", c.IP != ""}, {"--helo", c.Helo != nil}, {"--mail-from", c.MailFrom != nil}}
	if c.QID != "" {
		more := []struct {
			name string
			set  bool
		}{{"--client-name", c.Name != nil}, {"--tls", c.TLS != ""}}
		for _, f := range append(envelope, more...) {
			if f.set {
				return fmt.Errorf("%s: with --qid, the store says it", f.name)
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
		return errors.New("--all-hosts: it is about --qid")
	case c.NoRedact && c.Bundle == "":
		return errors.New("--no-redact: it is about --bundle")
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
	in, listener, err := c.settings(e, c.Listener)
	if err != nil {
		return err
	}
	text, err := readMessage(c.Message)
	if err != nil {
		return err
	}
	header, body := message.Split(text)
	if err := c.knownRule(in); err != nil {
		return err
	}
	x, err := explain.Message(in, listener, explain.Letter{Env: env, Header: header, Body: body}, c.options(in))
	if err != nil {
		return err
	}
	return c.print(e, x)
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

// print gives what was asked for: a bundle on standard output and the text for
// the sender stand alone there.
func (c *explainCmd) print(e *env, x *explain.Explanation) error {
	if c.Bundle != "" && c.Bundle != "-" {
		if err := os.WriteFile(c.Bundle, []byte(x.Bundle), 0o600); err != nil {
			return err
		}
		fmt.Fprintf(e.stderr, "%s written: read it before you pass it on\n", c.Bundle)
		x.Bundle = ""
	}
	if c.ForSender {
		x.ForSender = x.SenderText()
	}
	var err error
	switch {
	case c.JSON:
		return json.NewEncoder(e.stdout).Encode(x)
	case c.Bundle == "-":
		_, err = io.WriteString(e.stdout, x.Bundle)
	case c.ForSender:
		_, err = io.WriteString(e.stdout, x.ForSender)
	default:
		err = x.Tree().Print(e.stdout)
	}
	return err
}

func (c *explainCmd) envelope() (*milter.Envelope, error) {
	ip, err := netip.ParseAddr(c.IP)
	if err != nil {
		return nil, fmt.Errorf("--ip: %q is not an address; write for example 192.0.2.10 or 2001:db8::1", c.IP)
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

// settings returns those in force for a listener, the first by default.
func (c *explainCmd) settings(e *env, name string) (site.Site, config.Listener, error) {
	cfg, err := c.load(e)
	if err != nil {
		return site.Site{}, config.Listener{}, err
	}
	in, err := site.With(cfg, site.AllParts)
	if err != nil {
		return site.Site{}, config.Listener{}, err
	}
	i := 0
	if name != "" {
		i = slices.IndexFunc(cfg.Listeners, func(l config.Listener) bool { return l.Name == name })
		if i < 0 {
			return site.Site{}, config.Listener{}, noListener(name, cfg)
		}
	}
	l := cfg.Listeners[i]
	if c.Profile != "" {
		if err := l.Profile.UnmarshalText([]byte(c.Profile)); err != nil {
			return in, l, err
		}
	}
	return in, l, nil
}

// noListener says which listeners there are.
func noListener(name string, cfg *config.Config) error {
	names := make([]string, len(cfg.Listeners))
	for i, l := range cfg.Listeners {
		names[i] = l.Name
	}
	return term.Usagef("--listener: the configuration has no listener %q; it has %s", name, strings.Join(names, ", "))
}

func readMessage(path string) ([]byte, error) {
	f := os.Stdin
	if path != "-" {
		var err error
		if f, err = os.Open(path); err != nil {
			return nil, err
		}
		defer f.Close()
	}
	text, err := io.ReadAll(io.LimitReader(f, maxMessage+1))
	if err == nil && len(text) > maxMessage {
		err = fmt.Errorf("%s has more than %d MiB", path, maxMessage>>20)
	}
	return text, err
}

// stored explains the messages of a queue id from the store: nothing is looked
// up. The daemon may run beside it.
func (c *explainCmd) stored(e *env) error {
	in, err := c.storedSite(e)
	if err != nil {
		return err
	}
	if err := c.knownRule(in); err != nil {
		return err
	}
	rows, err := storedRows(e, in.Config, c.AllHosts, c.QID)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return fmt.Errorf("the store has no message with the queue id %q", c.QID)
	}
	for _, r := range rows {
		if err := c.print(e, explain.Row(in, r, explain.RowOptions{Listener: c.Listener, Profile: c.Profile, Rule: c.Rule})); err != nil {
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
	in, err := site.With(cfg, site.RulePart)
	if err == nil || c.Rule != "" {
		return in, err
	}
	site.TellProblems(e.stderr, err)
	fmt.Fprintln(e.stderr, "dmarcgate: going on without the rules: what would be decided now is not shown")
	return site.With(cfg, 0)
}

// storedRows returns the rows of a queue id, and of its hash: rows of before
// hash_queue_ids was changed have the other one.
func storedRows(e *env, cfg *config.Config, allHosts bool, qid string) ([]results.Row, error) {
	ctx := context.Background()
	store, err := site.OpenStore(ctx, e.stderr, cfg, allHosts)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	return site.ByQueueID(ctx, store, cfg, qid)
}

// knownRule is a usage error when --rule names a rule that is not there.
func (c *explainCmd) knownRule(in site.Site) error {
	if c.Rule == "" {
		return nil
	}
	var ids []string
	for _, r := range in.Rules.List() {
		if r.ID == c.Rule {
			return nil
		}
		ids = append(ids, r.ID)
	}
	if near := pattern.Nearest(c.Rule, ids); near != "" {
		return term.Usagef("--rule: there is no rule %q; did you mean %q?", c.Rule, near)
	}
	return term.Usagef("--rule: there is no rule %q", c.Rule)
}
