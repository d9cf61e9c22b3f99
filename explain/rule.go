package explain

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
	"dmarcgate/policy/replay"
	"dmarcgate/site"
	"dmarcgate/term"
)

// tellRule tries a rule of the settings on the message. What explain was not
// told is not known, but for authentication: the client counts as one that has
// not authenticated.
func (x *Explanation) tellRule(s policy.Settings, id string) {
	if id == "" {
		return
	}
	f := x.Facts
	for _, n := range x.NotTold {
		f.Missing |= n.missing
	}
	var others []policy.Facts
	for _, n := range x.NotTold {
		for _, other := range n.others {
			if n.missing == 0 && other.Skip == f.Skip {
				others = append(others, other)
			}
		}
	}
	if told, ok := replay.Tell(s, id, f, others...); ok { // the rules were read once, so it is there
		x.Rule = &told
	}
}

// matchWords say whether a rule matches.
var matchWords = map[string]string{policy.Holds: "matches", policy.HoldsNot: "does not match", policy.NotKnown: "not known whether it matches"}

// told draws the rule of --rule.
func (x *Explanation) told(root *term.Node) {
	if x.Rule == nil {
		if x.wanted != "" {
			root.Add("rule %s: not tried, because the configuration has no listener %q", x.wanted, term.Printable(x.Facts.Listener))
		}
		return
	}
	r := x.Rule
	n := root.Add("rule %s, mode %s, action %s: %s", r.Rule, r.Mode, r.Action, matchWords[r.Matches])
	if x.stored {
		n.Add("as the rule is now; the message is as it was recorded")
	}
	scope := "one recipient, and one author domain that did not pass"
	if slices.ContainsFunc(r.Conditions, func(c policy.Condition) bool { return c.Key == policy.ConditionPassed }) {
		scope = "one recipient, and one author domain that passed"
	}
	if r.Every {
		scope = "every recipient, and every author domain that did not pass"
	}
	n.Add("its keys must hold for %s", scope)
	for _, c := range r.Conditions {
		text := c.Key
		if c.Value != "" {
			text += " = " + c.Value
		}
		k := n.Add("%s: %s", term.Printable(text), c.State)
		have := factWords(c.Key, x.Facts)
		if c.Key == "tz" {
			have = clockIn(c.Value, x.Facts.Time)
		}
		if have != "" {
			k.Add("the message has: %s", term.Printable(have))
		}
	}
	if other := x.decidedBy(); r.Matches == policy.Holds && r.Mode == policy.Enforce && other != "" {
		n.Add("rule %s goes first and decides", other)
	}
}

// decidedBy is another rule that has decided although the one of --rule
// matches, "" if there is none.
func (x *Explanation) decidedBy() string {
	d := x.Decision
	if x.Again != nil {
		d = x.Again.Decision
	}
	if d.Rule == x.Rule.Rule || x.Rule.Action == policy.RuleSkipReport {
		return ""
	}
	return d.Rule
}

// factWords is what a message has of the fact that a key is about, "" where
// that is no single fact.
func factWords(key string, f policy.Facts) string {
	switch strings.TrimPrefix(key, "not_") {
	case "client":
		return clientText(f)
	case "iprev":
		return term.OrNone(f.ClientName)
	case "spf_pass", "spf":
		return fmt.Sprintf("%s for %s", term.OrNone(f.SPF.Result), term.OrNone(f.SPF.Domain))
	case "dkim_pass":
		return listWords(f.DKIM, func(s policy.DKIM) string { return s.Result + " for " + term.OrNone(s.Domain) })
	case "arc_pass":
		return term.OrNone(f.ARC.Result) + ", sealed by " + listWords(f.ARC.Sealers, func(s policy.Sealer) string { return s.Domain })
	case "listener":
		return f.Listener
	case "helo":
		return term.OrNone(f.Helo)
	case "mail_from":
		return mailFromWord(f)
	case "list_id":
		return term.OrNone(f.ListID)
	case "rcpt_domain", policy.ConditionRecipients:
		return listWords(f.Recipients, func(d string) string { return d })
	case "time", "weekday":
		return f.Time.UTC().Format("15:04, Monday UTC")
	}
	return flagWords(key, f)
}

// clockIn is the time of a message by the clocks of the zone that a rule names.
func clockIn(value string, at time.Time) string {
	var zone pattern.Zone
	if json.Unmarshal([]byte(value), &zone) != nil {
		return ""
	}
	return zone.In(at).Format("15:04, Monday")
}

func flagWords(key string, f policy.Facts) string {
	switch key {
	case "tls":
		return strconv.FormatBool(f.TLS)
	case "null_path":
		return strconv.FormatBool(f.NullPath)
	case "authenticated":
		return fmt.Sprintf("SPF %s; DKIM %s", factWords("spf", f), factWords("dkim_pass", f))
	case "earlier_spf_fail":
		return strconv.FormatBool(f.EarlierSPFFail)
	case "list_headers":
		return strconv.FormatBool(f.IsList)
	case "auto_submitted":
		return strconv.FormatBool(f.Automatic)
	case "from_field":
		return term.OrNone(string(f.FromField))
	}
	return authorFacts(strings.TrimPrefix(key, "not_"), f)
}

func authorFacts(key string, f policy.Facts) string {
	of := map[string]func(policy.Author) string{
		"author":        func(a policy.Author) string { return a.Domain },
		"policy_domain": func(a policy.Author) string { return a.PolicyDomain },
		"result":        func(a policy.Author) string { return a.Verdict.Status.String() },
		"pass_by":       func(a policy.Author) string { return a.PassBy() },
		"requested":     func(a policy.Author) string { return a.Published() },
		"history_min":   func(a policy.Author) string { return strconv.Itoa(a.History.Messages) },
		"history_max":   func(a policy.Author) string { return strconv.Itoa(a.History.Messages) },
	}
	of[policy.ConditionResult] = of["result"]
	if of[key] == nil {
		return ""
	}
	return listWords(f.Authors, of[key])
}

func listWords[T any](list []T, word func(T) string) string {
	var out []string
	for _, v := range list {
		out = append(out, term.OrNone(word(v)))
	}
	return term.OrNone(strings.Join(out, ", "))
}

// knownRule is a usage error when --rule names a rule that is not there.
func knownRule(in site.Site, id string) error {
	if id == "" {
		return nil
	}
	var ids []string
	for _, r := range in.Rules.List() {
		if r.ID == id {
			return nil
		}
		ids = append(ids, r.ID)
	}
	if near := pattern.Nearest(id, ids); near != "" {
		return term.Usagef("--rule: there is no rule %q; did you mean %q?", id, near)
	}
	return term.Usagef("--rule: there is no rule %q", id)
}
