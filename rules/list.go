package rules

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"dmarcgate/policy"
	"dmarcgate/term"
)

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

func (b *book) line(r policy.Rule, uses map[string]use) ruleLine {
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
	add("client", term.Texts(m.Client))
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
		return "EXPIRED " + policy.Moment(expires)
	default:
		return fmt.Sprintf("%s, in %s", policy.Moment(expires), inDays(left))
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

// sampled is the mode of a rule, with the share for which it holds.
func sampled(l ruleLine) string {
	if l.Sample == 0 || l.Sample == 100 {
		return l.Mode.String()
	}
	return fmt.Sprintf("%s %d %%", l.Mode, l.Sample)
}

// List prints the rules with their use, or their ids alone, one a line.
func List(ctx context.Context, out io.Writer, o Options, ids bool) error {
	b, err := load(o)
	if err != nil {
		return err
	}
	if ids {
		for _, r := range b.set.Rules.List() {
			fmt.Fprintln(out, r.ID)
		}
		return nil
	}
	uses, err := b.uses(ctx)
	if err != nil {
		return err
	}
	lines := []ruleLine{}
	for _, r := range b.set.Rules.List() {
		lines = append(lines, b.line(r, uses))
	}
	if o.JSON {
		return json.NewEncoder(out).Encode(lines)
	}
	return term.Table(out, "RULE\tMODE\tACTION\tPRIORITY\tANCHORS\tEXPIRES\tLAST MATCH\t24H", lines, func(l ruleLine) []any {
		last, day := "-", "-"
		if l.Use != nil {
			last, day = lastSeen(l.Use.Last), fmt.Sprint(l.Use.Day)
		}
		return []any{l.ID, sampled(l), l.Action, l.Priority, someAnchors(l.Anchors), expiry(l.Expires, b.opts.Now), last, day}
	})
}
