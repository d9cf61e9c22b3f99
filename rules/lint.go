package rules

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"dmarcgate/config"
	"dmarcgate/config/rulefile"
	"dmarcgate/policy"
	"dmarcgate/policy/lint"
	"dmarcgate/policy/sum"
	"dmarcgate/rules/dnscheck"
	"dmarcgate/site"
	"dmarcgate/term"
)

// errRules means that something was found, which has been printed.
type errRules struct {
	errors, warnings, failed int
}

func (e errRules) Error() string {
	return fmt.Sprintf("the rules have %s, %s and %s", term.Count(e.errors, "error"), term.Count(e.warnings, "warning"), term.Count(e.failed, "failed test"))
}

// lint returns everything that is to be said about the rules in the files,
// errors first. set is nil with an error among them.
func (b *book) lint() (found []site.Remark, err error) {
	b.set, err = site.LoadRules(b.cfg, b.dir, b.opts)
	var broken *config.Errors
	switch {
	case errors.As(err, &broken):
		for _, p := range broken.Problems {
			found = append(found, site.Remark{Level: site.LevelError, Code: cmp.Or(p.Code, rulefile.CodeUnreadable), Rule: p.Rule, Problem: p})
		}
		return found, nil
	case err != nil:
		return nil, err
	}
	return site.Remarks(b.set.Findings), nil
}

// Linting says what else Lint does.
type Linting struct {
	Strict  bool // warnings are an error, too
	Remarks bool // print remarks; JSON has them always
	DNS     bool // look up the anchors of the rules, once they have no errors
}

// Lint prints what is wrong or doubtful in the rules, and remarks: whom a rule lets in
// that means to. JSON has the spoofs, too. Errors, and with Strict also warnings, are
// an error, which counts them.
func Lint(ctx context.Context, out io.Writer, o Options, how Linting) error {
	b, err := locate(o)
	if err != nil {
		return err
	}
	found, err := b.lint()
	if err != nil {
		return err
	}
	if how.DNS {
		more, err := b.lookUp(ctx)
		if err != nil {
			return err
		}
		found = append(found, more...)
	}
	if err := b.printLint(out, found, how.Remarks); err != nil {
		return err
	}
	return worst(found, how.Strict)
}

// lookUp returns what the DNS says about the anchors. Rules that cannot be loaded have
// none, and the lists of the configuration are looked up alone.
func (b *book) lookUp(ctx context.Context) ([]site.Remark, error) {
	cfg := b.cfg
	if cfg == nil { // only its settings of the DNS are needed
		cfg, _ = config.LoadPartly(b.ask.Config)
	}
	dns, err := site.NewResolver(cfg, nil)
	if err != nil {
		return nil, err
	}
	defer dns.Close()
	var list []policy.Rule
	if b.set != nil {
		list = b.set.Rules.List()
	}
	c := dnscheck.Checker{DNS: dns, Config: b.cfg, Now: b.opts.Now}
	if term.IsTerminal(b.ask.Warn) && !b.ask.JSON {
		l := term.Line{Out: b.ask.Warn}
		defer l.Clear()
		c.Progress = func(done, all int) { l.Draw(fmt.Sprintf("looked up %d of %s", done, term.Count(all, "name"))) }
	}
	found, err := c.Check(ctx, list)
	if err == nil && b.set != nil {
		line := b.set.Lines()
		for i, f := range found {
			found[i].Line = cmp.Or(line(f.Rule, f.Key), f.Line)
		}
	}
	return found, err
}

// worst is the error for what was found; warnings are one when strict.
func worst(found []site.Remark, strict bool) error {
	n := errRules{errors: count(found, site.LevelError), warnings: count(found, site.LevelWarning)}
	if n.errors > 0 || strict && n.warnings > 0 {
		return n
	}
	return nil
}

// count returns how many of the findings are of a level.
func count(found []site.Remark, level string) int {
	n := 0
	for _, f := range found {
		if f.Level == level {
			n++
		}
	}
	return n
}

func (b *book) printLint(w io.Writer, found []site.Remark, remarks bool) error {
	if b.ask.JSON {
		b.addSpoofs(found)
		return json.NewEncoder(w).Encode(append([]site.Remark{}, found...))
	}
	for _, f := range found {
		if remarks || f.Level != site.LevelRemark {
			fmt.Fprintln(w, f)
		}
	}
	if b.set == nil {
		return nil
	}
	_, err := fmt.Fprintf(w, "%s: %s, %s, %s, %s, hash %s\n", b.dir, term.Count(b.set.Rules.Len(), "rule"),
		term.Count(count(found, site.LevelWarning), "warning"), term.Count(count(found, site.LevelRemark), "remark"), term.Count(b.set.Tests, "test"), sum.Rules(b.set.Rules))
	return err
}

// addSpoofs gives each finding the test that shows it. Where the rules were refused,
// they are looked at once more; where they cannot be, there are no tests.
func (b *book) addSpoofs(found []site.Remark) {
	set := b.set
	if set == nil {
		unlinted := *b
		if err := unlinted.loadUnlinted(); err != nil {
			return
		}
		set = unlinted.set
	}
	type finding struct{ rule, code, text string }
	spoofs := make(map[finding]*policy.Given)
	for _, f := range lint.Rules(set.Rules.List(), b.opts.Options) {
		spoofs[finding{f.Rule, f.Code, f.Text}] = f.Spoof
	}
	tests := newSpoofTests(set.Rules)
	for i, f := range found {
		found[i].Spoof = tests.text(f.Rule, spoofs[finding{f.Rule, f.Code, f.Text}])
	}
}
