package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dmarcgate/internal/miltertest"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/term"
)

// witness is everything that was seen of a message.
type witness struct {
	row     results.Row
	res     miltertest.Result
	queries []string // "TYPE name"
	log     string
	final   string
}

// check compares one line of the want section.
func (w witness) check(t *testing.T, line string) {
	t.Helper()
	key, value, _ := strings.Cut(line, " ")
	value = strings.TrimSpace(value)
	d, f := w.row.Decision, w.row.Facts
	equal := func(what, got string) {
		t.Helper()
		if got != value {
			t.Errorf("%s = %q; want %q", what, got, value)
		}
	}
	switch {
	case strings.HasPrefix(key, "spf=") || strings.HasPrefix(key, "dkim=") || strings.HasPrefix(key, "arc=") || strings.HasPrefix(key, "dmarc="):
		w.result(t, strings.Fields(line))
	case key == "no":
		if has(rowResults(w.row), strings.Fields(value)) {
			t.Errorf("the row has %q; want none with %q", rowResults(w.row), value)
		}
	case key == "queried", key == "not-queried":
		if got := slices.Contains(w.queries, value); got != (key == "queried") {
			t.Errorf("queries = %q; want %s %s", w.queries, key, value)
		}
	case key == "disposition":
		equal("disposition", d.Disposition.String())
	case key == "action":
		equal("action", d.Action.String())
	case key == "evidence":
		equal("evidence", term.OrNone(string(d.Evidence)))
	case key == "reason":
		equal("reason", term.OrNone(string(d.Reason)))
	case key == "pass_by":
		equal("pass_by", term.OrNone(f.Authors[0].PassBy()))
	case key == "earlier_spf_fail":
		equal("earlier_spf_fail", term.YesNo(f.EarlierSPFFail))
	case key == "skip":
		equal("skip", string(f.Skip))
	case key == "unknown_client":
		equal("unknown client", string(f.UnknownClient))
	case key == "client":
		equal("client", f.Client.String())
	case key == "unreported":
		equal("unreported", term.OrNone(d.Unreported))
	case key == "also":
		equal("also", term.OrNone(strings.Join(d.Also, ", ")))
	case key == "rule":
		equal("rule", term.OrNone(d.Rule))
	case key == "shadow":
		var shadow []string
		for _, s := range d.Shadow {
			shadow = append(shadow, s.Rule+" "+s.Action.String())
		}
		equal("shadow", strings.Join(shadow, ", "))
	case key == "from_field":
		equal("From", string(f.FromField))
	case key == "forged":
		equal("forged fields", strconv.Itoa(f.Forged))
	case key == "bimi":
		equal("eligible for BIMI", map[bool]string{true: "yes", false: "no"}[f.BIMIEligible])
	case key == "helo":
		equal("SPF of HELO", f.HELO.Result)
	case key == "reply":
		if got := replyLine(w.res); !strings.HasPrefix(got, value) {
			t.Errorf("reply = %q; want %q at its start", got, value)
		}
	case key == "text":
		if !strings.Contains(w.res.Text, value) {
			t.Errorf("reply text = %q; want %q in it", w.res.Text, value)
		}
	case key == "why":
		if !strings.Contains(d.Why, value) {
			t.Errorf("why = %q; want %q in it", d.Why, value)
		}
	case key == "header":
		if !strings.Contains(unfolded(w.final), value) {
			t.Errorf("the message lacks %q", value)
		}
	case key == "no-header":
		if strings.Contains(unfolded(w.final), value) {
			t.Errorf("the message has %q", value)
		}
	case key == "results":
		if got := w.ours(); !strings.Contains(got, value) {
			t.Errorf("our results are %q; want %q in them", got, value)
		}
	case key == "no-results":
		if got := w.ours(); got == "" || strings.Contains(got, value) {
			t.Errorf("our results are %q; want some without %q", got, value)
		}
	case key == "held":
		if reason, ok := w.res.Quarantined(); !ok || !strings.Contains(reason, value) {
			t.Errorf("quarantine = %q, %v; want %q in it", reason, ok, value)
		}
	case key == "state":
		equal("state of the row", [...]string{"answered", "deferred", "unanswered"}[w.row.State])
	case key == "log":
		if !strings.Contains(w.log, value) {
			t.Errorf("the log lacks %q", value)
		}
	default:
		t.Errorf("want line %q is not understood", line)
	}
}

func replyLine(r miltertest.Result) string {
	if r.Action != miltertest.ReplyCode {
		return r.Action.String()
	}
	return fmt.Sprintf("%d %s %s", r.Code, r.Enhanced, r.Text)
}

// unfolded returns the header of a message with every field on one line.
func unfolded(message string) string {
	message = strings.ReplaceAll(message, "\r\n", "\n")
	header, _, _ := strings.Cut(message, "\n\n")
	return strings.NewReplacer("\n ", " ", "\n\t", " ").Replace(header)
}

// result looks for one method's result with all the words in the row, and in
// the Authentication-Results field when the message was delivered with one.
func (w witness) result(t *testing.T, words []string) {
	t.Helper()
	if !has(rowResults(w.row), words) {
		t.Errorf("the row has %q; want one with %q", rowResults(w.row), words)
	}
	if ours := w.ours(); ours != "" && w.res.Action == miltertest.Continue {
		inField := slices.DeleteFunc(slices.Clone(words), func(s string) bool { return strings.HasPrefix(s, "p=") })
		if got := strings.Split(ours, ";"); !has(got, inField) {
			t.Errorf("Authentication-Results has %q; want one with %q", got, inField)
		}
		return
	}
	if w.row.Facts.Skip == policy.Evaluated && w.res.Action == miltertest.Continue {
		t.Errorf("a delivered message has no Authentication-Results of ours on top:\n%s", w.final)
	}
}

// ours returns what our Authentication-Results field says, unfolded; nothing
// when the message has none.
func (w witness) ours() string {
	for line := range strings.Lines(unfolded(w.final)) {
		if ours, ok := strings.CutPrefix(line, "Authentication-Results: mx.receiver.example;"); ok {
			return ours
		}
	}
	return ""
}

func has(results []string, words []string) bool {
	return slices.ContainsFunc(results, func(r string) bool {
		fields := strings.Fields(r)
		return !slices.ContainsFunc(words, func(w string) bool { return !slices.Contains(fields, w) })
	})
}

// rowResults writes what the row says in the words of Authentication-Results.
func rowResults(r results.Row) []string {
	f := r.Facts
	identity := "smtp.mailfrom="
	if f.NullPath {
		identity = "smtp.helo="
	}
	out := []string{"spf=" + f.SPF.Result + " " + identity + f.SPF.Domain}
	if len(f.DKIM) == 0 {
		out = append(out, "dkim=none")
	}
	for _, s := range f.DKIM {
		out = append(out, fmt.Sprintf("dkim=%s header.d=%s header.s=%s header.a=%s", s.Result, s.Domain, s.Selector, s.Algorithm))
	}
	if f.ARC.Result != "" {
		out = append(out, fmt.Sprintf("arc=%s smtp.remote-ip=%s header.oldest-pass=%d", f.ARC.Result, f.Client, f.ARC.OldestPass))
	}
	for i, a := range f.Authors {
		out = append(out, fmt.Sprintf("dmarc=%s p=%s policy.dmarc=%s header.from=%s",
			a.Verdict.Status, a.Verdict.Policy, r.Decision.Effective[i].Applied, a.Domain))
	}
	return out
}
