package whatif

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"dmarcgate/policy"
	"dmarcgate/survey"
	"dmarcgate/term"
)

// sorted returns the sources that a test holds for, the largest first, and how
// many messages they brought.
func (r *readiness) sorted(is func(survey.Source, *traffic) bool) (list []ranked[survey.Source, traffic], messages int64) {
	for _, k := range r.sources.sorted(func(a, b ranked[survey.Source, traffic]) int {
		return cmp.Or(cmp.Compare(a.key.Kind, b.key.Kind), cmp.Compare(a.key.Name, b.key.Name))
	}) {
		if is(k.key, &k.entry.value) {
			list, messages = append(list, k), messages+k.entry.n
		}
	}
	return list, messages
}

// readinessText says what has to be done before the profile is used.
func (r *report) readinessText(out io.Writer) {
	heading(out, "READINESS")
	ready := r.readiness
	if r.Tightened == 0 {
		fmt.Fprintln(out, "no message would be answered more severely than it was")
		return
	}
	fmt.Fprintf(out, "%d messages would be refused and %d quarantined that were not; by author domain: above\n", r.Rejected, r.Quarantined)
	for _, other := range []struct {
		n    int64
		what string
	}{{ready.ruled, "by rules, which are meant to"}, {ready.deferred, "deferred, for the DNS of the author domain"}, {ready.nameless, "without an author domain"}} {
		if other.n > 0 {
			fmt.Fprintf(out, "left out below: %d %s\n", other.n, other.what)
		}
	}
	ready.evidenceText(out)
	if ready.byARC.Changed > 0 {
		heading(out, "rescued by ARC alone")
		fmt.Fprintf(out, "%d messages would be answered more severely without their ARC chain: %s\n", ready.byARC.Changed, samples(ready.byARC.Samples))
	}
	ready.sourcesText(out, "forwarders that need a rule first", ready.forwards, r.limit)
	ready.sourcesText(out, "direct senders that fail, for their owner to fix", ready.direct, r.limit)
	ready.sourcesText(out, "neither: nothing shows that they pass mail on", ready.unclear, r.limit)
	restText(out, rest{dropped: ready.sources.dropped, missed: ready.sources.missed})
}

// evidenceText says what speaks for and against these messages.
func (r *readiness) evidenceText(out io.Writer) {
	if len(r.evidence) == 0 {
		return
	}
	heading(out, "by what speaks for or against the message")
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "EVIDENCE\tSAYS\tREFUSED\tQUARANT.\tSAMPLES")
	for _, why := range r.evidences() {
		e := r.evidence[why]
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%s\n", orNotWeighed(why), says(why), e.Rejected, e.Quarantined, samples(e.Samples))
	}
	table.Flush()
}

// evidences are those that were found, in the order of the policy.
func (r *readiness) evidences() []policy.Evidence {
	var found []policy.Evidence
	for _, why := range append(policy.Evidences(), policy.NotWeighed) {
		if r.evidence[why] != nil {
			found = append(found, why)
		}
	}
	return found
}

func orNotWeighed(e policy.Evidence) string { return cmp.Or(string(e), "not_weighed") }

// says is what evidence says of a message.
func says(e policy.Evidence) string {
	switch {
	case survey.Genuine(e):
		return "genuine"
	case survey.Forged(e):
		return "forged"
	}
	return "-"
}

// sourcesText shows the sources that a test holds for.
func (r *readiness) sourcesText(out io.Writer, title string, is func(survey.Source, *traffic) bool, limit int) {
	list, messages := r.sorted(is)
	if len(list) == 0 {
		return
	}
	heading(out, fmt.Sprintf("%s (messages: %d, sources: %d)", title, messages, len(list)))
	for _, k := range list[:min(limit, len(list))] {
		r.sourceText(out, k.key, &k.entry.value)
	}
	if more := len(list) - limit; more > 0 {
		fmt.Fprintf(out, "... and %d more\n", more)
	}
}

func (r *readiness) sourceText(out io.Writer, s survey.Source, t *traffic) {
	const day = "2006-01-02"
	fmt.Fprintf(out, "%s: %d refused, %d quarantined, %s to %s\n",
		s, t.Rejected, t.Quarantined, t.first.UTC().Format(day), t.last.UTC().Format(day))
	fmt.Fprintf(out, "    authors %s; recipients %s\n", names(t.authors), names(t.recipients))
	if shown := t.traces(r.tracesOf(s)); shown != "" {
		fmt.Fprintf(out, "    %s\n", shown)
	}
	switch p := r.proposals[s]; {
	case p != nil:
		fmt.Fprintf(out, "    %s\n    %s\n", p.Command, p.Says)
	case len(t.Samples) > 0:
		fmt.Fprintf(out, "    for example %s\n", samples(t.Samples))
	}
}

// traces says what the messages show of having been passed on.
func (t *traffic) traces(shown *survey.Traces) string {
	var parts []string
	if len(shown.Signed.List) > 0 {
		parts = append(parts, "also brought signed mail of "+names(shown.Signed))
	}
	for _, p := range []struct {
		n    int64
		what string
	}{{t.known, "of known organizations"}, {shown.BodyChanged, "with only the body changed"}, {t.arc, "with an ARC chain"}, {t.list, "with list fields"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	return strings.Join(parts, ", ")
}

// names shows the first of some names, and how many more there are.
func names(f survey.Few) string {
	if len(f.List) == 0 {
		return "none"
	}
	shown := f.List[:min(maxListed, len(f.List))]
	list := make([]string, len(shown))
	for i, n := range shown {
		list[i] = term.Bounded(cmp.Or(n, "(none)"), maxName)
	}
	text := strings.Join(list, ", ")
	switch more := len(f.List) - len(shown); {
	case f.More:
		text += fmt.Sprintf(" and at least %d more", more+1)
	case more > 0:
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
