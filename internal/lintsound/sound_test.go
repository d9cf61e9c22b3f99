package lintsound

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"dmarcgate/internal/scale"
	"dmarcgate/policy"
	"dmarcgate/policy/lint"
	"dmarcgate/policy/ruletest"
)

// seed of the generated sets.
func seed() uint64 {
	n, _ := strconv.ParseUint(os.Getenv("LINTSOUND_SEED"), 10, 64)
	return n
}

// gains are what lint says of gains of third parties.
var gains = []string{
	policy.CodeOpensAnybody, policy.CodeOpensAccount, policy.CodeOpensCustomer, policy.CodeAvoided, policy.CodeHidesReports, policy.CodeConflict,
}

// said is the highest level of what lint says about gains of third parties, or of
// what keeps the rules from being loaded; policy.Remark for nothing.
func said(rules []policy.Rule, without ...string) policy.Level {
	return saidAt(today, rules, without...)
}

// saidAt is said at another time.
func saidAt(now time.Time, rules []policy.Rule, without ...string) policy.Level {
	level := policy.Remark
	for _, f := range lint.Rules(rules, lint.Options{Now: now, Listeners: []string{"mx", "out"}, ReportsOf: "rfc9990", Without: without}) {
		if f.Level == policy.Error || slices.Contains(gains, f.Code) {
			level = max(level, f.Level)
		}
	}
	return level
}

// gap is a message that gains something by rules of which lint says too little.
type gap struct {
	rules []policy.Rule
	given policy.Given
	by    effort
	kind  string // "opens", "avoids" or "unreported"
	want  policy.Level
	got   policy.Level
	plain policy.Decision
	does  policy.Decision
}

func (g *gap) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s by %v: the plain message gets %s (rule %q, unreported %q), this one %s (rule %q, unreported %q); lint says %s; want %s\n", g.kind, g.by,
		g.plain.Action, g.plain.Rule, g.plain.Unreported, g.does.Action, g.does.Rule, g.does.Unreported, levels[g.got], levels[g.want])
	given, _ := json.Marshal(trimmed(g.given))
	fmt.Fprintf(&b, "  message %s\n", given)
	for _, r := range g.rules {
		match, _ := json.Marshal(r.Match)
		fmt.Fprintf(&b, "  rule %s %v %v priority %d sample %d expires %s: %s\n", r.ID, r.Mode, r.Action, r.Priority, r.Sample, r.Expires.Format("2006-01-02"), match)
	}
	return b.String()
}

// trimmed is the facts that are not zero.
func trimmed(g policy.Given) map[string]any {
	out := make(map[string]any)
	v := reflect.ValueOf(g)
	for i := range v.NumField() {
		if !v.Field(i).IsZero() {
			out[v.Type().Field(i).Name] = v.Field(i).Interface()
		}
	}
	return out
}

var levels = map[policy.Level]string{policy.Remark: "nothing", policy.Warning: "a warning", policy.Error: "an error"}

// judge decides about messages under a set of rules, and under what is left when
// some of them are taken away.
type judge struct {
	rules []policy.Rule
	sets  map[uint]policy.Rules
}

func newJudge(rules []policy.Rule) *judge { return &judge{rules, make(map[uint]policy.Rules)} }

// decide decides under the rules that are in the set of bits.
func (j *judge) decide(bits uint, profile policy.Profile, f *policy.Facts) policy.Decision {
	set, ok := j.sets[bits]
	if !ok {
		var some []policy.Rule
		for i, r := range j.rules {
			if bits&(1<<i) != 0 {
				some = append(some, r)
			}
		}
		var err error
		if set, err = policy.NewRules(some); err != nil {
			panic(err) // the generator makes rules without faults
		}
		j.sets[bits] = set
	}
	return ruletest.Settings(policy.Given{Profile: profile}, set).Decide(*f)
}

// sampled: who sends again is spared by a rule with a sample.
func (j *judge) sampled(id string) bool {
	return slices.ContainsFunc(j.rules, func(r policy.Rule) bool { return r.ID == id && r.Sample > 0 })
}

