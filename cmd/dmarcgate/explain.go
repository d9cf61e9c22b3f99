package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"dmarcgate/auth/spf"
	"dmarcgate/config"
	"dmarcgate/dnscache"
	"dmarcgate/enforce"
	"dmarcgate/message"
	"dmarcgate/milter"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/site"
	"dmarcgate/term"
)

// someTLS is the version of TLS that a client speaks of which only that is known.
const someTLS = "TLSv1.3"

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
	m := letter{env, header, body}
	if err := c.knownRule(in); err != nil {
		return err
	}
	x, err := explain(in, listener, m, c.Second)
	if err != nil {
		return err
	}
	x.Limits = limitsMet(in.Config, m, x.Facts)
	x.NotTold = c.notTold(in.Policy(listener), x)
	x.tellRule(in.Policy(listener), c.Rule)
	if !c.NoDaemon {
		x.addDaemon(daemonAt(in.Config.Admin.Control, in.Config.User)) // the place may be read from a broken file
	}
	if c.Bundle != "" {
		if x.Bundle, err = bundle(in, listener, m, x, !c.NoRedact); err != nil {
			return fmt.Errorf("--bundle: %w", err)
		}
	}
	return c.print(e, x)
}

// print gives what was asked for: a bundle on standard output and the text for
// the sender stand alone there.
func (c *explainCmd) print(e *env, x *explanation) error {
	if c.Bundle != "" && c.Bundle != "-" {
		if err := os.WriteFile(c.Bundle, []byte(x.Bundle), 0o600); err != nil {
			return err
		}
		fmt.Fprintf(e.stderr, "%s written: read it before you pass it on\n", c.Bundle)
		x.Bundle = ""
	}
	if c.ForSender {
		x.ForSender = forSender(x)
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
		err = x.tree().Print(e.stdout)
	}
	return err
}

// letter is a message with its envelope: the fields of the header as they were
// signed, and the body in CRLF.
type letter struct {
	env    *milter.Envelope
	header [][]byte
	body   []byte
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
		env.TLS = someTLS
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

// explanation is what became of a message, and what was looked up for it.
type explanation struct {
	Profile   string          `json:"profile"`
	Secret    bool            `json:"site_secret"` // false: draws are not those of the daemon
	Facts     policy.Facts    `json:"facts"`
	Decision  policy.Decision `json:"decision"`
	Reply     string          `json:"reply"`
	Edits     []string        `json:"edits"`
	Lookups   []asked         `json:"lookups"`                   // in the order of their answers
	SPF       []spfCheck      `json:"spf_checks,omitempty"`      // MAIL FROM, then HELO
	Authors   []authorPath    `json:"authors,omitempty"`         // for each of Facts.Authors
	Owner     string          `json:"spf_explanation,omitempty"` // what the owner of the MAIL FROM domain says of a fail
	Second    *second         `json:"second_opinion,omitempty"`
	ForSender string          `json:"for_sender,omitempty"`
	Bundle    string          `json:"bundle,omitempty"`

	NotTold []notTold     `json:"not_told,omitempty"` // of a message of a file
	Limits  []metLimit    `json:"limits,omitempty"`   // the same
	Rule    *policy.Told  `json:"rule,omitempty"`     // with --rule
	State   string        `json:"state,omitempty"`    // of a message of the store
	Again   *decidedAgain `json:"decided_again,omitempty"`

	wanted string // --rule, of a message of the store
	stored bool   // Facts and Decision are those of the store, and nothing was looked up

	unruled bool // the rules cannot be read, so that nothing is decided again
}

// second is what other implementations say, or why they say nothing.
type second struct {
	Opinions []opinion `json:"opinions,omitempty"`
	Error    string    `json:"error,omitempty"`
}

// explain takes a message along the path of the daemon. What the path leaves
// behind is not all that it knew: the steps of SPF and of the tree walks are
// taken once more, with the same answers.
func explain(in site.Site, l config.Listener, m letter, others bool) (*explanation, error) {
	dns, err := site.NewResolver(in.Config, nil)
	if err != nil {
		return nil, err
	}
	defer dns.Close()
	secret, err := os.ReadFile(in.Config.Sampling.SecretFile)
	known := err == nil && len(secret) >= policy.MinSecret
	log := &dnsLog{}
	names := site.ReadNames(in.Config)
	m.env.MTAName = names.Last(l.Name)
	x := passage(l, site.MilterLimits(in.Config), in.Snapshot(l, policy.NewSampler(secret), site.Traced(dns, log.note)), m, names)
	x.Secret = known
	x.Lookups = slices.Clone(log.list)
	again := &playback{log: log, dns: dns}
	x.SPF = again.spf(m.env, x.Facts)
	x.Authors = again.authors(in, x.Facts)
	x.Owner = ownerSays(dns, m.env, x.Facts)
	if others && x.Facts.Skip == policy.Evaluated {
		x.Second = &second{}
		if x.Second.Opinions, err = secondOpinion(dns, m.env, x.Facts, m.header, m.body); err != nil {
			x.Second.Error = err.Error()
		}
	}
	return x, nil
}

// passage takes a message along the path of the daemon, through the same limits,
// with a recorder that only remembers. names are those that MTAs gave the daemon.
func passage(l config.Listener, limits milter.Limits, now *enforce.Snapshot, m letter, names *enforce.Names) *explanation {
	kept := &keeper{}
	gate := &enforce.Gate{
		Listener: l.Name, Store: kept, Deferrals: &enforce.Deferrals{}, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Names: names, Local: true, // what the daemon took
	}
	gate.Snapshot.Store(now)
	run := gate.Start(context.Background(), m.env, limits.Take(gate, m.env, m.header))
	_, _ = run.Write(m.body) // it only says when it has had enough
	answer := run.Finish()
	x := &explanation{Profile: l.Profile.String(), Facts: kept.row.Facts, Decision: kept.row.Decision, Reply: answer.Reply.String()}
	for _, e := range answer.Edits {
		x.Edits = append(x.Edits, e.String())
	}
	return x
}

// ownerSays fetches the explanation of an SPF fail (RFC 7208, Section 6.2). It
// may hold the local part of the sender, so it goes no further than here.
func ownerSays(dns *dnscache.Resolver, env *milter.Envelope, f policy.Facts) string {
	if f.SPF.Result != spf.Fail.String() {
		return ""
	}
	q := mailFromQuery(env, f)
	q.Explain = true
	return spf.Check(context.Background(), dns.View(dnscache.SPF), q).Explanation
}

// mailFromQuery is the check of MAIL FROM; for the null path that of HELO.
func mailFromQuery(env *milter.Envelope, f policy.Facts) spf.Query {
	q := spf.Query{IP: f.Client, Domain: f.SPF.Domain, Local: "postmaster", Helo: f.Helo}
	if f.NullPath {
		q.Identity = spf.Helo
	} else if at := strings.LastIndexByte(env.MailFrom, '@'); at > 0 {
		q.Local = env.MailFrom[:at]
	}
	return q
}

// keeper is a store of one row.
type keeper struct{ row results.Row }

func (k *keeper) Add(r results.Row) *results.Receipt {
	k.row = r
	return &results.Receipt{Outcome: results.Written}
}

// History knows nothing: what was seen of a sender is in the memory of the
// daemon.
func (k *keeper) History(string) policy.History { return policy.History{} }

func (k *keeper) MarkUnanswered(*results.Receipt) {}
