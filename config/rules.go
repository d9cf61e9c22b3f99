package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"dmarcgate/policy"
)

const (
	// maxRuleFiles is our limit: one file for each forwarder of a large site.
	maxRuleFiles = 200

	defaultPriority = 100
)

// RuleSet is the rules of a site, with what is to be said about them.
type RuleSet struct {
	Rules    policy.Rules
	Findings []policy.Finding // warnings alone: with an error there is no set
	Maps     []MapFile
}

// MapFile is a file with a long list that rules name.
type MapFile struct {
	Path    string
	Entries int
}

// RuleOptions are what LoadRules knows besides the files.
type RuleOptions struct {
	policy.LintOptions
	SkipTests bool // for commands that show what the tests say
}

// LoadRules reads the override rules in dir: every file whose name ends in
// ".toml" and does not begin with a dot, in the order of their names. A
// directory without any has no rules.
//
// The error is *Errors for what the files say, all of it together, and the
// system's error when dir or a file cannot be read. There are either rules or
// an error, so that a caller who reloads keeps the rules it has. Rules that
// are returned are a set that policy.NewRules takes.
func LoadRules(dir string, o RuleOptions) (*RuleSet, error) {
	paths, err := ruleFiles(dir)
	if err != nil {
		return nil, err
	}
	var all ruleSet
	for _, path := range paths {
		if info, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("rules: %w", err)
		} else if !info.Mode().IsRegular() { // to open a FIFO is to wait
			all.problem(Problem{File: path, Text: "is not a file", Mend: "remove it, or choose another name"})
			continue
		}
		data, err := readFile(path)
		if err != nil {
			return nil, fmt.Errorf("rules: %w", err)
		}
		all.parse(path, data)
	}
	if len(all.rules) > policy.MaxRules {
		all.problem(Problem{
			File: dir,
			Text: fmt.Sprintf("has %d rules, more than %d", len(all.rules), policy.MaxRules),
			Mend: "a rule can name many networks and domains: join those that do the same",
		})
	}
	list, err := all.result()
	if err != nil {
		return nil, err
	}
	rules, err := policy.NewRules(list)
	if err != nil {
		return nil, err
	}
	return &RuleSet{Rules: rules}, nil
}

// ruleFiles returns the paths of the rule files in dir.
func ruleFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	var paths []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".toml") && !strings.HasPrefix(e.Name(), ".") {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	if len(paths) > maxRuleFiles {
		return nil, &Errors{Problems: []Problem{{
			File: dir,
			Text: fmt.Sprintf("has %d rule files, more than %d", len(paths), maxRuleFiles),
			Mend: "a file can hold many rules: join some",
		}}}
	}
	return paths, nil
}

// ParseRules reads the rules of one file. name stands for the file in
// problems. The error is always *Errors.
func ParseRules(name string, data []byte) ([]policy.Rule, error) {
	var all ruleSet
	all.parse(name, data)
	return all.result()
}

// CheckRules reports rules that name a listener which c does not have: they
// would never match. The error is always *Errors.
func (c *Config) CheckRules(rules []policy.Rule) error {
	var names []string
	for _, l := range c.Listeners {
		names = append(names, l.Name)
	}
	var errs Errors
	for _, r := range rules {
		for _, l := range r.Match.Listener {
			if err := oneOf(l, names); err != nil {
				f := at("", err)
				errs.Problems = append(errs.Problems, Problem{File: r.File, Line: r.Line, Key: "rule.match.listener", Text: f.text, Mend: f.mend})
			}
		}
	}
	if len(errs.Problems) > 0 {
		return &errs
	}
	return nil
}

// ruleSet collects the rules of all files.
type ruleSet struct {
	rules []policy.Rule
	ids   map[string]policy.Rule // the first rule of each id
	errs  Errors
}

func (s *ruleSet) problem(p Problem) { s.errs.Problems = append(s.errs.Problems, p) }

func (s *ruleSet) result() ([]policy.Rule, error) {
	if len(s.errs.Problems) > 0 {
		return nil, &s.errs
	}
	return s.rules, nil
}

// parse adds the rules of one file.
func (s *ruleSet) parse(file string, data []byte) {
	r := reader{file: file, known: ruleKeys(), bad: map[string]bool{}}
	var texts []*ruleText
	if tree := r.toml(data); tree != nil {
		r.tables(tree, "rule", func(at string) []field {
			t := newRuleText(at)
			texts = append(texts, t)
			return t.fields()
		})
		r.table("", tree, nil)
	}
	for _, t := range texts {
		t.finish(&r)
		s.add(t, &r)
	}
	r.errs.sort()
	s.errs.Problems = append(s.errs.Problems, r.errs.Problems...)
}

// add adds a rule that has been read, unless its id is taken.
func (s *ruleSet) add(t *ruleText, r *reader) {
	if t.rule.ID == "" {
		return
	}
	if first, taken := s.ids[t.rule.ID]; taken {
		r.add(t.at+".id", fault{
			text: fmt.Sprintf("%q is the id of the rule at %s:%d", t.rule.ID, first.File, first.Line),
			mend: "give each rule its own",
		})
		return
	}
	if s.ids == nil {
		s.ids = make(map[string]policy.Rule)
	}
	s.ids[t.rule.ID] = t.rule
	s.rules = append(s.rules, t.rule)
}

// ruleText is one [[rule]] while it is read.
type ruleText struct {
	at                   string // its path
	rule                 policy.Rule
	mode, action, reason string
}

func newRuleText(at string) *ruleText {
	return &ruleText{at: at, rule: policy.Rule{Priority: defaultPriority}}
}

