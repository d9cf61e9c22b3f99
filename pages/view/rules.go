package view

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dmarcgate/policy"
	"dmarcgate/results"
)

// Rules is the page of override rules.
type Rules struct {
	None     bool // the configuration has no rules
	Lines    []Rule
	LeftOut  int      // rules beyond maxRules
	Findings []string // what is to be said against the rules
	Note     string   // how far was looked
	Problem  string   // of the store
}

// Rule is a line.
type Rule struct {
	ID, Mode, Action, Owner, Comment string
	Hits                             Bar // in 30 days
	Day                              string
	Changes                          string // in shadow: messages with which something else would have been done
	Last, Expires                    string
	Class                            string // warn when the rule has expired or is about to, else ""
	Place                            string // file and line
}

// maxRules is how many rules a page lists.
const maxRules = 300

// soon is how long before its end a rule is marked.
const soon = 7 * 24 * time.Hour

// ruleCount is what is known of the use of a rule.
type ruleCount struct {
	day, month, changed int64
	last                time.Time
}

// RulesOf makes the page of the active rules, those with the most matches first.
// day and month are matches since then, use is what is known beyond.
func RulesOf(all []policy.Rule, day, month []results.RuleHit, use []results.RuleUse, now time.Time) Rules {
	counts := make(map[string]*ruleCount)
	at := func(id string) *ruleCount {
		if counts[id] == nil {
			counts[id] = &ruleCount{}
		}
		return counts[id]
	}
	for _, u := range use {
		at(u.Rule).last = u.Last
	}
	for _, h := range day {
		at(h.Rule).day += h.Messages
	}
	most := int64(0)
	for _, h := range month {
		c := at(h.Rule)
		c.month, c.changed = c.month+h.Messages, c.changed+h.Changed
		if h.Last.After(c.last) {
			c.last = h.Last
		}
		most = max(most, c.month)
	}
	list := slices.Clone(all)
	slices.SortStableFunc(list, func(a, b policy.Rule) int { return cmp.Compare(at(b.ID).month, at(a.ID).month) })
	v := Rules{None: len(all) == 0, LeftOut: max(0, len(list)-maxRules)}
	for _, r := range list[:min(len(list), maxRules)] {
		v.Lines = append(v.Lines, ruleOf(r, at(r.ID), most, now))
	}
	return v
}

func ruleOf(r policy.Rule, c *ruleCount, most int64, now time.Time) Rule {
	v := Rule{
		ID: Shown(r.ID), Mode: r.Mode.String(), Action: r.Action.String(), Owner: orDash(r.Owner), Comment: Shown(r.Comment),
		Hits: barOf(c.month, most), Day: Number(c.day), Changes: "–", Last: Moment(c.last), Expires: "never",
		Place: place(r.File, r.Line),
	}
	if r.Mode == policy.Shadow {
		v.Changes = Number(c.changed)
	}
	if r.Sample > 0 && r.Sample < 100 {
		v.Mode += fmt.Sprintf(" %d %%", r.Sample)
	}
	switch left := r.Expires.Sub(now); {
	case r.Expires.IsZero():
	case left <= 0:
		v.Expires, v.Class = "expired "+policy.Moment(r.Expires), "warn"
	default:
		v.Expires = policy.Moment(r.Expires)
		if left < soon {
			v.Expires, v.Class = v.Expires+", soon", "warn"
		}
	}
	return v
}

// place is a line of a file of the rules, without the directory.
func place(file string, line int) string {
	return fmt.Sprintf("%s:%d", Shown(filepath.Base(file)), line)
}

// Finding writes what is said against a rule.
func Finding(rule, file string, line int, text, fix string) string {
	var b strings.Builder
	b.WriteString(place(file, line) + ": ")
	if rule != "" {
		b.WriteString("rule " + Shown(rule) + ": ")
	}
	b.WriteString(Shown(text))
	if fix != "" {
		b.WriteString("; " + Shown(fix))
	}
	return b.String()
}
