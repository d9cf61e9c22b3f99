package lint

import (
	"slices"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
)

// spoof is a message that a third party sends in the name of an author domain.
type spoof struct {
	policy.Given
	effort effort
	used   []way // what had to be arranged
}

// Limits of the attack on one rule, ours: the first ways of each part reach every
// answer that a rule written by hand can give.
const (
	maxSpoofs = 24 // messages built for one match
	maxDodges = 12 // of each rule that stands before it
)

// spoofs returns messages that are as m asks, the cheapest first, at most the number
// most. None tells that no message can be so.
func (a *attack) spoofs(m *asked, at time.Time, most int) []spoof {
	ways := make([][]way, len(parts))
	for i, p := range parts {
		if ways[i] = p.ways(m, at); len(ways[i]) == 0 {
			return nil
		}
		if a.off(p.ability) {
			ways[i] = nothing
		}
		ways[i] = varied(ways[i])
	}
	choice := make([]int, len(ways))
	found := []spoof{build(ways, choice)}
	for i := range ways { // each part on its own in every way, the others as they are cheapest
		for n := 1; n < len(ways[i]) && len(found) < maxSpoofs; n++ {
			choice[i] = n
			found = append(found, build(ways, choice))
		}
		choice[i] = 0
	}
	slices.SortStableFunc(found, func(a, b spoof) int { return int(a.effort) - int(b.effort) })
	return found[:min(len(found), most)]
}

// varied returns at most maxWays of the ways, some of each effort.
func varied(ways []way) []way {
	if len(ways) <= maxWays {
		return ways
	}
	count := map[effort]int{}
	return slices.DeleteFunc(ways, func(w way) bool { count[w.effort]++; return count[w.effort] > maxWays/2 })
}

// build makes a message of one way of each part.
func build(ways [][]way, choice []int) (s spoof) {
	for i, list := range ways {
		w := list[choice[i]]
		s.effort = max(s.effort, w.effort)
		if w.by != "" {
			s.used = append(s.used, w)
		}
		if w.set != nil {
			w.set(&s.Given)
		}
	}
	return s
}

// by returns in words what had to be arranged.
func (s *spoof) by() (list []string) {
	for _, w := range s.used {
		list = append(list, w.by)
	}
	return list
}

// owners returns what one party each had to arrange.
func (s *spoof) owners() []way {
	return slices.DeleteFunc(slices.Clone(s.used), func(w way) bool { return w.owner == "" })
}

// wide reports whether every party of them is one of many.
func (s *spoof) wide() bool {
	owners := s.owners()
	return len(owners) > 0 && !slices.ContainsFunc(owners, func(w way) bool { return !w.wide })
}

// ownAffair: an owner that lets in mail in its own name opens nothing.
func (s *spoof) ownAffair() bool {
	owners := s.owners()
	return s.effort == party && len(s.Author) > 0 && len(owners) > 0 && !slices.ContainsFunc(s.Author, func(author string) bool {
		return slices.ContainsFunc(owners, func(w way) bool { return !dmarc.Related(author, w.owner) })
	})
}

// plain is the same message with nothing arranged but what p has.
func (s *spoof) plain(p *policy.Given) policy.Given {
	g := s.Given
	g.Client, g.Name, g.Helo, g.MailFrom, g.NullPath, g.SPF = p.Client, p.Name, p.Helo, p.MailFrom, p.NullPath, p.SPF
	g.DKIM, g.ARC, g.ListID, g.ListHeaders, g.Automatic = p.DKIM, p.ARC, p.ListID, p.ListHeaders, p.Automatic
	return g
}
