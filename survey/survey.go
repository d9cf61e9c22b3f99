package survey

import (
	"context"
	"fmt"
	"slices"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/policy/replay"
	"dmarcgate/results"
	"dmarcgate/term"
)

// Days is how far rules add looks back at a source.
const Days = 7

// maxSeen is how many hosts, and how many domains of recipients, of a source go into
// a rule for all of it: our limit. A rule with more is one to write by hand.
const maxSeen = 20

// Scanner is what a survey needs of a store: f is called with each row of a span,
// and ends the scan with an error.
type Scanner interface {
	Scan(ctx context.Context, span results.Span, f func(results.Row) error) error
}

// Survey looks at what some sources have brought.
type Survey struct {
	store    Scanner
	span     results.Span
	suffixes dmarc.Suffixes
	of       map[Source]*Sighting
}

// Sighting is what a source has brought.
type Sighting struct {
	Traces
	Failed int64 // messages that a rule could be about
	// Of those:
	Authors, Recipients, Names, Addresses Few
	Requested                             []string // quarantine and reject, as far as they were asked for
}

// New is a survey of sources, over the rows of a span.
func New(store Scanner, span results.Span, suffixes dmarc.Suffixes, sources ...Source) *Survey {
	s := &Survey{store: store, span: span, suffixes: suffixes, of: make(map[Source]*Sighting)}
	for _, src := range sources {
		all := Few{most: maxSeen}
		s.of[src] = &Sighting{Authors: all, Recipients: all, Names: all, Addresses: all}
	}
	return s
}

// Of returns what a source of the survey has brought, empty before Look.
func (s *Survey) Of(src Source) *Sighting { return s.of[src] }

// each calls f with the messages of the sources.
func (s *Survey) each(ctx context.Context, f func(*Sighting, Source, *results.Row)) error {
	return s.store.Scan(ctx, s.span, func(row results.Row) error {
		if row.State == results.Imported || row.Facts.Skip != policy.Evaluated || len(row.Facts.Authors) == 0 {
			return ctx.Err()
		}
		src := SourceOf(&row.Facts, s.suffixes)
		if seen := s.of[src]; seen != nil {
			f(seen, src, &row)
		}
		return ctx.Err()
	})
}

// Look records what the sources brought. The error is that of the store, or
// of ctx.
func (s *Survey) Look(ctx context.Context) error {
	return s.each(ctx, func(seen *Sighting, src Source, row *results.Row) {
		seen.Traces.Add(src, &row.Facts, s.suffixes)
		if failing, err := NeedsRule(row); err == nil {
			seen.add(&row.Facts, failing)
		}
	})
}

func (s *Sighting) add(f *policy.Facts, failing []policy.Author) {
	s.Failed++
	for _, a := range failing {
		s.Authors.Add(a.Domain)
		if asked := a.Verdict.Policy.String(); !slices.Contains(s.Requested, asked) {
			s.Requested = append(s.Requested, asked)
			slices.Sort(s.Requested)
		}
	}
	for _, d := range f.Recipients {
		s.Recipients.Add(d)
	}
	if f.ClientName != "" {
		s.Names.Add(f.ClientName)
	}
	if c := f.Client.Unmap().WithZone(""); c.IsValid() && f.AllMissing()&policy.MissingClient == 0 {
		s.Addresses.Add(c.String())
	}
}

// Measure counts, for each rule of each source, how many of the failed messages
// of the source it would accept. It comes after Look. The error is that of a
// rule, of the store, or of ctx.
func (s *Survey) Measure(ctx context.Context, rules map[Source][]policy.Rule) (map[Source][]int64, error) {
	trials := make(map[Source][]policy.Settings)
	covers := make(map[Source][]int64)
	for src, list := range rules {
		for _, r := range list {
			r.Mode, r.Expires = policy.Enforce, time.Time{}
			set, err := policy.NewRules([]policy.Rule{r})
			if err != nil {
				return nil, err
			}
			trials[src] = append(trials[src], policy.Settings{Profile: policy.Strict, EnforceShare: 100, Quarantine: policy.Tag, Rules: set})
		}
		covers[src] = make([]int64, len(list))
	}
	return covers, s.each(ctx, func(_ *Sighting, src Source, row *results.Row) {
		if _, err := NeedsRule(row); err != nil {
			return
		}
		for i, set := range trials[src] {
			if d, sure := replay.Again(set, row.Facts); sure && d.Rule != "" && d.Action == policy.Accept {
				covers[src][i]++
			}
		}
	})
}

// period says how long a survey looks back.
func (s *Survey) period() string {
	const day = 24 * time.Hour
	switch length := s.span.To.Sub(s.span.From); {
	case length == day:
		return "1 day"
	case length > 0 && length%day == 0:
		return fmt.Sprintf("%d days", length/day)
	}
	return "the time from " + term.Stamp(s.span.From) + " to " + term.Stamp(s.span.To)
}

// Coverage says how much of what fails from a source a rule is about that covers
// so many messages.
func (s *Survey) Coverage(src Source, covers int64) string {
	return fmt.Sprintf("covers %d of the %d messages that failed from this source in %s", covers, s.of[src].Failed, s.period())
}
