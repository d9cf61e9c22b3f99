package main

import (
	"context"

	"dmarcgate/auth/dmarc"
	"dmarcgate/results"
	"dmarcgate/site"
	"dmarcgate/survey"
	"dmarcgate/term"
)

// proposeForForwarders makes a rule for each source, from its message, and says
// how much of what fails from the source the rule is about. A source that nothing
// ties to its messages gets none.
func proposeForForwarders(ctx context.Context, in site.Site, store site.Store, span results.Span, examples []survey.Example) (map[survey.Source]*survey.Proposal, error) {
	book := &ruleBook{cfg: in.Config, dir: in.Config.RulesDir, opts: site.RuleOptions(in.Config), set: in.RuleSet}
	var sources []survey.Source
	for _, e := range examples {
		sources = append(sources, e.Source)
	}
	s := survey.New(store, span, dmarc.PublicSuffix(), sources...)
	if err := s.Look(ctx); err != nil {
		return nil, err
	}
	rules := make(map[survey.Source][]*added)
	commands := make(map[survey.Source]string)
	for _, e := range examples {
		w := wishes{qid: e.QueueID, owner: "postmaster@" + site.Name(book.cfg), days: 1, anyAuthor: len(s.Of(e.Source).Authors.List) > 1}
		rows, err := site.ByQueueID(ctx, store, book.cfg, w.qid)
		if err != nil {
			return nil, err
		}
		found, err := book.proposals(rows, w, s.Of(e.Source))
		if err != nil {
			continue // nothing ties it to its sender
		}
		if !w.anyAuthor {
			found = found[:1]
		}
		rules[e.Source], commands[e.Source] = found, "dmarcgate rules add --from-qid "+term.ShellWord(w.qid)
		if w.anyAuthor {
			commands[e.Source] += " --any-author"
		}
	}
	if err := measure(ctx, s, rules); err != nil {
		return nil, err
	}
	proposals := make(map[survey.Source]*survey.Proposal)
	for src, found := range rules {
		a := widest(found)
		proposals[src] = &survey.Proposal{Command: commands[src], Says: s.Coverage(src, a.Covers), Covers: a.Covers, Failed: a.Failed}
	}
	return proposals, nil
}
