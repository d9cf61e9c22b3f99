package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"dmarcgate/admin"
	"dmarcgate/term"
)

// timeout is how long the daemon may take for an answer. A reload reads files and
// asks nobody.
const timeout = 30 * time.Second

// Session asks one daemon, and prints its answers.
type Session struct {
	Client *admin.Client
	Out    io.Writer
	Warn   io.Writer // what is no answer
	JSON   bool      // print JSON, not text
}

// soon is for questions that are answered at once.
func soon() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), timeout)
}

// encode prints a value as JSON.
func (s Session) encode(v any) error { return json.NewEncoder(s.Out).Encode(v) }

// Status shows what the daemon does.
func (s Session) Status() error {
	ctx, cancel := soon()
	defer cancel()
	status, err := s.Client.Status(ctx)
	if err != nil {
		return err
	}
	if s.JSON {
		return s.encode(status)
	}
	return Tree(status, time.Now()).Print(s.Out)
}

// Tree draws the status of a daemon at a time.
func Tree(s admin.Status, now time.Time) *term.Node {
	root := &term.Node{Text: fmt.Sprintf("dmarcgate %s, process %d, up %s", s.Version, s.PID, now.Sub(s.Started).Round(time.Second))}
	if m := s.Monitor; m != nil {
		root.Add("ENFORCEMENT SUSPENDED until %s: dmarcgate monitor, %s ago, by %s", term.Stamp(m.Until), term.Age(now, m.Since), term.Printable(m.By)).
			Add("to resume earlier: dmarcgate monitor --end")
	}
	cfg := root.Add("configuration %s, read %s ago", s.Config, now.Sub(s.Reloaded).Round(time.Second))
	if s.Failure != "" {
		cfg.Add("last reload failed; previous settings active: %s", s.Failure)
	}
	for _, key := range s.Restart {
		cfg.Add("%s has changed and waits for a restart", key)
	}
	for _, text := range s.Warnings {
		cfg.Add("warning: %s", term.Printable(text))
	}
	ruleNodes(root, s)
	if s.Results == nil {
		root.Add("store %s", s.Store)
	} else {
		storeNodes(root, s.Results, now)
	}
	for _, l := range s.Listeners {
		n := root.Add("listener %s: %s, profile %s", l.Name, l.Address, l.Profile)
		if l.EnforceShare < 100 {
			n.Text += fmt.Sprintf(", enforced for %d %% of the messages", l.EnforceShare)
		}
		trafficNodes(n, l.Traffic)
		nameNodes(n, l)
		if l.Warning != nil {
			n.Add("WARNING: %s", l.Warning.Text).Add("%s", l.Warning.Fix)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Checks)) {
		root.Add("%s: %s", name, s.Checks[name])
	}
	dnsNodes(root, s.DNS, now)
	return root
}

// answers are the actions in the order in which they are shown.
var answers = []string{"accept", "tag", "hold", "tempfail", "reject", "aborted"}

// trafficNodes shows the sessions and messages of a listener.
func trafficNodes(n *term.Node, t admin.Traffic) {
	n.Add("sessions: %d of %d open, %d since the start", t.Active, t.Limit, t.Sessions)
	var counts []string
	for _, a := range answers {
		if t.Messages[a] > 0 {
			counts = append(counts, fmt.Sprintf("%s %d", a, t.Messages[a]))
		}
	}
	if len(counts) == 0 {
		counts = []string{"none"}
	}
	messages := n.Add("messages since the start: %s", strings.Join(counts, ", "))
	if t.InFlight > 0 {
		messages.Text += fmt.Sprintf("; %d in flight", t.InFlight)
	}
}

