package main

import (
	"context"
	"fmt"
	"net/netip"
	"os/signal"
	"syscall"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/control"
	"dmarcgate/rules"
	"dmarcgate/site"
)

// controlFlags find the running daemon.
type controlFlags struct {
	Config string `short:"c" default:"${config}" help:"Use this configuration file to find the daemon (default: ${default})." type:"path"`
	Socket string `help:"Use this control socket (default: the control socket of the configuration)." type:"path"`
}

func (c controlFlags) place() control.Place {
	return control.Place{Config: c.Config, Socket: c.Socket}
}

// session is for commands that change something.
func (c controlFlags) session(e *env, json bool) (control.Session, error) {
	client, err := c.place().Client()
	return control.Session{Client: client, Out: e.stdout, Warn: e.stderr, JSON: json}, err
}

// anySession is for commands that need nothing of the configuration but where the
// daemon is.
func (c controlFlags) anySession(e *env, json bool) (control.Session, error) {
	client, err := c.place().AnyClient(e.stderr)
	return control.Session{Client: client, Out: e.stdout, Warn: e.stderr, JSON: json}, err
}

type statusCmd struct {
	controlFlags
	JSON bool `help:"Print JSON."`
}

func (c *statusCmd) Run(e *env) error {
	s, err := c.anySession(e, c.JSON)
	if err != nil {
		return err
	}
	return s.Status()
}

type reloadCmd struct {
	controlFlags
	JSON bool `help:"Print JSON."`
}

func (c *reloadCmd) Run(e *env) error {
	s, err := c.anySession(e, c.JSON) // the daemon says what is wrong with its file, and remembers it
	if err != nil {
		return err
	}
	return s.Reload()
}

type tailCmd struct {
	controlFlags
	Listener string `help:"Show only messages of this listener (default: all)."`
	Author   string `help:"Show only this author domain and all domains below it (default: all)."`
	Client   string `help:"Show only clients in this address or network (default: all)." placeholder:"ADDR"`
	Result   string `help:"Show only this DMARC result: pass, fail, none, temperror or permerror (default: all)." enum:"pass,fail,none,temperror,permerror," default:"" placeholder:"RESULT"`
	Action   string `help:"Show only this action: accept, tag, hold, reject or tempfail (default: all)." enum:"accept,tag,hold,reject,tempfail," default:"" placeholder:"ACTION"`
	Rule     string `help:"Show only decisions of this rule (default: all)."`
	Count    int    `short:"n" help:"Exit after this many decisions (default: no limit)."`
	JSON     bool   `help:"Print JSON, one decision per line."`

	network netip.Prefix // of IP
}

// Validate is called by kong; what it finds is a usage error.
func (c *tailCmd) Validate() (err error) {
	if c.Client != "" {
		c.network, err = parseClient(c.Client)
	}
	return err
}

// known finds a listener or a rule that does not exist, as far as the files
// tell: a filter that matches nothing would wait for ever in silence.
func (c *tailCmd) known() error {
	if c.Listener == "" && c.Rule == "" || c.Socket != "" {
		return nil
	}
	cfg, err := config.Load(c.Config)
	if err != nil {
		return nil // anyClient has told it
	}
	if _, err := site.Listener(cfg, c.Listener); err != nil {
		return err
	}
	if c.Rule == "" {
		return nil
	}
	return rules.CheckID(cfg, c.Rule)
}

func (c *tailCmd) Run(e *env) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return c.run(ctx, e)
}

func (c *tailCmd) run(ctx context.Context, e *env) error {
	s, err := c.anySession(e, c.JSON)
	if err != nil {
		return err
	}
	if err := c.known(); err != nil {
		return err
	}
	filter := admin.Filter{Listener: c.Listener, Domain: c.Author, Client: c.network, Result: c.Result, Action: c.Action, Rule: c.Rule}
	return s.Tail(ctx, filter, c.Count)
}

func parseClient(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("--client: %q is neither an address nor a network", text)
	}
	return p, nil
}
