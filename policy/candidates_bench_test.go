package policy

import (
	"fmt"
	"net/netip"
	"testing"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy/pattern"
)

// shapes are kinds of large rule sets: the match of the nth rule. The first
// matching rules of each match the message of benchmarks, and no other does.
var shapes = []struct {
	name  string
	match func(n int, matching bool) Match
}{
	{"client", func(n int, matching bool) Match {
		if matching {
			return Match{Client: relay}
		}
		return Match{Client: []pattern.Network{pattern.NetworkOf(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 0}), 22+n%11).Masked())}}
	}},
	{"dkim_pass", func(n int, matching bool) Match {
		if matching {
			return Match{DKIMPass: pats("list.example")}
		}
		return Match{DKIMPass: pats(fmt.Sprintf("d%d.example", n))}
	}},
	{"author", func(n int, matching bool) Match {
		if matching {
			return Match{Author: pats("bank.example")}
		}
		return Match{Author: pats(fmt.Sprintf("org:d%d.example", n))}
	}},
	{"suffixes", func(n int, matching bool) Match {
		if matching {
			return Match{SPFPass: pats(".relay.example")}
		}
		return Match{SPFPass: pats(fmt.Sprintf(".d%d.example", n))}
	}},
	{"rcpt_domain common to all", func(n int, matching bool) Match {
		m := Match{RcptDomain: pats("a.example", "b.example"), Listener: []string{"mta"}, Result: []string{"fail"}}
		if matching {
			m.DKIMPass, m.Client = pats("list.example"), relay
		} else {
			m.DKIMPass, m.Client = pats(fmt.Sprintf("d%d.example", n)), nets("0.0.0.0/1")
		}
		return m
	}},
}

// many are rules of which some match the message of benchmarks if it is from
// 192.0.2.1.
func many(tb testing.TB, n, matching int, match func(int, bool) Match) Rules {
	tb.Helper()
	rules := make([]Rule, n)
	for i := range rules {
		rules[i] = good()
		rules[i].ID, rules[i].Action, rules[i].Match = fmt.Sprintf("r-%d", i), RuleReject, match(i, i < matching)
		if i%2 == 1 {
			rules[i].Mode = Shadow
		}
	}
	rs, err := NewRules(rules)
	if err != nil {
		tb.Fatal(err)
	}
	return rs
}

func benchmarked(matches bool) Facts {
	f := relayed(fails(dmarc.Reject))
	f.SPF.Domain = "mx.relay.example"
	if !matches {
		f.Client, f.DKIM, f.SPF = netip.MustParseAddr("198.51.100.1"), nil, SPF{}
		f.Authors[0].Domain, f.Authors[0].Org = "other.example", "other.example"
	}
	return f
}

// The cost of a decision grows with the rules that could match: "20" and
// "10000 of which 20 match" are to be alike.
func BenchmarkRules(b *testing.B) {
	for _, shape := range shapes {
		for _, n := range []int{20, MaxRules} {
			rs := many(b, n, 20, shape.match)
			s := Settings{Profile: Strict, EnforceShare: 100, Quarantine: Tag, Rules: rs}
			for _, matches := range []bool{true, false} {
				f := benchmarked(matches)
				if got := len(s.Decide(f).Shadow); (got == 10) != matches {
					b.Fatalf("%s: %d rules watch; want 10 if %v", shape.name, got, matches)
				}
				b.Run(fmt.Sprintf("%s/matches=%v/of=%d", shape.name, matches, n), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						s.Decide(f)
					}
				})
			}
		}
	}
}

func BenchmarkNewRules(b *testing.B) {
	for _, shape := range shapes {
		rules := many(b, MaxRules, 20, shape.match).List()
		b.Run(shape.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := NewRules(rules); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
