package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"dmarcgate/config"
	"dmarcgate/results"
	"dmarcgate/site"
	"dmarcgate/term"
)

// PurgeOptions are those of Purge.
type PurgeOptions struct {
	Socket   string // control socket of the daemon, instead of the configured one; may be empty
	Meant    results.Purge
	Postgres bool // in PostgreSQL, for all hosts
	DryRun   bool // only count
	Yes      bool // do not ask
	JSON     bool
	Ask      func(question string) (bool, error) // nil without a terminal
	Progress *term.Progress                      // nil shows none
}

// Purge deletes the results that are meant, after it has asked, and tells how many
// there were.
func Purge(ctx context.Context, out, warn io.Writer, cfg *config.Config, o PurgeOptions) error {
	if o.DryRun {
		n, err := o.count(ctx, warn, cfg)
		return o.tell(out, "would be deleted", n, err)
	}
	if err := o.confirm(); err != nil {
		return err
	}
	end := o.Progress.While("deleting results")
	n, err := o.delete(ctx, warn, cfg)
	end()
	return o.tell(out, "deleted", n, err)
}

// confirm asks, unless it was told not to.
func (o PurgeOptions) confirm() error {
	if o.Yes {
		return nil
	}
	if o.Ask == nil {
		return errors.New("there is no terminal to ask on: give --yes, and try --dry-run before")
	}
	yes, err := o.Ask(o.question())
	if err == nil && !yes {
		err = errors.New("nothing was deleted")
	}
	return err
}

func (o PurgeOptions) question() string {
	p := o.Meant
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
	if o.Postgres {
		where = "of all hosts in PostgreSQL"
	}
	return fmt.Sprintf("Delete all results %s %s?", where, strings.Join(all, " and "))
}

func (o PurgeOptions) delete(ctx context.Context, warn io.Writer, cfg *config.Config) (n int64, err error) {
	if o.Postgres {
		r, err := site.OpenPostgres(ctx, cfg)
		if err != nil {
			return 0, err
		}
		defer r.Close()
		return r.Purge(ctx, o.Meant)
	}
	store, end, err := takeOver(ctx, warn, cfg, o.Socket)
	if err != nil {
		return 0, err
	}
	defer atEnd(end, &err)
	return store.Purge(ctx, o.Meant)
}

// count reads what would be deleted.
func (o PurgeOptions) count(ctx context.Context, warn io.Writer, cfg *config.Config) (n int64, err error) {
	store, err := site.OpenStore(ctx, warn, cfg, o.Postgres)
	if err != nil {
		return 0, err
	}
	defer store.Close()
	read := 0
	defer o.Progress.Clear()
	err = store.Scan(ctx, results.Span{To: o.Meant.Before}, func(r results.Row) error {
		read++
		o.Progress.Count(read, 0, "result")
		if results.Matches(&r, o.Meant) {
			n++
		}
		return nil
	})
	return n, err
}

func (o PurgeOptions) tell(out io.Writer, what string, n int64, err error) error {
	if err != nil && n == 0 {
		return err
	}
	if o.JSON {
		return errors.Join(err, json.NewEncoder(out).Encode(map[string]int64{strings.ReplaceAll(what, " ", "_"): n}))
	}
	fmt.Fprintf(out, "%d results %s\n", n, what)
	return err
}
