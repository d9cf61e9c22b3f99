package rulefile

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dmarcgate/config"
	"dmarcgate/config/tomlfile"
	"dmarcgate/policy"
	"dmarcgate/policy/lint"
	"dmarcgate/policy/ruletest"
)

// maxRuleFiles is our limit: one file for each forwarder of a large site.
const maxRuleFiles = 200

// Set is the rules of a site, with what is to be said about them. It does
// not change: Refresh makes another one.
type Set struct {
	Rules    policy.Rules
	Findings []policy.Finding // warnings alone: with an error there is no set
	Demoted  []policy.Finding // errors of rules that are not enforced because of them, see Options.Demote
	Maps     []MapFile        // in the order of their paths
	Tests    int              // how many there are

	sources []source // the rule files as they were
	maps    *maps
	about   []policy.Finding // those of Findings that are about files
}

// MapFile is a file with a long list that rules name.
type MapFile struct {
	Path    string
	Entries int
	Read    time.Time // when it was, by Options.Now
}

// Options are what Load knows besides the files.
type Options struct {
	lint.Options
	SkipTests bool // for commands that show what the tests say
	SkipLint  bool // for commands that say about a rule what lint finds

	// Demote runs a rule in shadow, instead of refusing all rules, when the only
	// thing against it is what it opens to third parties: that may be known only
	// since the program is newer, and must not keep a host from starting.
	Demote bool

	// Copied rules are not those that a daemon reads: who can write to their files
	// here is no error, but a warning.
	Copied bool
}

// OptionsOf returns what c says about rules. The zero time is none.
func OptionsOf(c *config.Config, now time.Time) Options {
	o := Options{Options: lint.Options{Now: now, ReportsOf: c.Reports.Schema, Listeners: []string{}}}
	for _, l := range c.Listeners {
		o.Listeners = append(o.Listeners, l.Name)
	}
	return o
}

// source is a rule file in memory.
type source struct {
	path string
	data []byte
}

// Load reads the override rules in dir: every file whose name ends in
// ".toml" and does not begin with a dot, in the order of their names, and the
// map files that they name. A directory without any has no rules.
//
// The rules are parsed, linted (lint.Rules), made a set (policy.NewRules), and
// their tests are run. The error is *Errors for what the files say, all of it
// together, and the system's error when dir or a rule file cannot be read. There
// are either rules or an error, so that a caller who reloads keeps the rules it
// has.
func Load(dir string, o Options) (*Set, error) {
	paths, err := ruleFiles(dir)
	if err != nil {
		return nil, err
	}
	l := loading{dir: dir, maps: newMaps(dir, o.Now, nil), mayDemote: func(string) bool { return o.Demote }}
	l.about = ignoredFiles(dir)
	errs := &l.errs
	for _, path := range paths {
		if !l.maps.guard.inside(path) {
			continue
		}
		data, info, err := readWhole(path, tomlfile.MaxFile)
		switch {
		case errors.Is(err, errNoFile):
			errs.Add(tomlfile.Problem{File: path, Text: "is not a file", Fix: "remove it, or choose another name"})
		case errors.Is(err, errChanging):
			errs.Add(tomlfile.Problem{File: path, Text: err.Error(), Fix: fixChanging})
		case err != nil:
			return nil, fmt.Errorf("rules: %w", err)
		default:
			l.maps.guard.file(path, info)
			l.sources = append(l.sources, source{path, data})
		}
	}
	return l.load(o)
}

// Stale reports whether a map file has changed since it was read.
func (s *Set) Stale() bool { return s.maps != nil && s.maps.stale() }

