package whatif

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"dmarcgate/policy"
	"dmarcgate/term"
)

const (
	// maxName is how much of a name a table shows: with the counts, and one or
	// two queue ids, a line has 100 columns.
	maxName = 40
	// sampleWidth is what the queue ids of a line may take. Longer ones are left
	// out but for the first; JSON has them all.
	sampleWidth = 26
	// maxListed is how many names of a source are shown.
	maxListed = 3
)

// text prints the report for people.
func (r *report) text(w io.Writer) error {
	out := bufio.NewWriter(w)
	r.headText(out)
	r.differencesText(out)
	r.causesText(out)
	r.changesText(out)
	effectsText(r, out, "by rule", r.rules, byRule, func(b by) string { return b.String() })
	effectsText(r, out, "by author domain", r.authors, strings.Compare, func(s string) string { return cmp.Or(s, "(none)") })
	effectsText(r, out, "by recipient domain", r.recipients, strings.Compare, func(s string) string { return cmp.Or(s, "(none)") })
	r.shadowText(out)
	if r.readiness != nil {
		r.readinessText(out)
	}
	r.conditionsText(out)
	return out.Flush()
}

func (r *report) headText(out io.Writer) {
	fmt.Fprintf(out, "what if: %s\n", term.Printable(r.tried.words))
	fmt.Fprintf(out, "%s to %s: %d messages", term.Stamp(r.span.From), term.Stamp(r.span.To), r.Messages)
	if r.NotEvaluated > 0 {
		fmt.Fprintf(out, ", %d of them not evaluated", r.NotEvaluated)
	}
	if r.Imported > 0 {
		fmt.Fprintf(out, "; %d imported ones are left aside", r.Imported)
	}
	fmt.Fprint(out, "\n\n")
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	line := func(what string, n int64) {
		fmt.Fprintf(table, "%s\t%d\t%s\n", what, n, share(n, r.Messages))
	}
	line("answered as before", r.unchanged())
	line("relaxed", r.Relaxed)
	line("tightened", r.Tightened)
	if r.CannotTell > 0 {
		line("cannot tell", r.CannotTell)
	}
	table.Flush()
	if r.Changed > 0 {
		fmt.Fprintf(out, "of these, newly refused %d, quarantined %d, deferred %d\n", r.Rejected, r.Quarantined, r.Deferred)
	}
	r.checksText(out)
}

// checksText says more of the messages that are answered as before: how far it
// was checked that the same settings decide the same.
func (r *report) checksText(out io.Writer) {
	if made := r.Reproduced + r.Different; made > 0 {
		fmt.Fprintf(out, "%d messages had been decided under exactly these settings; decided again, %d of them came out the same\n", made, r.Reproduced)
	}
	if r.Unchecked > 0 {
		fmt.Fprintf(out, "%d messages had been decided under exactly these settings; facts for a check are no longer stored\n", r.Unchecked)
	}
	if r.Assumed > 0 {
		fmt.Fprintf(out, "%d messages were recorded by a version that did not store the settings that shaped the facts; these settings are assumed to equal the candidate's\n", r.Assumed)
	}
	if r.Relabelled > 0 {
		fmt.Fprintf(out, "%d messages would be answered as before, by another rule or with another reason\n", r.Relabelled)
	}
}

func (r *report) causesText(out io.Writer) {
	if r.CannotTell == 0 {
		return
	}
	heading(out, "cannot tell")
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "MESSAGES\tWHY")
	lines, rest := top(r.causes, strings.Compare, r.limit)
	for _, k := range lines {
		fmt.Fprintf(table, "%d\t%s\n", k.entry.n, term.Printable(k.key))
	}
	table.Flush()
	restText(out, rest)
}

func (r *report) differencesText(out io.Writer) {
	if r.Different == 0 {
		return
	}
	heading(out, "NOT REPRODUCED: decided otherwise by the same settings")
	for _, d := range r.differences {
		fmt.Fprintf(out, "%s  %s  listener %s\n", term.OrNone(d.QueueID), term.Stamp(d.Time), term.Printable(d.Listener))
		for _, side := range []struct {
			when string
			d    policy.Decision
		}{{"stored", d.Stored}, {"again ", d.Again}} {
			fmt.Fprintf(out, "    %s  %s, reason %s, rule %s: %s\n", side.when, answerOf(&side.d),
				term.OrNone(string(side.d.Reason)), term.OrNone(side.d.Rule), term.Printable(side.d.Why))
		}
	}
}

