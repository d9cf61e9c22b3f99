package rules

import (
	"context"
	"strings"

	"dmarcgate/policy"
	"dmarcgate/survey"
)

// measure counts, of the failed messages of each source, those that its rules
// would accept.
func measure(ctx context.Context, s *survey.Survey, rules map[survey.Source][]*added) error {
	tried := make(map[survey.Source][]policy.Rule)
	for src, list := range rules {
		for _, a := range list {
			tried[src] = append(tried[src], a.rule)
		}
	}
	covers, err := s.Measure(ctx, tried)
	for src, list := range covers {
		for i, n := range list {
			rules[src][i].Covers, rules[src][i].Failed = n, s.Of(src).Failed
		}
	}
	return err
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