// opened reports whether one of the rules that match makes the answer milder than
// it would be without it.
func (j *judge) opened(profile policy.Profile, f *policy.Facts, d policy.Decision) bool {
	bits, next := uint(1)<<len(j.rules)-1, d
	for next.Rule != "" {
		bits &^= 1 << slices.IndexFunc(j.rules, func(r policy.Rule) bool { return r.ID == next.Rule })
		if next = j.decide(bits, profile, f); next.Action > d.Action && !j.sampled(next.Rule) {
			return true
		}
	}
	return false
}

// gained is what the message gains beside the plain one of its class, and how loud
// lint must be; "" is nothing. alike decides about the plain message that is like it,
// see arranged.alike.
func (j *judge) gained(c *class, a arranged, nothing func() policy.Facts, f *policy.Facts, alike func() policy.Action) (g gap) {
	all := uint(1)<<len(j.rules) - 1
	is := j.decide(all, c.profile, f)
	if is.Action == policy.Reject && is.Unreported == "" {
		return g // nothing is stricter
	}
	plain := nothing()
	was := j.decide(all, c.profile, &plain)
	g = gap{rules: j.rules, by: max(a.by, c.passed.who), plain: was, does: is, want: policy.Warning}
	base := j.decide(0, c.profile, &plain).Action
	switch {
	case is.Unreported != "" && was.Unreported == "":
		g.kind = "unreported"
	case is.Action >= max(was.Action, base):
		return g
	case j.opened(c.profile, f, is):
		g.kind = "opens"
	case was.Action > base && alike() > is.Action:
		g.kind = "avoids"
	}
	if g.by == anybody && g.kind != "avoids" && !(g.kind == "unreported" && j.namesAuthors(is.Unreported)) {
		g.want = policy.Error
	}
	return g
}

// namesAuthors reports whether a rule says whose mail it is about: who names
// authors may leave all their mail out of reports.
func (j *judge) namesAuthors(id string) bool {
	return slices.ContainsFunc(j.rules, func(r policy.Rule) bool {
		return r.ID == id && (r.Match.Author != nil || r.Match.PolicyDomain != nil)
	})
}

// find returns a message that gains more by rules than lint says, if there is one.
func find(m *messages, rules []policy.Rule, r *rand.Rand, limit int) (found gap, tried int) {
	level := said(rules)
	if level == policy.Error {
		return gap{}, 0
	}
	return search(m, rules, r, limit, level)
}

func search(m *messages, rules []policy.Rule, r *rand.Rand, limit int, level policy.Level) (found gap, tried int) {
	j := newJudge(rules)
	w := worldOf(rules)
	nothing := w.plain()
	w.each(r, limit, func(c class, a arranged) bool {
		f := m.facts(c, a)
		if !spoof(&c, &f) {
			return true
		}
		tried++
		g := j.gained(&c, a, func() policy.Facts { return without(m.facts(c, nothing), &f) }, &f, func() policy.Action {
			alike := without(m.facts(c, a.alike(&c, nothing)), &f)
			return j.decide(1<<len(rules)-1, c.profile, &alike).Action
		})
		if g.kind == "" || g.want <= level {
			return true
		}
		g.got, g.given = level, c.given(a)
		found = g
		return false
	})
	return found, tried
}

// shrink takes rules and keys away as long as there is a gap.
func shrink(m *messages, g gap, limit int) gap {
	again := func(rules []policy.Rule) bool {
		if slices.ContainsFunc(rules, func(r policy.Rule) bool { return len(r.Faults()) > 0 }) {
			return false
		}
		if next, _ := find(m, rules, rand.New(rand.NewPCG(1, 1)), limit); next.kind == g.kind && next.by <= g.by {
			g = next
			return true
		}
		return false
	}
	for smaller := true; smaller; {
		smaller = false
		for i := range g.rules {
			if smaller = again(slices.Delete(slices.Clone(g.rules), i, i+1)); smaller {
				break
			}
		}
		for i := 0; i < len(g.rules) && !smaller; i++ {
			for _, less := range fewer(g.rules[i]) {
				rules := slices.Clone(g.rules)
				rules[i] = less
				if smaller = again(rules); smaller {
					break
				}
			}
		}
	}
	return g
}

