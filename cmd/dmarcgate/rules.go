package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"dmarcgate/config"
	"dmarcgate/config/rulefile"
	"dmarcgate/policy"
	"dmarcgate/policy/lint"
	"dmarcgate/policy/pattern"
	"dmarcgate/site"
	"dmarcgate/term"
)

// rulesCmd is about the override rules.
type rulesCmd struct {
	List rulesListCmd `cmd:"" help:"List the rules with their use."`
	Show rulesShowCmd `cmd:"" help:"Show a rule: its text, what is said of it, its tests and its use."`
	Lint rulesLintCmd `cmd:"" help:"Say what is wrong or doubtful in the rules, with line and mend."`
	Test rulesTestCmd `cmd:"" help:"Run the tests of the rules, and show which stored messages each would touch."`
	Hits rulesHitsCmd `cmd:"" help:"Show how many messages each rule matched."`
	Add  rulesAddCmd  `cmd:"" help:"Print a rule for mail like a stored message, to be put into a file."`
}

// rulesFlags choose the rules, and the store that tells of their use.
type rulesFlags struct {
	backendFlags
	Dir  string `help:"Directory of the rules, instead of rules_dir." type:"path"`
	JSON bool   `help:"Print JSON."`
}

// errNoRules means that no rules are configured.
var errNoRules = errors.New("the configuration has no rules_dir; --dir names a directory, too")

// ruleBook is the rules of a command, with the configuration that they are for.
type ruleBook struct {
	cfg  *config.Config // nil when there is none: rules can be checked anywhere
	dir  string
	opts rulefile.Options
	set  *rulefile.Set
}

// context ends with an interrupt.
func (f rulesFlags) context() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
}

// locate reads the configuration and says where the rules are, without reading
// them. With --dir the configuration may be missing.
func (f rulesFlags) locate() (*ruleBook, error) {
	cfg, err := config.Load(f.Config)
	switch {
	case err != nil && (f.Dir == "" || !errors.Is(err, fs.ErrNotExist)):
		return nil, err
	case err != nil:
		return &ruleBook{dir: f.Dir, opts: rulefile.Options{Options: lint.Options{Now: time.Now()}}}, nil
	}
	b := &ruleBook{cfg: cfg, dir: cfg.RulesDir, opts: site.RuleOptions(cfg)}
	if f.Dir != "" {
		b.dir = f.Dir
	}
	if b.dir == "" {
		return nil, errNoRules
	}
	return b, nil
}

