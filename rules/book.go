package rules

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"dmarcgate/config"
	"dmarcgate/config/rulefile"
	"dmarcgate/policy"
	"dmarcgate/policy/lint"
	"dmarcgate/policy/pattern"
	"dmarcgate/site"
	"dmarcgate/term"
)

// errNoRules means that no rules are configured.
var errNoRules = errors.New("the configuration has no rules_dir; --dir names a directory, too")

// Options are what every question about rules has.
type Options struct {
	Config   string    // path of the configuration file
	Dir      string    // directory of the rules, instead of rules_dir; "" is none
	AllHosts bool      // the store is that of all hosts, in PostgreSQL
	JSON     bool      // print JSON, not text
	Warn     io.Writer // is told what an answer goes without

	Progress *term.Progress // of reading the store; nil shows none
}

// book is the rules that a question is about, with the configuration that they
// are for.
type book struct {
	ask  Options
	cfg  *config.Config // nil when there is none: rules can be checked anywhere
	dir  string
	opts rulefile.Options
	set  *rulefile.Set
}

// locate reads the configuration and says where the rules are, without reading
// them. With --dir the configuration may be missing.
func locate(o Options) (*book, error) {
	cfg, err := config.Load(o.Config)
	switch {
	case err != nil && (o.Dir == "" || !errors.Is(err, fs.ErrNotExist)):
		return nil, err
	case err != nil:
		return &book{ask: o, dir: o.Dir, opts: rulefile.Options{Options: lint.Options{Now: time.Now()}, Copied: true}}, nil
	}
	b := &book{ask: o, cfg: cfg, dir: cfg.RulesDir, opts: site.RuleOptions(cfg)}
	if o.Dir != "" {
		b.dir, b.opts.Copied = o.Dir, o.Dir != cfg.RulesDir
	}
	if b.dir == "" {
		return nil, errNoRules
	}
	return b, nil
}

// load reads the rules. Their tests are not run: what they say is for the
// answer.
func load(o Options) (*book, error) {
	b, err := locate(o)
	if err != nil {
		return nil, err
	}
	b.opts.SkipTests = true
	if b.set, err = site.LoadRules(b.cfg, b.dir, b.opts); err != nil {
		return nil, err
	}
	return b, nil
}

// choose returns the rules with these ids, all without any.
func (b *book) choose(ids []string) ([]policy.Rule, error) {
	all := b.set.Rules.List()
	if len(ids) == 0 {
		return all, nil
	}
	var out []policy.Rule
	for _, id := range ids {
		i := slices.IndexFunc(all, func(r policy.Rule) bool { return r.ID == id })
		if i < 0 {
			return nil, noRule(b.dir, id, all)
		}
		out = append(out, all[i])
	}
	return out, nil
}

// noRule says that there is no such rule, and which one may be meant.
func noRule(dir, id string, all []policy.Rule) error {
	ids := make([]string, len(all))
	for i, r := range all {
		ids[i] = r.ID
	}
	if near := pattern.Nearest(id, ids); near != "" {
		return term.Usagef("%s has no rule %q; did you mean %q?", dir, term.Printable(id), near)
	}
	return term.Usagef("%s has no rule %q; see dmarcgate rules list", dir, term.Printable(id))
}

// CheckID is an error when the rules of a configuration have no such id. A rule
// set that cannot be read proves nothing: the daemon may use the one before.
func CheckID(cfg *config.Config, id string) error {
	if cfg.RulesDir == "" {
		return term.Usagef("--rule: the configuration has no rules_dir, and so no rule %q", term.Printable(id))
	}
	opts := site.RuleOptions(cfg)
	opts.SkipTests = true
	set, err := site.LoadRules(cfg, cfg.RulesDir, opts)
	if err != nil {
		if _, statErr := os.Stat(cfg.RulesDir); statErr != nil {
			return err
		}
		return nil
	}
	all := set.Rules.List()
	if slices.ContainsFunc(all, func(r policy.Rule) bool { return r.ID == id }) {
		return nil
	}
	return fmt.Errorf("--rule: %w", noRule(cfg.RulesDir, id, all))
}

// open opens the store.
func (b *book) open(ctx context.Context) (site.Store, error) {
	if b.cfg == nil {
		return nil, errNoConfig
	}
	return site.OpenStore(ctx, b.ask.Warn, b.cfg, b.ask.AllHosts)
}

// errNoConfig means that only the rules are known.
var errNoConfig = errors.New("there is no configuration, so there is no store")

// openIfAny is open for questions that go on without a store, nil then: rules are
// looked at on other machines, too.
func (b *book) openIfAny(ctx context.Context) site.Store {
	store, err := b.open(ctx)
	if err != nil {
		fmt.Fprintf(b.ask.Warn, "without the store: %v\n", err)
		return nil
	}
	return store
}