// nameNodes shows under which name results are written.
func nameNodes(n *term.Node, l admin.ListenerStatus) {
	names := strings.Join(l.MTANames, ", ")
	switch {
	case l.AuthservID != "" && names != "":
		n.Add("results are written as %s; names of the MTAs: %s", l.AuthservID, names)
	case l.AuthservID != "":
		n.Add("results are written as %s", l.AuthservID)
	case names != "":
		n.Add("results are written under the name of the MTA: %s", names)
	default:
		n.Add("results are written under the name of the MTA; no name received yet")
	}
}

// maxDemoted is how many demoted rules are shown: our limit, part of a screen.
const maxDemoted = 10

// ruleNodes shows the active rules, and those that are not enforced though they
// should be. Warnings about them are counted: rules lint lists it, and --json.
func ruleNodes(root *term.Node, s admin.Status) {
	n := root.Add("%s, hash %s", term.Count(s.Rules, "rule"), s.RulesHash)
	if s.RuleWarnings > 0 {
		n.Text += fmt.Sprintf(", %s: see dmarcgate rules lint", term.Count(s.RuleWarnings, "warning"))
	}
	for _, f := range s.DemotedRules[:min(len(s.DemotedRules), maxDemoted)] {
		n.Add("rule %s is NOT ENFORCED (%s): %s", f.Rule, f.Code, term.Printable(f.Text)).Add("to enforce the rule: %s; then run dmarcgate reload", term.Printable(f.Fix))
	}
	if more := s.RulesDemoted - maxDemoted; more > 0 {
		n.Add("%s more NOT ENFORCED: see dmarcgate rules lint", term.Count(more, "rule"))
	}
	for _, m := range s.RuleMaps {
		n.Add("map %s: %d entries", m.Path, m.Entries)
	}
}

// dnsNodes shows the name servers and the cache.
func dnsNodes(root *term.Node, s admin.DNSStatus, now time.Time) {
	for _, n := range s.Servers {
		text := "name server " + n.Address
		if n.Trusted {
			text += ", trusted"
		}
		if n.Down {
			text += fmt.Sprintf(": DOWN for %s", now.Sub(n.Since).Round(time.Second))
		} else {
			text += ": up"
		}
		text += fmt.Sprintf(", %d queries", n.Queries)
		if n.RTT > 0 {
			text += fmt.Sprintf(", answers in %.1f ms", n.RTT*1000)
		}
		if n.Window > 0 {
			text += fmt.Sprintf(", takes %d at once", n.Window)
		}
		if n.InFlight+n.GivenUp > 0 {
			text += fmt.Sprintf(" (%d in flight, %d given up)", n.InFlight, n.GivenUp)
		}
		server := root.Add("%s", text)
		if n.Plain {
			server.Add("does not preserve the case of letters in names: forged replies are easier")
		}
		if !n.Refusing.IsZero() {
			server.Add("REFUSES queries for %s (%s): %s", now.Sub(n.Refusing).Round(time.Second), term.Printable(n.Refusal), admin.RefusalAdvice)
		}
		if n.Err != "" {
			server.Add("last failure: %s", term.Printable(n.Err))
		}
	}
	cache := root.Add("DNS cache: %d entries, about %d KiB", s.Entries, (s.Bytes+1023)>>10)
	if s.Lookups > 0 {
		cache.Text += fmt.Sprintf("; %d lookups, %d %% of them without a query", s.Lookups, 100*s.Cached/s.Lookups)
	}
}

// Reload has the daemon read its files again. That it keeps its settings, because
// one of them is broken, is an error.
func (s Session) Reload() error {
	ctx, cancel := soon()
	defer cancel()
	r, err := s.Client.Reload(ctx)
	if err != nil {
		return err
	}
	if s.JSON {
		if err := s.encode(r); err != nil {
			return err
		}
	}
	if !r.OK {
		return errors.New("the daemon keeps its settings:\n" + r.Problem)
	}
	if !s.JSON {
		fmt.Fprintln(s.Out, "reloaded")
		for _, key := range r.Restart {
			fmt.Fprintf(s.Out, "%s has changed and waits for a restart\n", key)
		}
	}
	return nil
}
