package rules

import (
	"context"

	"dmarcgate/auth/dmarc"
	"dmarcgate/results"
	"dmarcgate/site"
	"dmarcgate/survey"
	"dmarcgate/term"
)

// ProposeForForwarders makes a rule for each source, from its message, and says
// how much of what fails from the source the rule is about. A source that nothing
// ties to its messages gets none.
func ProposeForForwarders(ctx context.Context, in site.Site, store site.Store, span results.Span, examples []survey.Example) (map[survey.Source]*survey.Proposal, error) {
	b := &book{cfg: in.Config, dir: in.Config.RulesDir, opts: site.RuleOptions(in.Config), set: in.RuleSet}
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
		w := Wishes{QueueID: e.QueueID, Owner: "postmaster@" + site.Name(b.cfg), Days: 1, AnyAuthor: len(s.Of(e.Source).Authors.List) > 1}
		rows, err := site.ByQueueID(ctx, store, b.cfg, w.QueueID)
		if err != nil {
			return nil, err
		}
		found, err := b.proposals(rows, w, s.Of(e.Source))
		if err != nil {
			continue // nothing ties it to its sender
		}
		if !w.AnyAuthor {
			found = found[:1]
		}
		rules[e.Source], commands[e.Source] = found, "dmarcgate rules add --from-qid "+term.ShellWord(w.QueueID)
		if w.AnyAuthor {
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
