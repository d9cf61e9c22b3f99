package main

import (
	"context"

	"dmarcgate/auth/dmarc"
	"dmarcgate/results"
	"dmarcgate/site"
	"dmarcgate/term"
)

// propose makes a rule for each source that looks like a forwarder and is shown,
// and says how much of what fails from it the rule is about.
func (r *readiness) propose(ctx context.Context, store site.Store, book *ruleBook, span results.Span, limit int) error {
	list, _ := r.sorted(r.forwards)
	list = list[:min(limit, len(list))]
	if len(list) == 0 {
		return nil
	}
	sources := make([]source, len(list))
	for i, k := range list {
		sources[i] = k.key
	}
	s := newSurvey(store, span, dmarc.PublicSuffix(), sources...)
	if err := s.look(ctx); err != nil {
		return err
	}
	rules := make(map[source][]*added)
	commands := make(map[source]string)
	for _, k := range list {
		if len(k.entry.value.Samples) == 0 {
			continue
		}
		w := wishes{qid: k.entry.value.Samples[0], owner: "postmaster@" + site.Name(book.cfg), days: 1, anyAuthor: len(s.of[k.key].authors.list) > 1}
		rows, err := site.ByQueueID(ctx, store, book.cfg, w.qid)
		if err != nil {
			return err
		}
		found, err := book.proposals(rows, w, s.of[k.key])
		if err != nil {
			continue // nothing ties it to its sender
		}
		if !w.anyAuthor {
			found = found[:1]
		}
		rules[k.key], commands[k.key] = found, "dmarcgate rules add --from-qid "+term.ShellWord(w.qid)
		if w.anyAuthor {
			commands[k.key] += " --any-author"
		}
	}
	if err := s.measure(ctx, rules); err != nil {
		return err
	}
	r.proposals = make(map[source]*ruleProposal)
	for src, found := range rules {
		a := widest(found)
		r.proposals[src] = &ruleProposal{Command: commands[src], Says: s.coverage(a), Covers: a.Covers, Failed: a.Failed}
	}
	return nil
}
