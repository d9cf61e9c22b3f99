package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"dmarcgate/policy"
)

// sorted returns the sources that a test holds for, the largest first, and how
// many messages they brought.
func (r *readiness) sorted(is func(source, *traffic) bool) (list []ranked[source, traffic], messages int64) {
	for _, k := range r.sources.sorted(func(a, b ranked[source, traffic]) int {
		return cmp.Or(cmp.Compare(a.key.Kind, b.key.Kind), cmp.Compare(a.key.Name, b.key.Name))
	}) {
		if is(k.key, &k.entry.value) {
			list, messages = append(list, k), messages+k.entry.n
		}
	}
	return list, messages
}

func unclear(s source, t *traffic) bool { return !s.forwards(t) && !s.direct(t) }

// readinessText says what has to be done before the profile is used.
func (r *whatIfReport) readinessText(out io.Writer) {
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
	ready.sourcesText(out, "forwarders that need a rule first", source.forwards, r.limit, true)
	ready.sourcesText(out, "direct senders that fail, for their owner to mend", source.direct, r.limit, false)
	ready.sourcesText(out, "neither", unclear, r.limit, false)
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
	case slices.Contains(genuine, e):
		return "genuine"
	case slices.Contains(forged, e):
		return "forged"
	}
	return "-"
}

// sourcesText shows the sources that a test holds for.
func (r *readiness) sourcesText(out io.Writer, title string, is func(source, *traffic) bool, limit int, withRule bool) {
	list, messages := r.sorted(is)
	if len(list) == 0 {
		return
	}
	heading(out, fmt.Sprintf("%s (messages: %d, sources: %d)", title, messages, len(list)))
	for _, k := range list[:min(limit, len(list))] {
		k.key.text(out, &k.entry.value, withRule)
	}
	if more := len(list) - limit; more > 0 {
		fmt.Fprintf(out, "... and %d more\n", more)
	}
}

func (s source) text(out io.Writer, t *traffic, withRule bool) {
	const day = "2006-01-02"
	fmt.Fprintf(out, "%s: %d refused, %d quarantined, %s to %s\n",
		s, t.Rejected, t.Quarantined, t.first.UTC().Format(day), t.last.UTC().Format(day))
	fmt.Fprintf(out, "    authors %s; recipients %s\n", t.authors.text(), t.recipients.text())
	if traces := t.traces(); traces != "" {
		fmt.Fprintf(out, "    %s\n", traces)
	}
	id := ""
	if len(t.Samples) > 0 {
		id = t.Samples[0]
	}
	switch {
	case id == "":
	case withRule:
		fmt.Fprintf(out, "    dmarcgate rules add --from-qid %s\n", shellWord(id))
	default:
		fmt.Fprintf(out, "    for example %s\n", samples(t.Samples))
	}
}

// String says who it is, and how that is known.
func (s source) String() string {
	kinds := map[string]string{byDKIM: "DKIM d=", bySPF: "SPF ", byName: "host of ", byNetwork: "network "}
	return kinds[s.Kind] + bounded(s.Name, 2*maxName)
}

// traces are what the messages show of having been passed on.
func (t *traffic) traces() string {
	var parts []string
	for _, p := range []struct {
		n    int64
		what string
	}{{t.known, "of known organizations"}, {t.bodyChanged, "with only the body changed"}, {t.arc, "with an ARC chain"}, {t.list, "with list fields"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	return strings.Join(parts, ", ")
}

func (f few) text() string {
	if len(f.list) == 0 {
		return "none"
	}
	shown := f.list[:min(maxListed, len(f.list))]
	names := make([]string, len(shown))
	for i, n := range shown {
		names[i] = bounded(cmp.Or(n, "(none)"), maxName)
	}
	text := strings.Join(names, ", ")
	switch more := len(f.list) - len(shown); {
	case f.more:
		text += fmt.Sprintf(" and at least %d more", more+1)
	case more > 0:
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// shellWord quotes what is not a plain word: queue ids come from the MTA, and
// the line is there to be copied.
func shellWord(s string) string {
	if s = printable(s); plainWord.MatchString(s) && s[0] != '-' {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
