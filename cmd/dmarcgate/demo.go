package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"text/tabwriter"

	"dmarcgate/config"
	"dmarcgate/daemon"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/policy"
	"dmarcgate/site"
	"dmarcgate/term"
)

// demoCmd runs the daemon on sockets and with DNS of its own, sends it
// messages as a Postfix would, and shows what became of them.
type demoCmd struct {
	Keep bool `help:"Keep the daemon running and print the address of its metrics."`
	Log  bool `help:"Print the daemon's log on standard error."`
	JSON bool `help:"Print JSON."`
}

func (c *demoCmd) Run(e *env) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return c.run(ctx, e)
}

func (c *demoCmd) run(ctx context.Context, e *env) error {
	dir, err := os.MkdirTemp("", "dmarcgate-demo")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	mails, zone, err := demoMails()
	if err != nil {
		return err
	}
	dns, err := serveZone(zone)
	if err != nil {
		return err
	}
	defer dns.Close()
	d, err := c.daemon(ctx, e, dir, dns.Addr())
	if err != nil {
		return err
	}
	d.Start(ctx)
	defer d.Shutdown(context.WithoutCancel(ctx))
	outcomes, err := sendAll(ctx, d, mails)
	if err != nil {
		return err
	}
	if err := c.show(e.stdout, outcomes); err != nil {
		return err
	}
	if !c.Keep {
		return c.next(e.stdout)
	}
	fmt.Fprintf(e.stdout, "\nThe daemon keeps running; end it with Ctrl-C.\nmetrics  http://%s/metrics\nready    http://%s/readyz\nmilter   %s\n",
		d.Web(), d.Web(), d.Listeners()[0].Addr())
	<-ctx.Done()
	return nil
}

func serveZone(text string) (*dnstest.Server, error) {
	zone, err := dnstest.Parse(text)
	if err != nil {
		return nil, err
	}
	return dnstest.Serve(zone)
}

// daemon makes one listener for each profile, so that the table can show what
// each makes of the same message.
func (c *demoCmd) daemon(ctx context.Context, e *env, dir, dns string) (*daemon.Daemon, error) {
	text := fmt.Sprintf("authserv_id = %q\nstate_dir = %q\n[dns]\nservers = [%q]\n[admin]\nlisten = \"127.0.0.1:0\"\n", demoID, dir, dns)
	for _, profile := range []string{"strict", "conformant", "monitor"} {
		text += fmt.Sprintf("[[listener]]\nname = %q\naddress = \"unix:%s\"\nprofile = %q\n", profile, filepath.Join(dir, profile+".sock"), profile)
	}
	cfg, err := config.Parse("demo", []byte(text))
	if err != nil {
		return nil, err
	}
	var log io.Writer = io.Discard
	if c.Log {
		log = e.stderr
	}
	return daemon.New(ctx, site.Site{Config: cfg}, daemonOptions("", log))
}

// outcome is one line of the table.
type outcome struct {
	What    string `json:"what"`
	Profile string `json:"profile"`
	Client  string `json:"client"`
	Author  string `json:"author"`
	Verdict string `json:"verdict"`
	Answer  string `json:"answer"`
	Why     string `json:"why"`
	Reply   string `json:"reply,omitempty"` // what a refused client reads
}

func sendAll(ctx context.Context, d *daemon.Daemon, mails []demoMail) ([]outcome, error) {
	clients := make(map[string]*miltertest.Client)
	defer func() {
		for _, c := range clients {
			c.Close()
		}
	}()
	var out []outcome
	for i, m := range mails {
		m.QueueID = fmt.Sprintf("4XyZ%02d", i+1)
		if clients[m.profile] == nil {
			c, err := miltertest.Dial("unix:"+filepath.Join(d.Inputs().Config.StateDir, m.profile+".sock"), miltertest.Options{})
			if err != nil {
				return nil, err
			}
			clients[m.profile] = c
		}
		res, err := clients[m.profile].Send(m.Mail)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.what, err)
		}
		o, err := outcomeOf(ctx, d, m, res)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.what, err)
		}
		out = append(out, o)
	}
	return out, nil
}

// outcomeOf reads from the store what was recorded of a message, and puts the
// MTA's view beside it.
func outcomeOf(ctx context.Context, d *daemon.Daemon, m demoMail, res miltertest.Result) (outcome, error) {
	rows, err := d.Store().ByQueueID(ctx, m.QueueID)
	if err != nil {
		return outcome{}, err
	}
	if len(rows) != 1 {
		return outcome{}, fmt.Errorf("%d rows in the store; want one", len(rows))
	}
	f, decision := rows[0].Facts, rows[0].Decision
	o := outcome{What: m.what, Profile: m.profile, Client: m.Client.String(), Verdict: string(f.Skip), Why: decision.Why, Author: "-"}
	if f.Skip == policy.Evaluated {
		o.Verdict = string(f.FromField)
	}
	for _, a := range f.Authors {
		if a.Domain == decision.Author {
			o.Author, o.Verdict = a.Domain, fmt.Sprintf("%s p=%s", a.Verdict.Status, a.Published())
		}
	}
	if decision.Reason != policy.AsPublished {
		o.Why = fmt.Sprintf("[%s] %s", decision.Reason, o.Why)
	}
	o.Answer, o.Reply = answerWords(decision, res), res.Text
	return o, nil
}

func answerWords(d policy.Decision, res miltertest.Result) string {
	removed := 0
	for _, e := range res.Edits {
		if e.Op == miltertest.OpChange && e.Value == "" {
			removed++
		}
	}
	words := d.Action.String()
	if res.Code != 0 {
		words = fmt.Sprintf("%d %s", res.Code, res.Enhanced)
	}
	if removed > 0 {
		words += fmt.Sprintf(", %d forged removed", removed)
	}
	return words
}

// next says what to do after the table.
func (c *demoCmd) next(w io.Writer) error {
	if c.JSON {
		return nil
	}
	_, err := fmt.Fprint(w, `
The DNS and the senders were made up, and all of it is gone now. Next:
  dmarcgate demo --keep --log    the same, and the daemon keeps running: look at its log and its metrics
  dmarcgate lookup DOMAIN        what a receiver sees of a real domain
  README.md, "Install"           put it behind Postfix, with the profile monitor: it refuses nothing
  docs/walkthrough.md            from there to enforcement
`)
	return err
}

func (c *demoCmd) show(w io.Writer, outcomes []outcome) error {
	if c.JSON {
		return json.NewEncoder(w).Encode(outcomes)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MESSAGE\tPROFILE\tFROM\tVERDICT\tANSWER\tREASON")
	for _, o := range outcomes {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", o.What, o.Profile, o.Author, o.Verdict, o.Answer, term.Printable(o.Why))
	}
	return t.Flush()
}
