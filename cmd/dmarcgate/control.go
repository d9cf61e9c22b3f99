package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/results"
	"dmarcgate/rules"
	"dmarcgate/term"
)

// controlTimeout is how long the daemon may take for an answer. A reload reads
// files and asks nobody.
const controlTimeout = 30 * time.Second

// controlFlags find the running daemon.
type controlFlags struct {
	Config string `short:"c" default:"${config}" help:"Configuration file of the daemon." type:"path"`
	Socket string `help:"Control socket, instead of the configured one." type:"path"`
}

func (c controlFlags) client() (*admin.Client, error) {
	if c.Socket != "" {
		return admin.Dial(c.Socket), nil
	}
	cfg, err := config.Load(c.Config)
	if err != nil {
		return nil, fmt.Errorf("finding the control socket: %w; --socket names it, too", err)
	}
	return admin.Dial(cfg.Admin.Control), nil
}

type statusCmd struct {
	controlFlags
	JSON bool `help:"Print JSON."`
}

func (c *statusCmd) Run(e *env) error {
	client, err := c.anyClient(e)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), controlTimeout)
	defer cancel()
	s, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(s)
	}
	return statusTree(s, time.Now()).Print(e.stdout)
}

func statusTree(s admin.Status, now time.Time) *term.Node {
	root := &term.Node{Text: fmt.Sprintf("dmarcgate %s, process %d, up %s", s.Version, s.PID, now.Sub(s.Started).Round(time.Second))}
	if m := s.Monitor; m != nil {
		root.Add("EVERY LISTENER ONLY WATCHES until %s: dmarcgate monitor, %s ago, by %s", term.Stamp(m.Until), term.Age(now, m.Since), term.Printable(m.By)).
			Add("dmarcgate monitor --end ends it earlier")
	}
	cfg := root.Add("configuration %s, read %s ago", s.Config, now.Sub(s.Reloaded).Round(time.Second))
	if s.Failure != "" {
		cfg.Add("the last reload failed; the previous settings stay active: %s", s.Failure)
	}
	for _, key := range s.Restart {
		cfg.Add("%s has changed and waits for a restart", key)
	}
	for _, text := range s.Warnings {
		cfg.Add("warning: %s", term.Printable(text))
	}
	ruleNodes(root, s)
	if s.Results == nil {
		root.Add("store %s", s.Store)
	} else {
		storeNodes(root, s.Results, now)
	}
	for _, l := range s.Listeners {
		n := root.Add("listener %s: %s, profile %s", l.Name, l.Address, l.Profile)
		if l.EnforceShare < 100 {
			n.Text += fmt.Sprintf(", enforced for %d %% of the messages", l.EnforceShare)
		}
		nameNodes(n, l)
		if l.Warning != nil {
			n.Add("WARNING: %s", l.Warning.Text).Add("%s", l.Warning.Fix)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Checks)) {
		root.Add("%s: %s", name, s.Checks[name])
	}
	dnsNodes(root, s.DNS, now)
	return root
}

// nameNodes shows under which name results are written.
func nameNodes(n *term.Node, l admin.ListenerStatus) {
	names := strings.Join(l.MTANames, ", ")
	switch {
	case l.AuthservID != "" && names != "":
		n.Add("results are written as %s; MTAs call themselves %s", l.AuthservID, names)
	case l.AuthservID != "":
		n.Add("results are written as %s", l.AuthservID)
	case names != "":
		n.Add("results are written as the MTA calls itself: %s", names)
	default:
		n.Add("results are written as the MTA calls itself; none has given its name yet")
	}
}

// ruleNodes shows the rules in force. What is doubtful about them is counted:
// rules lint lists it, and --json.
func ruleNodes(root *term.Node, s admin.Status) {
	n := root.Add("%s, hash %s", term.Count(s.Rules, "rule"), s.RulesHash)
	if s.RuleWarnings > 0 {
		n.Text += fmt.Sprintf(", %s: see dmarcgate rules lint", term.Count(s.RuleWarnings, "warning"))
	}
	for _, m := range s.RuleMaps {
		n.Add("map %s: %d entries", m.Path, m.Entries)
	}
}