// load reads the rules. Their tests are not run: what they say is for the
// command.
func (f rulesFlags) load() (*ruleBook, error) {
	b, err := f.locate()
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
func (b *ruleBook) choose(ids []string) ([]policy.Rule, error) {
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

// knownRule finds that a configuration has no such rule. A rule set that
// cannot be read proves nothing: the daemon may use the one before.
func knownRule(cfg *config.Config, id string) error {
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
func (b *ruleBook) open(ctx context.Context, e *env, f rulesFlags) (site.Store, error) {
	if b.cfg == nil {
		return nil, errNoConfig
	}
	return site.OpenStore(ctx, e.stderr, b.cfg, f.AllHosts)
}

// errNoConfig means that only the rules are known.
var errNoConfig = errors.New("there is no configuration, so there is no store")

// openIfAny is open for commands that go on without a store, nil then: rules are
// looked at on other machines, too.
func (b *ruleBook) openIfAny(ctx context.Context, e *env, f rulesFlags) site.Store {
	store, err := b.open(ctx, e, f)
	if err != nil {
		fmt.Fprintf(e.stderr, "without the store: %v\n", err)
		return nil
	}
	return store
}

// use is what the store knows of a rule.
type use struct {
	First   time.Time `json:"first_match,omitzero"`
	Last    time.Time `json:"last_match,omitzero"`
	Matches int64     `json:"matches"`
	Day     int64     `json:"hits_24h"`
}

// uses asks the store for the use of the rules. The map is nil without a store.
func (b *ruleBook) uses(ctx context.Context, e *env, f rulesFlags) (map[string]use, error) {
	store := b.openIfAny(ctx, e, f)
	if store == nil {
		return nil, nil
	}
	defer store.Close()
	list, err := store.RuleUse(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[string]use)
	for _, u := range list {
		out[u.Rule] = use{First: u.First, Last: u.Last, Matches: u.Matches}
	}
	hits, err := store.RuleHits(ctx, b.opts.Now.Add(-24*time.Hour))
	for _, h := range hits {
		u := out[h.Rule]
		u.Day += h.Messages
		out[h.Rule] = u
	}
	return out, err
}

// ruleLine is a rule in a list.
type ruleLine struct {
	ID       string            `json:"id"`
	Mode     policy.Mode       `json:"mode"`
	Action   policy.RuleAction `json:"action"`
	Priority int               `json:"priority"`
	Owner    string            `json:"owner"`
	Anchors  []string          `json:"anchors"` // "dkim_pass=lists.example.org"
	Expires  time.Time         `json:"expires,omitzero"`
	Expired  bool              `json:"expired,omitempty"`
	Sample   uint8             `json:"sample,omitempty"`
	File     string            `json:"file"`
	Line     int               `json:"line"`
	Use      *use              `json:"use,omitempty"` // nil without a store
}

func (b *ruleBook) line(r policy.Rule, uses map[string]use) ruleLine {
	l := ruleLine{
		ID: r.ID, Mode: r.Mode, Action: r.Action, Priority: r.Priority, Owner: r.Owner, Anchors: anchors(r.Match),
		Expires: r.Expires, Expired: r.Expired(b.opts.Now), Sample: r.Sample, File: r.File, Line: r.Line,
	}
	if uses != nil {
		u := uses[r.ID]
		l.Use = &u
	}
	return l
}

// anchors lists what ties a rule to a sender that nobody else can be.
func anchors(m policy.Match) []string {
	out := []string{}
	add := func(key string, list []string) {
		for _, v := range list {
			out = append(out, key+"="+v)
		}
	}
	add("client_ip", term.Texts(m.ClientIP))
	add("iprev", term.Texts(m.IPRev))
	add("spf_pass", term.Texts(m.SPFPass))
	add("dkim_pass", term.Texts(m.DKIMPass))
	add("arc_pass", term.Texts(m.ARCPass))
	return out
}

// maxAnchors is how many anchors a line of a table shows.
const maxAnchors = 2

func someAnchors(all []string) string {
	if len(all) == 0 {
		return "-"
	}
	text := strings.Join(all[:min(len(all), maxAnchors)], " ")
	if more := len(all) - maxAnchors; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// expiry says when a rule ends.
func expiry(expires, now time.Time) string {
	switch left := expires.Sub(now); {
	case expires.IsZero():
		return "never"
	case left <= 0:
		return "EXPIRED " + expires.UTC().Format(time.DateOnly)
	default:
		return fmt.Sprintf("%s, in %s", expires.UTC().Format(time.DateOnly), inDays(left))
	}
}

// inDays is a number of days, rounded up.
func inDays(d time.Duration) string {
	const day = 24 * time.Hour
	if n := (d + day - 1) / day; n != 1 {
		return fmt.Sprintf("%d days", n)
	}
	return "1 day"
}

func lastSeen(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04")
}

type rulesListCmd struct {
	rulesFlags
	IDs bool `name:"ids" help:"Print the ids alone, one a line."`
}

func (c *rulesListCmd) Run(e *env) error {
	ctx, stop := c.context()
	defer stop()
	b, err := c.load()
	if err != nil {
		return err
	}
	if c.IDs {
		for _, r := range b.set.Rules.List() {
			fmt.Fprintln(e.stdout, r.ID)
		}
		return nil
	}
	uses, err := b.uses(ctx, e, c.rulesFlags)
	if err != nil {
		return err
	}
	lines := []ruleLine{}
	for _, r := range b.set.Rules.List() {
		lines = append(lines, b.line(r, uses))
	}
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(lines)
	}
	return term.Table(e.stdout, "RULE\tMODE\tACTION\tPRIORITY\tANCHORS\tEXPIRES\tLAST MATCH\t24H", lines, func(l ruleLine) []any {
		last, day := "-", "-"
		if l.Use != nil {
			last, day = lastSeen(l.Use.Last), fmt.Sprint(l.Use.Day)
		}
		return []any{l.ID, sampled(l), l.Action, l.Priority, someAnchors(l.Anchors), expiry(l.Expires, b.opts.Now), last, day}
	})
}

// sampled is the mode of a rule, with the share for which it holds.
func sampled(l ruleLine) string {
	if l.Sample == 0 || l.Sample == 100 {
		return l.Mode.String()
	}
	return fmt.Sprintf("%s %d %%", l.Mode, l.Sample)
}
