package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"dmarcgate/config"
	"dmarcgate/message"
	"dmarcgate/results"
	"dmarcgate/site"
	"dmarcgate/term"
)

// meantFlags say which results are meant. All that are given must hold.
type meantFlags struct {
	Domain string `help:"This domain and those below it, wherever a result names them."`
	IP     string `help:"Clients of this address or network." placeholder:"ADDR"`
}

// Validate is called by kong; what it finds is a usage error.
func (f *meantFlags) Validate() error {
	_, err := f.purge()
	return err
}

// purge returns the flags in the words of package results.
func (f *meantFlags) purge() (p results.Purge, err error) {
	if f.Domain != "" {
		if p.Domain, err = message.ParseDomain(f.Domain); err != nil {
			return p, fmt.Errorf("--domain: %q is not a name: %w", f.Domain, err)
		}
	}
	if f.IP != "" {
		p.Client, err = parseClient(f.IP)
	}
	return p, err
}

type purgeCmd struct {
	controlFlags
	meantFlags
	Before   string `help:"Messages from before: 30d (ago), 2026-11-22 or 2026-11-22T09:30:00Z."`
	Postgres bool   `help:"In PostgreSQL, for all hosts. Purge each host first: what is not moved yet would come after."`
	Yes      bool   `short:"y" help:"Do not ask."`
	DryRun   bool   `help:"Only count what would be deleted."`
	JSON     bool   `help:"Print JSON."`
}

// Validate is called by kong; what it finds is a usage error.
func (c *purgeCmd) Validate() error {
	p, err := c.purge(time.Now())
	if err == nil && p.Empty() {
		err = errors.New("give --domain, --ip or --before: everything is deleted by removing the file")
	}
	return err
}

func (c *purgeCmd) purge(now time.Time) (results.Purge, error) {
	p, err := c.meantFlags.purge()
	if err == nil {
		p.Before, err = parseWhen("before", c.Before, now)
	}
	return p, err
}

func (c *purgeCmd) Run(e *env) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	p, err := c.purge(time.Now())
	if err != nil {
		return err
	}
	cfg, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	if c.DryRun {
		n, err := c.count(ctx, e, cfg, p)
		return c.tell(e, "would be deleted", n, err)
	}
	if err := c.confirm(e, p); err != nil {
		return err
	}
	n, err := c.delete(ctx, e, cfg, p)
	return c.tell(e, "deleted", n, err)
}

// confirm asks, unless it was told not to.
func (c *purgeCmd) confirm(e *env, p results.Purge) error {
	if c.Yes {
		return nil
	}
	if e.ask == nil {
		return errors.New("there is no terminal to ask on: give --yes, and try --dry-run before")
	}
	yes, err := e.ask(c.question(p))
	if err == nil && !yes {
		err = errors.New("nothing was deleted")
	}
	return err
}

func (c *purgeCmd) question(p results.Purge) string {
	var all []string
	if p.Domain != "" {
		all = append(all, "that name "+p.Domain)
	}
	if p.Client.IsValid() {
		all = append(all, "of clients in "+p.Client.String())
	}
	if !p.Before.IsZero() {
		all = append(all, "from before "+term.Stamp(p.Before))
	}
	where := "of this host"
	if c.Postgres {
		where = "of all hosts in PostgreSQL"
	}
	return fmt.Sprintf("Delete all results %s %s?", where, strings.Join(all, " and "))
}

func (c *purgeCmd) delete(ctx context.Context, e *env, cfg *config.Config, p results.Purge) (n int64, err error) {
	if c.Postgres {
		r, err := site.OpenPostgres(ctx, cfg)
		if err != nil {
			return 0, err
		}
		defer r.Close()
		return r.Purge(ctx, p)
	}
	store, end, err := takeStore(ctx, e, cfg, c.Socket)
	if err != nil {
		return 0, err
	}
	defer atEnd(end, &err)
	return store.Purge(ctx, p)
}

// count reads what would be deleted.
func (c *purgeCmd) count(ctx context.Context, e *env, cfg *config.Config, p results.Purge) (n int64, err error) {
	store, err := site.OpenStore(ctx, e.stderr, cfg, c.Postgres)
	if err != nil {
		return 0, err
	}
	defer store.Close()
	err = store.Scan(ctx, results.Span{To: p.Before}, func(r results.Row) error {
		if results.Matches(&r, p) {
			n++
		}
		return nil
	})
	return n, err
}

func (c *purgeCmd) tell(e *env, what string, n int64, err error) error {
	if err != nil && n == 0 {
		return err
	}
	if c.JSON {
		return errors.Join(err, json.NewEncoder(e.stdout).Encode(map[string]int64{strings.ReplaceAll(what, " ", "_"): n}))
	}
	fmt.Fprintf(e.stdout, "%d results %s\n", n, what)
	return err
}
