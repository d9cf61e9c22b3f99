package view

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"dmarcgate/admin"
	"dmarcgate/term"
)

// Light is one thing that an operator looks at first.
type Light struct {
	Level Level
	Name  string
	Text  string
	More  []string
}

// Level is how much a light needs somebody.
type Level uint8

// The levels, from the mildest.
const (
	OK Level = iota
	Warn
	Bad
)

// String returns the class of the style sheet.
func (l Level) String() string { return [...]string{"ok", "warn", "bad"}[l] }

// Word is the level in words, for those who do not see the colour.
func (l Level) Word() string { return [...]string{"OK", "Look", "Fault"}[l] }

// Status is the first page.
type Status struct {
	Version, Started string
	Lights           []Light
	Listeners        []Listener
	Charts           []Chart
	Matrix           Matrix
	Recorded         string // why there are no charts; "" when there are
}

// Listener is a milter listener.
type Listener struct{ Name, Address, Profile, Share, Connections, Warning string }

// maxLines is how many lines of one list the first page shows.
const maxLines = 20

// StatusOf makes the first page, without charts.
func StatusOf(s admin.Status, now time.Time) Status {
	v := Status{Version: Shown(s.Version), Started: Ago(now, s.Started)}
	v.Lights = []Light{enforcement(s), checks(s), settings(s, now), ruleLight(s), store(s), servers(s)}
	for _, l := range s.Listeners[:min(len(s.Listeners), maxLines)] {
		line := Listener{Name: Shown(l.Name), Address: Shown(l.Address), Profile: Shown(l.Profile), Share: fmt.Sprintf("%d %%", l.EnforceShare),
			Connections: Number(int64(l.Traffic.Active)) + " of " + Number(int64(l.Traffic.Limit))}
		if l.Warning != nil {
			line.Warning = Shown(l.Warning.Text)
		}
		v.Listeners = append(v.Listeners, line)
	}
	return v
}

func enforcement(s admin.Status) Light {
	l := Light{Name: "Enforcement"}
	if s.Monitor != nil {
		return Light{Warn, l.Name, "suspended until " + Moment(s.Monitor.Until), []string{"ordered by " + Shown(s.Monitor.By)}}
	}
	var words []string
	for _, a := range s.Listeners[:min(len(s.Listeners), maxLines)] {
		words = append(words, fmt.Sprintf("%s on %s", a.Profile, Shown(a.Name)))
		if a.Warning != nil {
			l.Level = Warn
			l.More = append(l.More, Shown(a.Name)+": "+Shown(a.Warning.Text))
		}
	}
	l.Text = strings.Join(words, ", ")
	return l
}

func checks(s admin.Status) Light {
	l := Light{Name: "Checks", Text: "all pass"}
	var failing []string
	for name, text := range s.Checks {
		if text != "ok" {
			failing = append(failing, name)
			l.More = append(l.More, Shown(name)+": "+Shown(text))
		}
	}
	if len(failing) > 0 {
		slices.Sort(l.More)
		l.Level, l.Text = Bad, count(int64(len(failing)), "check")+" failing"
	}
	return l
}

func settings(s admin.Status, now time.Time) Light {
	l := Light{Name: "Settings", Text: "read " + Ago(now, s.Reloaded)}
	if n := len(s.Warnings); n > 0 {
		l.Level, l.Text = Warn, count(int64(n), "warning")
		l.More = shownAll(s.Warnings)
	}
	if len(s.Restart) > 0 {
		l.Level, l.Text = Warn, "restart needed for "+Shown(strings.Join(s.Restart, ", "))
	}
	if s.Failure != "" {
		l.Level, l.Text = Bad, "last reload failed; the previous settings are active"
		l.More = append([]string{Shown(s.Failure)}, l.More...)
	}
	return l
}

func shownAll(list []string) (out []string) {
	for _, s := range list[:min(len(list), maxLines)] {
		out = append(out, Shown(s))
	}
	return out
}

func ruleLight(s admin.Status) Light {
	l := Light{Name: "Rules", Text: count(int64(s.Rules), "rule")}
	if s.RulesHash != "" {
		l.Text += ", hash " + Shown(s.RulesHash)
	}
	if s.RuleWarnings > 0 {
		l.Level = Warn
		l.More = append(l.More, count(int64(s.RuleWarnings), "warning"))
	}
	if s.RulesDemoted > 0 {
		l.Level = Bad
		l.More = append(l.More, count(int64(s.RulesDemoted), "rule")+" not enforced since the start")
	}
	return l
}

func store(s admin.Status) Light {
	l := Light{Name: "Store"}
	r := s.Results
	if r == nil {
		return Light{Warn, l.Name, "off: nothing is recorded", nil}
	}
	l.Text = fmt.Sprintf("%s, %s", count(r.Rows, "message"), term.Mebibytes(r.Bytes))
	if lost := total(r.Dropped); lost > 0 {
		l.Level = Warn
		l.More = append(l.More, count(lost, "result")+" lost since the start")
	}
	if r.Guard {
		l.Level = Bad
		l.More = append(l.More, "too little free space: results are not recorded")
	}
	if r.Failure != "" {
		l.Level = Bad
		l.More = append(l.More, Shown(r.Failure))
	}
	if p := r.Postgres; p != nil {
		l.More = append(l.More, "PostgreSQL: "+Shown(p.State)+", "+count(p.Waiting, "row")+" waiting")
		if p.Failure != "" {
			l.Level = max(l.Level, Warn)
			l.More = append(l.More, Shown(p.Failure))
		}
	}
	return l
}

func total(counts map[string]int64) (n int64) {
	for _, v := range counts {
		n += v
	}
	return n
}

func servers(s admin.Status) Light {
	l := Light{Name: "DNS"}
	down := 0
	for _, n := range s.DNS.Servers[:min(len(s.DNS.Servers), maxLines)] {
		switch {
		case n.Down:
			down++
			l.More = append(l.More, Shown(n.Address)+" is down since "+Moment(n.Since))
		case !n.Refusing.IsZero():
			l.More = append(l.More, Shown(n.Address)+" refuses queries: "+Shown(n.Refusal))
		}
	}
	l.Text = fmt.Sprintf("%s, %s of lookups from the cache", count(int64(len(s.DNS.Servers)), "server"), percent(int64(s.DNS.Cached), int64(s.DNS.Lookups)))
	switch {
	case down > 0 && down == len(s.DNS.Servers):
		l.Level = Bad
	case len(l.More) > 0:
		l.Level = Warn
	}
	return l
}