// fields is the table of what may be written in a rule.
func (t *ruleText) fields() []field {
	r, m, at := &t.rule, &t.rule.Match, t.at
	return []field{
		required(`write a name that stays, for example id = "alumni-relay"`, text(at+".id", &r.ID, anyText)),
		required(`write who answers for the rule, an address or a team`, text(at+".owner", &r.Owner, anyText)),
		text(at+".comment", &r.Comment, anyText),
		required(`write the day, as in created = 2026-11-02`, date(at+".created", &r.Created)),
		dateOrNever(at+".expires", &r.Expires),
		required(`write mode = "shadow" to see what the rule would do, "enforce" or "off"`,
			choice(at+".mode", &t.mode, "enforce", "shadow", "off")),
		number(at+".priority", &r.Priority, 0, policy.MaxPriority),
		required(`write "accept", "quarantine", "reject", "tempfail" or "as_published"`,
			choice(at+".action", &t.action, "accept", "quarantine", "reject", "tempfail", "as_published")),
		choice(at+".reason", &t.reason, "trusted_forwarder", "mailing_list", "local_policy", "other"),

		list(at+".match.client_ip", &m.ClientIP, parseRuleNetwork),
		list(at+".match.header_from", &m.HeaderFrom, parsePattern),
		list(at+".match.spf_pass", &m.SPFPass, parsePattern),
		list(at+".match.dkim_pass", &m.DKIMPass, parsePattern),
		list(at+".match.rcpt_domain", &m.RcptDomain, parsePattern),
		list(at+".match.listener", &m.Listener, parseListenerName),
		list(at+".match.result", &m.Result, func(s string) (string, error) { return s, nil }),
	}
}

// ruleKeys returns every key of a rule file, dotted.
func ruleKeys() []string {
	var keys []string
	for _, f := range newRuleText("rule").fields() {
		keys = append(keys, f.key)
	}
	return keys
}

// finish checks what the table has read and makes the rule of it.
func (t *ruleText) finish(r *reader) {
	t.rule.File, t.rule.Line = r.file, r.line(t.at)
	for _, f := range t.fields() {
		if f.check == nil || r.bad[f.key] || !r.written(f.key) {
			continue
		}
		if err := f.check(); err != nil {
			r.add(f.key, err)
		}
	}
	t.words()
	for _, key := range []struct{ name, mend string }{
		{"expires", `write the day, as in expires = 2027-05-01, or "never" with a comment that says why`},
		{"reason", `write what reports shall say: "trusted_forwarder", "mailing_list", "local_policy" or "other"`},
	} {
		if path := t.at + "." + key.name; t.rule.Action == policy.RuleAccept && !r.written(path) {
			r.add(path, fault{text: "is missing, and the rule accepts", mend: key.mend})
		}
	}
	if path := t.at + ".match"; !r.written(path) {
		r.add(path, fault{text: "is missing", mend: "write [rule.match] below the other keys, and there what the rule is about"})
	}
	for _, f := range t.rule.Faults() {
		if path := t.at + "." + f.Key; !r.badWithin(path) {
			r.add(path, fault{text: f.Text, mend: f.Mend})
		}
	}
}

// words turns the words of the file into values. Those that are unknown have
// been reported. An unknown action makes no demands on the other keys, so one
// that makes none stands for it.
func (t *ruleText) words() {
	t.rule.Reason = policy.Override(t.reason)
	_ = t.rule.Mode.UnmarshalText([]byte(t.mode))
	if t.rule.Action.UnmarshalText([]byte(t.action)) != nil {
		t.rule.Action = policy.RuleQuarantine
	}
}

// written reports whether the file has the key.
func (r *reader) written(path string) bool {
	_, ok := r.lines[path]
	return ok
}

// badWithin reports whether path, or a key below it, has a problem already.
func (r *reader) badWithin(path string) bool {
	for bad := range r.bad {
		if bad == path || strings.HasPrefix(bad, path+".") {
			return true
		}
	}
	return false
}

// anyText leaves what a text may be to policy.Rule.Faults.
func anyText(string) error { return nil }

// date is a TOML date without a time: its beginning in UTC.
func date(key string, p *time.Time) field {
	return field{key: key, read: func(v any) error { return readDate(v, p, "") }}
}

// dateOrNever also takes the text "never", which is no time.
func dateOrNever(key string, p *time.Time) field {
	return field{key: key, read: func(v any) error {
		if v == "never" {
			return nil
		}
		return readDate(v, p, `, or "never"`)
	}}
}

func readDate(v any, p *time.Time, or string) error {
	d, ok := v.(toml.LocalDate)
	if !ok {
		have, _ := typeName(v)
		return faultf("write a day without quotes and without a time, as in 2026-11-02"+or, "is %s, not a date alone", have)
	}
	*p = d.AsTime(time.UTC)
	return nil
}

// parsePattern reads what policy.ParsePattern does.
func parsePattern(s string) (policy.DomainPattern, error) {
	p, err := policy.ParsePattern(s)
	return p, asFault(err)
}

// parseRuleNetwork reads what parseNetwork does.
func parseRuleNetwork(s string) (policy.NetPattern, error) {
	p, err := parseSomeNetwork(s)
	return policy.NetOf(p), err
}

// parseSomeNetwork is parseNetwork for what is not to hold everybody.
func parseSomeNetwork(s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil && p.Bits() == 0 {
		return netip.Prefix{}, faultf("name the networks that are meant, or remove the key", "%q is every host", s)
	}
	return parseNetwork(s)
}

func parseListenerName(s string) (string, error) { return s, checkName(s) }