// fewer are r without one of its keys, each.
func fewer(r policy.Rule) []policy.Rule {
	var out []policy.Rule
	for _, not := range []bool{false, true} {
		n := reflect.TypeOf(r.Match).NumField()
		if not {
			n = reflect.TypeOf(r.Match.Not).NumField()
		}
		for i := range n {
			less := r
			v := reflect.ValueOf(&less.Match).Elem()
			if not {
				v = reflect.ValueOf(&less.Match.Not).Elem()
			}
			if k := v.Field(i).Kind(); (k == reflect.Slice || k == reflect.Pointer) && !v.Field(i).IsNil() {
				v.Field(i).SetZero()
				out = append(out, less)
			}
			if k := v.Field(i); k.Kind() == reflect.Slice && less.Match.Keys() != nil && !reflect.ValueOf(r).IsZero() {
				old := reflect.ValueOf(&r.Match).Elem()
				if not {
					old = reflect.ValueOf(&r.Match.Not).Elem()
				}
				if list := old.Field(i); list.Len() > 1 {
					one := r
					to := reflect.ValueOf(&one.Match).Elem()
					if not {
						to = reflect.ValueOf(&one.Match.Not).Elem()
					}
					to.Field(i).Set(list.Slice3(0, 1, 1))
					out = append(out, one)
				}
			}
		}
	}
	if !r.Expires.IsZero() {
		less := r
		less.Expires = today.AddDate(0, 3, 0)
		if !less.Expires.Equal(r.Expires) {
			out = append(out, less)
		}
	}
	if r.Sample > 0 {
		less := r
		less.Sample = 0
		out = append(out, less)
	}
	return out
}

// setsAtOnce is how many sets are tried at scale 1; fifty times as many are
// 200,000.
const setsAtOnce = 4000

// messagesOfSet is how many messages are tried on a set, at most.
const messagesOfSet = 1000

func TestRulesSaysWhatThirdPartiesGain(t *testing.T) {
	n := setsAtOnce * scale.Of(t)
	defer debug.SetGCPercent(debug.SetGCPercent(200)) // what is kept of messages is scanned over and over
	var mu sync.Mutex
	var gaps []gap
	quiet, tried, confirmed, refused := 0, 0, 0, 0
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			m := &messages{make(map[string]*policy.Facts)}
			for i := w; i < n; i += workers {
				number := seed()*1_000_000_000 + uint64(i)
				rules := newMaker(number).set()
				r := rand.New(rand.NewPCG(number, 0))
				g, k := find(m, rules, r, messagesOfSet)
				gains := false
				if k == 0 && i%20 == 0 {
					g, _ := search(m, rules, r, messagesOfSet, policy.Remark)
					gains = g.kind != ""
				}
				mu.Lock()
				tried += k
				if k > 0 {
					quiet++
				} else if i%20 == 0 {
					refused++
					confirmed += index(gains)
				}
				if g.kind != "" {
					gaps = append(gaps, g)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%d sets, of which %d are not refused: %d messages tried on them; of %d that are refused %d open something here", n, quiet, tried, refused, confirmed)
	t.Logf("%d gaps", len(gaps))
	m := &messages{make(map[string]*policy.Facts)}
	for _, g := range gaps[:min(len(gaps), 12)] {
		g = shrink(m, g, messagesOfSet)
		t.Errorf("%v", &g)
	}
	if quiet < n/10 {
		t.Errorf("lint refuses all but %d of %d sets; want more, or the test says nothing", quiet, n)
	}
}

// TestRulesNeedsEachAbility takes from the third party that lint plays one ability
// after the other: for each there must be a set of rules of which lint then says too
// little.
func TestRulesNeedsEachAbility(t *testing.T) {
	const most = 6000
	missing := make(map[string]bool)
	for _, ability := range lint.Abilities() {
		missing[ability] = true
	}
	m := &messages{make(map[string]*policy.Facts)}
	for i := uint64(0); i < most && len(missing) > 0; i++ {
		rules := newMaker(i).set()
		level := said(rules)
		if level == policy.Remark {
			continue // nothing to lose
		}
		for ability := range missing {
			less := said(rules, ability)
			if less >= level {
				continue
			}
			if g, _ := search(m, rules, rand.New(rand.NewPCG(i, 0)), messagesOfSet, less); g.kind != "" {
				t.Logf("without %s: set %d", ability, i)
				delete(missing, ability)
			}
		}
	}
	for ability := range missing {
		t.Errorf("without %q lint says as much of %d sets; want a gap", ability, most)
	}
}
