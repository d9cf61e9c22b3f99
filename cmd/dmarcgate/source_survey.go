package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/term"
)

// surveyDays is how far rules add looks back at a source.
const surveyDays = 7

// maxSeen is how many hosts, and how many domains of recipients, of a source go into
// a rule for all of it: our limit. A rule with more is one to write by hand.
const maxSeen = 20

// survey looks at what some sources have brought.
type survey struct {
	store    scanner
	span     results.Span
	suffixes dmarc.Suffixes
	of       map[source]*sighting
}

// sighting is what a source has brought.
type sighting struct {
	traces
	failed int64 // messages that a rule could be about
	// Of those:
	authors, recipients, names, addresses few
	requested                             []string // quarantine and reject, as far as they were asked for
}

// newSurvey is a survey of sources.
func newSurvey(store scanner, span results.Span, suffixes dmarc.Suffixes, sources ...source) *survey {
	s := &survey{store: store, span: span, suffixes: suffixes, of: make(map[source]*sighting)}
	for _, src := range sources {
		all := few{most: maxSeen}
		s.of[src] = &sighting{authors: all, recipients: all, names: all, addresses: all}
	}
	return s
}

// each calls f with the messages of the sources.
func (s *survey) each(ctx context.Context, f func(*sighting, source, *results.Row)) error {
	return s.store.Scan(ctx, s.span, func(row results.Row) error {
		if row.State == results.Imported || row.Facts.Skip != policy.Evaluated || len(row.Facts.Authors) == 0 {
			return ctx.Err()
		}
		src := sourceOf(&row.Facts, s.suffixes)
		if seen := s.of[src]; seen != nil {
			f(seen, src, &row)
		}
		return ctx.Err()
	})
}

// look takes down what the sources brought.
func (s *survey) look(ctx context.Context) error {
	return s.each(ctx, func(seen *sighting, src source, row *results.Row) {
		seen.traces.add(src, &row.Facts, s.suffixes)
		if failing, err := needsRule(row); err == nil {
			seen.add(&row.Facts, failing)
		}
	})
}

func (s *sighting) add(f *policy.Facts, failing []policy.Author) {
	s.failed++
	for _, a := range failing {
		s.authors.add(a.Domain)
		if asked := a.Verdict.Policy.String(); !slices.Contains(s.requested, asked) {
			s.requested = append(s.requested, asked)
			slices.Sort(s.requested)
		}
	}
	for _, d := range f.Recipients {
		s.recipients.add(d)
	}
	if f.ClientName != "" {
		s.names.add(f.ClientName)
	}
	if c := f.Client.Unmap().WithZone(""); c.IsValid() && f.Lacking()&policy.LackClient == 0 {
		s.addresses.add(c.String())
	}
}

// measure counts, of the failed messages of each source, those that its rules
// would accept.
func (s *survey) measure(ctx context.Context, rules map[source][]*added) error {
	trials := make(map[source][]policy.Settings)
	for src, list := range rules {
		for _, a := range list {
			r := a.rule
			r.Mode, r.Expires = policy.Enforce, time.Time{}
			set, err := policy.NewRules([]policy.Rule{r})
			if err != nil {
				return err
			}
			a.Failed = s.of[src].failed
			trials[src] = append(trials[src], policy.Settings{Profile: policy.Strict, Quarantine: policy.Tag, Rules: set})
		}
	}
	return s.each(ctx, func(_ *sighting, src source, row *results.Row) {
		if _, err := needsRule(row); err != nil {
			return
		}
		for i, set := range trials[src] {
			if d, sure := set.Again(row.Facts); sure && d.Rule != "" && d.Action == policy.Accept {
				rules[src][i].Covers++
			}
		}
	})
}

// period says how long a survey looks back.
func (s *survey) period() string {
	const day = 24 * time.Hour
	switch length := s.span.To.Sub(s.span.From); {
	case length == day:
		return "1 day"
	case length > 0 && length%day == 0:
		return fmt.Sprintf("%d days", length/day)
	}
	return "the time from " + term.Stamp(s.span.From) + " to " + term.Stamp(s.span.To)
}

// coverage says how much of what fails a rule is about.
func (s *survey) coverage(a *added) string {
	return fmt.Sprintf("covers %d of the %d messages that failed from this source in %s", a.Covers, a.Failed, s.period())
}

// widest is the rule that covers most; of equals the first.
func widest(list []*added) *added {
	best := list[0]
	for _, a := range list[1:] {
		if a.Covers > best.Covers {
			best = a
		}
	}
	return best
}

// comment puts a comment before a proposed rule.
func (a *added) comment(text string) {
	a.TOML = strings.Replace(a.TOML, "[[rule]]\n", "# "+text+"\n[[rule]]\n", 1)
}