// dnsNodes shows the name servers and the cache.
func dnsNodes(root *term.Node, s admin.DNSStatus, now time.Time) {
	for _, n := range s.Servers {
		text := "name server " + n.Address
		if n.Trusted {
			text += ", trusted"
		}
		if n.Down {
			text += fmt.Sprintf(": DOWN for %s", now.Sub(n.Since).Round(time.Second))
		} else {
			text += ": up"
		}
		text += fmt.Sprintf(", %d queries", n.Queries)
		if n.RTT > 0 {
			text += fmt.Sprintf(", answers in %.1f ms", n.RTT*1000)
		}
		if n.Window > 0 {
			text += fmt.Sprintf(", takes %d at once", n.Window)
		}
		if n.InFlight+n.GivenUp > 0 {
			text += fmt.Sprintf(" (%d in flight, %d given up)", n.InFlight, n.GivenUp)
		}
		server := root.Add("%s", text)
		if n.Plain {
			server.Add("does not repeat the case of letters: forged replies are easier than with another server")
		}
		if !n.Refusing.IsZero() {
			server.Add("REFUSES queries for %s (%s): %s", now.Sub(n.Refusing).Round(time.Second), term.Printable(n.Refusal), admin.RefusalAdvice)
		}
		if n.Err != "" {
			server.Add("last failure: %s", term.Printable(n.Err))
		}
	}
	cache := root.Add("DNS cache: %d entries, about %d KiB", s.Entries, (s.Bytes+1023)>>10)
	if s.Lookups > 0 {
		cache.Text += fmt.Sprintf("; %d lookups, %d %% of them without a query", s.Lookups, 100*s.Cached/s.Lookups)
	}
}

type reloadCmd struct {
	controlFlags
	JSON bool `help:"Print JSON."`
}

func (c *reloadCmd) Run(e *env) error {
	client, err := c.anyClient(e) // the daemon says what is wrong with its file, and remembers it
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), controlTimeout)
	defer cancel()
	r, err := client.Reload(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		if err := json.NewEncoder(e.stdout).Encode(r); err != nil {
			return err
		}
	}
	if !r.OK {
		return errors.New("the daemon keeps its settings:\n" + r.Problem)
	}
	if !c.JSON {
		fmt.Fprintln(e.stdout, "reloaded")
		for _, key := range r.Restart {
			fmt.Fprintf(e.stdout, "%s has changed and waits for a restart\n", key)
		}
	}
	return nil
}

type tailCmd struct {
	controlFlags
	Listener string `help:"Only messages of this listener."`
	Domain   string `help:"Only this author domain and those below it."`
	IP       string `help:"Only clients of this address or network." placeholder:"ADDR"`
	Result   string `help:"Only this DMARC result: pass, fail, none, temperror or permerror." enum:"pass,fail,none,temperror,permerror," default:"" placeholder:"RESULT"`
	Action   string `help:"Only this action: accept, tag, hold, reject or tempfail." enum:"accept,tag,hold,reject,tempfail," default:"" placeholder:"ACTION"`
	Rule     string `help:"Only decisions of this rule."`
	Count    int    `short:"n" help:"End after so many."`
	JSON     bool   `help:"Print JSON, one decision a line."`

	network netip.Prefix // of IP
}

// Validate is called by kong; what it finds is a usage error.
func (c *tailCmd) Validate() (err error) {
	if c.IP != "" {
		c.network, err = parseClient(c.IP)
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
	if c.Listener != "" && !slices.ContainsFunc(cfg.Listeners, func(l config.Listener) bool { return l.Name == c.Listener }) {
		return noListener(c.Listener, cfg)
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

// errEnough ends a tail that has shown what it should.
var errEnough = errors.New("enough")

func (c *tailCmd) run(ctx context.Context, e *env) error {
	client, err := c.anyClient(e)
	if err != nil {
		return err
	}
	if err := c.known(); err != nil {
		return err
	}
	filter := admin.Filter{Listener: c.Listener, Domain: c.Domain, Client: c.network, Result: c.Result, Action: c.Action, Rule: c.Rule}
	shown := 0
	err = client.Tail(ctx, filter, func(r results.Row) error {
		if err := c.show(e, r); err != nil {
			return err
		}
		if shown++; shown == c.Count {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

func parseClient(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("--ip: %q is neither an address nor a network", text)
	}
	return p, nil
}

func (c *tailCmd) show(e *env, r results.Row) error {
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(r)
	}
	_, err := fmt.Fprintf(e.stdout, "%s %s %s from=%s ip=%s %s: %s\n", r.Facts.Time.Format(time.RFC3339),
		term.Printable(r.Facts.QueueID), r.Facts.Listener, term.OrNone(r.Decision.Author), r.Facts.Client, r.Decision.Action, term.Printable(r.Decision.Reason))
	return err
}
