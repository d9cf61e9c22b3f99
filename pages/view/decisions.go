package view

import (
	"cmp"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/scope"
	"dmarcgate/term"
)

// Filter chooses decisions; empty fields choose all.
type Filter struct {
	Author string // domain, with those below it
	Client string // address or network
	Rule   string // id, in any mode
	QID    string
	Result string // pass, fail, none, temperror or permerror; "notable" for all that did not pass or were overridden
	Action string
	Before int64 // sequence; 0 for the newest

	network netip.Prefix
}

// maxField is how long one field of a filter may be: longer than any domain.
const maxField = 300

// errFilter means that a field of the form cannot be read.
var errFilter = errors.New("the client is neither an address nor a network such as 192.0.2.0/24")

// ParseFilter reads the fields of the form. Its error is for the reader.
func ParseFilter(q url.Values) (Filter, error) {
	get := func(key string) string {
		v := strings.TrimSpace(q.Get(key))
		return term.ASCII(v[:min(len(v), maxField)]) // as the form shows it again
	}
	f := Filter{Author: strings.ToLower(get("author")), Client: get("client"), Rule: get("rule"), QID: get("qid"), Result: get("result"), Action: get("action")}
	f.Before, _ = strconv.ParseInt(get("before"), 10, 64)
	f.Before = max(0, f.Before)
	if f.Client == "" {
		return f, nil
	}
	if a, err := netip.ParseAddr(f.Client); err == nil {
		f.network = netip.PrefixFrom(a.Unmap().WithZone(""), a.Unmap().BitLen())
		return f, nil
	}
	p, err := netip.ParsePrefix(f.Client)
	if err != nil {
		return f, errFilter
	}
	f.network = p.Masked()
	return f, nil
}

// Empty reports whether the filter chooses every row.
func (f Filter) Empty() bool {
	return f.Author+f.Client+f.Rule+f.QID+f.Result+f.Action == ""
}

// Matches reports whether a row is chosen, but for its queue id.
func (f Filter) Matches(r *results.Row) bool {
	d := &r.Decision
	return (f.Author == "" || slices.ContainsFunc(r.Facts.Authors, func(a policy.Author) bool { return scope.AtOrBelow(a.Domain, f.Author) })) &&
		(!f.network.IsValid() || f.network.Contains(r.Facts.Client.Unmap())) &&
		(f.Rule == "" || names(d, f.Rule)) &&
		(f.Action == "" || d.Action.String() == f.Action) &&
		f.result(r)
}

func (f Filter) result(r *results.Row) bool {
	switch f.Result {
	case "":
		return true
	case "notable":
		return r.Facts.Skip == policy.Evaluated && r.Author().Verdict.Status != dmarc.Pass && r.Author().Verdict.Status != dmarc.StatusNone ||
			r.Decision.Reason != policy.AsPublished || r.Decision.Action != policy.Accept
	}
	return ResultWord(r) == f.Result
}

func names(d *policy.Decision, rule string) bool {
	return d.Rule == rule || d.Unreported == rule || slices.Contains(d.Also, rule) ||
		slices.ContainsFunc(d.Shadow, func(s policy.ShadowDecision) bool { return s.Rule == rule })
}

// ResultWord is the DMARC result of a row, or "skipped".
func ResultWord(r *results.Row) string {
	if r.Facts.Skip != policy.Evaluated {
		return "skipped"
	}
	return r.Author().Verdict.Status.String()
}

// older is the address of the page with older rows.
func (f Filter) older(before int64) string {
	q := url.Values{}
	for key, v := range map[string]string{"author": f.Author, "client": f.Client, "rule": f.Rule, "result": f.Result, "action": f.Action} {
		if v != "" {
			q.Set(key, v)
		}
	}
	q.Set("before", strconv.FormatInt(before, 10))
	return "/decisions?" + q.Encode()
}

// Decisions is the page of decisions.
type Decisions struct {
	Filter  Filter
	Results []Choice
	Actions []Choice
	Note    string // how far was looked, or why there is nothing
	Problem string // of the filter or the store; "" for none
	Lines   []Decision
	Older   string // address; "" when there are no older ones
}

// Choice is an entry of a list of the form.
type Choice struct {
	Value, Name string
	Chosen      bool
}

// Decision is a line.
type Decision struct {
	Sequence                             int64
	Time, Author, Client, Result, Action string
	Class                                string // of the action
	Rule, Reason, Why, QID               string
}

func choices(chosen string, list ...string) []Choice {
	out := []Choice{{"", "any", chosen == ""}}
	for _, v := range list {
		name := v
		if v == "notable" {
			name = "not passed or changed"
		}
		out = append(out, Choice{v, name, v == chosen})
	}
	return out
}

// DecisionsOf makes the page of rows that were found, newest first. before is the
// sequence from which older ones follow; 0 for none.
func DecisionsOf(f Filter, rows []results.Row, before int64) Decisions {
	v := Decisions{
		Filter:  f,
		Results: choices(f.Result, "notable", "pass", "fail", "none", "temperror", "permerror", "skipped"),
		Actions: choices(f.Action, "accept", "tag", "hold", "reject", "tempfail"),
	}
	for i := range rows {
		v.Lines = append(v.Lines, decisionOf(&rows[i]))
	}
	if before > 0 {
		v.Older = f.older(before)
	}
	return v
}

func decisionOf(r *results.Row) Decision {
	d := &r.Decision
	client := "unknown"
	if r.Facts.Client.IsValid() {
		client = r.Facts.Client.String()
	}
	classes := map[policy.Action]string{policy.Accept: "pass", policy.Tag: "tag", policy.Hold: "tag", policy.Reject: "fail", policy.Tempfail: "error"}
	return Decision{
		Sequence: r.Sequence, Time: Moment(r.Facts.Time), Author: orDash(cmp.Or(d.Author, r.Author().Domain)), Client: client,
		Result: ResultWord(r), Action: d.Action.String(), Class: classes[d.Action], Rule: orDash(d.Rule), Reason: orDash(string(d.Reason)),
		Why: Shown(d.Why), QID: orDash(r.Facts.QueueID),
	}
}