// Refresh reads the maps again that have changed, and makes the set that the
// rule files would give, had they not changed since Load. The error is as
// of Load, and s stays as it is. A rule that was demoted can be so again, so that
// it keeps no map of another rule from being read; a rule that is enforced cannot.
func (s *Set) Refresh(o Options) (*Set, error) {
	if s.maps == nil {
		return s, nil
	}
	l := loading{dir: s.maps.dir, sources: s.sources, maps: newMaps(s.maps.dir, o.Now, s.maps), about: s.about}
	l.mayDemote = func(id string) bool {
		return slices.ContainsFunc(s.Demoted, func(f policy.Finding) bool { return f.Rule == id })
	}
	return l.load(o)
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
		return nil, &tomlfile.Errors{Problems: []tomlfile.Problem{{
			File: dir,
			Text: fmt.Sprintf("has %d rule files, more than %d", len(paths), maxRuleFiles),
			Fix:  "merge some files: a file can hold many rules",
		}}}
	}
	return paths, nil
}

// loading is rule files that have been read, on their way to a set.
type loading struct {
	dir       string
	sources   []source
	maps      *maps
	errs      tomlfile.Errors  // of files that could not be read
	about     []policy.Finding // warnings about files
	mayDemote func(id string) bool
}

// load makes a set.
func (l *loading) load(o Options) (*Set, error) {
	all, errs := ruleTexts{maps: l.maps}, &l.errs
	for _, s := range l.sources {
		all.parse(s.path, s.data)
	}
	all.limits(l.dir)
	wrong, writable := l.maps.guard.take(o.Copied)
	errs.Problems = slices.Concat(errs.Problems, all.errs.Problems, l.maps.errs.Problems, wrong)
	errs.ByFile()
	written := slices.Clone(all.rules)
	var findings, demoted []policy.Finding
	if !o.SkipLint {
		findings, demoted = all.lint(errs, o.Options, l.mayDemote)
	}
	if len(errs.Problems) > 0 {
		return nil, errs
	}
	rules, err := policy.NewRules(all.rules)
	if err != nil {
		return nil, l.asProblem(err)
	}
	if !o.SkipTests {
		if err := l.test(rules, written, len(demoted) > 0); err != nil {
			return nil, err
		}
	}
	about := slices.Concat(l.about, writable)
	return &Set{
		Rules: rules, Findings: slices.Concat(about, l.maps.empty(), findings), Demoted: demoted, Maps: l.maps.files(), Tests: all.tests,
		sources: l.sources, maps: l.maps, about: about,
	}, nil
}

// test runs the tests of rules, which are about what is written.
func (l *loading) test(rules policy.Rules, written []policy.Rule, demoted bool) (err error) {
	if demoted {
		if rules, err = policy.NewRules(written); err != nil {
			return l.asProblem(err)
		}
	}
	for _, f := range ruletest.Run(rules) {
		l.errs.Add(failedTests(f))
	}
	if len(l.errs.Problems) == 0 {
		return nil
	}
	l.errs.ByFile()
	return &l.errs
}

// asProblem puts an error about all rules into the words of a file.
func (l *loading) asProblem(err error) error {
	return &tomlfile.Errors{Problems: []tomlfile.Problem{{File: l.dir, Text: tomlfile.OneLine(err.Error())}}}
}

// Lines returns a function that tells where a key of a rule is written, as
// "match.client", or what is around the key; 0 for a rule that is not in the set. The
// files are parsed again for it: a set that is active does without.
func (s *Set) Lines() func(rule, key string) int {
	var all ruleTexts
	for _, src := range s.sources {
		all.parse(src.path, src.data)
	}
	return func(rule, key string) int {
		if place, ok := all.ids[rule]; ok {
			return place.at(key)
		}
		return 0
	}
}

// failedTests is a test that failed, as a problem.
func failedTests(f ruletest.Failure) tomlfile.Problem {
	return tomlfile.Problem{File: f.File, Line: f.Line, Key: "rule.test", Text: fmt.Sprintf("of rule %q: %s", f.Rule, f.Text()), Fix: "fix the rule or the test", Code: CodeFailedTest, Rule: f.Rule}
}