func (r *report) changesText(out io.Writer) {
	if r.Changed == 0 {
		return
	}
	heading(out, "changed")
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "FROM\tTO\tMESSAGES\tSHARE\tSAMPLES")
	for _, c := range r.sortedChanges() {
		e := r.changes[c]
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", c.From, c.To, e.Changed, share(e.Changed, r.Messages), samples(e.Samples))
	}
	table.Flush()
}

// sortedChanges are the changes, the most frequent first.
func (t *tally) sortedChanges() []shift {
	all := make([]shift, 0, len(t.changes))
	for c := range t.changes {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b shift) int {
		return cmp.Or(cmp.Compare(t.changes[b].Changed, t.changes[a].Changed), a.From.compare(b.From), a.To.compare(b.To))
	})
	return all
}

// effectsText prints one table of changes.
func effectsText[K comparable](r *report, out io.Writer, title string, c *capped[K, effect], order func(a, b K) int, name func(K) string) {
	if len(c.lines) == 0 {
		return
	}
	heading(out, title)
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, strings.ToUpper(strings.TrimPrefix(title, "by "))+"\tCHANGED\tRELAXED\tTIGHTENED\tREFUSED\tQUARANT.\tSAMPLES")
	lines, rest := top(c, order, r.limit)
	for _, k := range lines {
		e := k.entry.value
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%s\n",
			term.Bounded(name(k.key), maxName), e.Changed, e.Relaxed, e.Tightened, e.Rejected, e.Quarantined, samples(e.Samples))
	}
	table.Flush()
	restText(out, rest)
}

func (r *report) shadowText(out io.Writer) {
	if len(r.shadow.lines) == 0 {
		return
	}
	heading(out, "rules in shadow, on top of that")
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "RULE\tMATCHED\tWOULD CHANGE\tRELAX\tTIGHTEN\tSAMPLES")
	lines, rest := top(r.shadow, strings.Compare, r.limit)
	for _, k := range lines {
		e := k.entry.value
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%s\n", term.Bounded(k.key, maxName), k.entry.n, e.Changed, e.Relaxed, e.Tightened, samples(e.Samples))
	}
	table.Flush()
	restText(out, rest)
}

func (r *report) conditionsText(out io.Writer) {
	if len(r.conditions) == 0 {
		return
	}
	heading(out, "--fail-if")
	for _, c := range r.conditions {
		verdict := "does not hold"
		if c.holds(r.tally) {
			verdict = "HOLDS"
		}
		fmt.Fprintf(out, "%s  %s: %s\n", term.Printable(c.text), verdict, r.measured(c))
	}
}

func heading(out io.Writer, text string) { fmt.Fprintf(out, "\n%s\n", text) }

// rest is what a table does not show.
type rest struct {
	lines, messages int64 // that are left out for brevity
	dropped, missed int64 // see capped
}

// top returns the largest lines of a table.
func top[K comparable, V any](c *capped[K, V], order func(a, b K) int, limit int) ([]ranked[K, V], rest) {
	all := c.sorted(func(a, b ranked[K, V]) int { return order(a.key, b.key) })
	left := rest{dropped: c.dropped, missed: c.missed}
	for _, k := range all[min(limit, len(all)):] {
		left.lines++
		left.messages += k.entry.n
	}
	return all[:min(limit, len(all))], left
}

func restText(out io.Writer, r rest) {
	if r.lines > 0 {
		fmt.Fprintf(out, "... and %d more with %d messages\n", r.lines, r.messages)
	}
	if r.dropped > 0 {
		fmt.Fprintf(out, "(others): %d messages; there were too many different to keep apart, so a line may lack up to %d\n", r.dropped, r.missed)
	}
}

// samples are as many queue ids as there is room for, and at least one.
func samples(ids []string) string {
	text := ""
	for _, id := range ids {
		id = term.Bounded(id, maxName)
		if text != "" && len(text)+1+len(id) > sampleWidth {
			break
		}
		text = strings.TrimPrefix(text+" "+id, " ")
	}
	return text
}

// byRule orders rules by name.
func byRule(a, b by) int {
	return cmp.Or(cmp.Compare(a.Rule, b.Rule), cmp.Compare(one(a.Before), one(b.Before)))
}

// String says which rule it is.
func (b by) String() string {
	switch {
	case b.Rule == "":
		return "(the profile)"
	case b.Before:
		return b.Rule + " (before)"
	}
	return b.Rule
}