// Parse reads the rules of one file, which can name no maps. name stands
// for the file in problems. The error is always *Errors. The rules are not
// linted, and their tests are not run.
func Parse(name string, data []byte) ([]policy.Rule, error) {
	var all ruleTexts
	all.parse(name, data)
	all.limits(name)
	if len(all.errs.Problems) > 0 {
		return nil, &all.errs
	}
	return all.rules, nil
}

// ruleTexts collects the rules of all files.
type ruleTexts struct {
	maps  *maps // nil where there can be none
	rules []policy.Rule
	tests int
	ids   map[string]rulePlace // of the first rule of each id
	errs  tomlfile.Errors
}

// rulePlace is where a rule is written.
type rulePlace struct {
	file string
	line int
	at   func(key string) int // the line of a key, or of what is around it
}

// parse adds the rules of one file.
func (s *ruleTexts) parse(file string, data []byte) {
	r := tomlfile.NewReader(file, Keys, explainMatch)
	var texts []*ruleText
	if tree := r.Decode(data); tree != nil {
		r.Tables("", tree, "rule", func(at string, sub map[string]any) []tomlfile.Field {
			t := newRuleText(at, s.maps)
			texts = append(texts, t)
			t.readTests(r, sub)
			return t.fields
		})
		r.Table("", tree, nil)
	}
	for _, t := range texts {
		from := len(r.Errs.Problems)
		t.finish(r)
		s.add(t, r)
		for i := range r.Errs.Problems[from:] {
			r.Errs.Problems[from+i].Rule = t.rule.ID
		}
	}
	nameRules(r, texts)
	r.Errs.Sort()
	s.errs.Problems = append(s.errs.Problems, r.Errs.Problems...)
}

// nameRules says of which rule each problem is: the last that begins before it.
func nameRules(r *tomlfile.Reader, texts []*ruleText) {
	for i := range r.Errs.Problems {
		p := &r.Errs.Problems[i]
		p.Code = cmp.Or(p.Code, CodeUnreadable)
		if p.Rule != "" || p.Line == 0 || !strings.HasPrefix(p.Key, "rule") {
			continue
		}
		for _, t := range texts {
			if begin := r.Line(t.at); begin > 0 && begin <= p.Line {
				p.Rule = t.rule.ID
			}
		}
	}
}

// add adds a rule that has been read, unless its id is taken.
func (s *ruleTexts) add(t *ruleText, r *tomlfile.Reader) {
	if t.rule.ID == "" {
		return
	}
	if first, taken := s.ids[t.rule.ID]; taken {
		r.Add(t.at+".id", tomlfile.Fault{
			Text: fmt.Sprintf("%q is the id of the rule at %s:%d", t.rule.ID, first.file, first.line),
			Fix:  "give each rule its own id",
		})
		return
	}
	if s.ids == nil {
		s.ids = make(map[string]rulePlace)
	}
	at := t.at // and not t, which has all that was read of the rule
	s.ids[t.rule.ID] = rulePlace{t.rule.File, t.rule.Line, func(key string) int { return r.Line(at + "." + key) }}
	if !r.BadWithin(t.at) {
		s.rules = append(s.rules, t.rule)
		s.tests += len(t.rule.Tests)
	}
}

// limits reports what is too much over all files, which are those of dir.
func (s *ruleTexts) limits(dir string) {
	if len(s.rules) > policy.MaxRules {
		s.errs.Add(tomlfile.Problem{
			File: dir,
			Text: fmt.Sprintf("has %d rules, more than %d", len(s.rules), policy.MaxRules),
			Fix:  "merge rules with the same effect: a rule can name many networks and domains",
		})
	}
	if s.tests > maxTests {
		s.errs.Add(tomlfile.Problem{
			File: dir,
			Text: fmt.Sprintf("has %d tests of rules, more than %d", s.tests, maxTests),
			Fix:  "keep two tests for each rule: one with a matching message, one with another",
		})
	}
}
