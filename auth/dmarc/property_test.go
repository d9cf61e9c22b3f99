package dmarc

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// worlds is how many made-up zones each property is tried on.
const worlds = 1000

// world is a made-up zone below one top-level domain: names of one to ten
// labels that are each other's ancestors, siblings and children.
type world struct {
	*rand.Rand
	names []string
	dns   *fakeDNS
}

func newWorld(seed uint64) *world {
	w := &world{Rand: rand.New(rand.NewPCG(seed, 7)), names: []string{"test"}, dns: zone()}
	for range 12 {
		w.names = append(w.names, fmt.Sprintf("%c.%s", 'a'+rune(w.IntN(3)), pick(w, w.names)))
	}
	for _, name := range w.names {
		for range pick(w, []int{0, 0, 1, 1, 1, 2}) {
			w.dns.with("_dmarc."+name, w.record())
		}
	}
	return w
}

func pick[T any](w *world, list []T) T { return list[w.IntN(len(list))] }

// record publishes what can be enforced, and sometimes what cannot.
func (w *world) record() string {
	return "v=DMARC1; p=" + pick(w, []string{"none", "quarantine", "reject", "reject", "x"}) +
		pick(w, []string{"", "; sp=none", "; sp=reject", "; np=reject", "; sp=x; rua=mailto:a@b.test"}) +
		pick(w, []string{"", "", "", "; psd=y", "; psd=n", "; psd=u"}) + pick(w, []string{"", "", "; adkim=s", "; aspf=s"})
}

// fail makes some names fail.
func (w *world) fail() {
	for range w.IntN(3) {
		w.dns.failing(blamed(w.IntN(2) == 0), pick(w, w.names))
	}
}

func (w *world) identifier() Identifier {
	id := Identifier{Mechanism: pick(w, []Mechanism{SPF, DKIM}), Domain: pick(w, w.names)}
	switch w.IntN(4) {
	case 0:
		id.Err = theirs
	case 1:
	default:
		id.Passed = true
	}
	return id
}

func (w *world) identifiers(t *testing.T, f *Finder, d Discovery) []Identifier {
	var ids []Identifier
	for range w.IntN(4) {
		ids = append(ids, f.Identify(t.Context(), w.identifier(), d))
	}
	return ids
}

func (w *world) finder(m Method) *Finder {
	return &Finder{Resolver: w.dns, Method: m, Immediate: w.IntN(8) > 0}
}

var methods = []Method{TreeWalk, PSL}

// relaxed reports whether a passing signature of id is aligned with author,
// strict modes apart; and whether there is an answer.
func (w *world) relaxed(t *testing.T, m Method, author, id string) (aligned, known bool) {
	f := w.finder(m)
	d := f.Find(t.Context(), author)
	d.Record.ADKIM, d.Record.ASPF = Relaxed, Relaxed
	if d.Source == SourceNone || !d.Record.Usable(m) {
		return false, false
	}
	return f.Identify(t.Context(), dkim(id, true), d).AlignedWith(d), true
}

func TestAlignedWithIsSymmetric(t *testing.T) {
	tried, aligned := 0, 0
	for seed := range uint64(worlds) {
		w := newWorld(seed)
		a, b := pick(w, w.names), pick(w, w.names)
		for _, m := range methods {
			there, known := w.relaxed(t, m, a, b)
			back, alsoKnown := w.relaxed(t, m, b, a)
			if !known || !alsoKnown {
				continue
			}
			tried++
			if there {
				aligned++
			}
			if there != back {
				t.Errorf("world %d by %v: %q is aligned with %q: %t, and the other way round: %t\n%v", seed, m, a, b, there, back, w.dns.txt)
			}
		}
	}
	if tried < worlds/2 || aligned < worlds/10 {
		t.Errorf("%d pairs, %d of them aligned; too few to say anything", tried, aligned)
	}
}

func TestAlignedWithStrictImpliesRelaxed(t *testing.T) {
	strictly := 0
	for seed := range uint64(worlds) {
		w := newWorld(seed)
		w.fail()
		for _, m := range methods {
			f := w.finder(m)
			d := f.Find(t.Context(), pick(w, w.names))
			strict := d
			strict.Record.ADKIM, strict.Record.ASPF = Strict, Strict
			d.Record.ADKIM, d.Record.ASPF = Relaxed, Relaxed
			id := f.Identify(t.Context(), w.identifier(), d)
			if !id.AlignedWith(strict) {
				continue
			}
			strictly++
			if !id.AlignedWith(d) || id.Domain != d.Author {
				t.Errorf("world %d by %v: %q is aligned with %q in strict mode and not in relaxed, or is another name", seed, m, id.Domain, d.Author)
			}
		}
	}
	if strictly < worlds/20 {
		t.Errorf("%d strictly aligned; too few to say anything", strictly)
	}
}

func TestAlignedWithZeroValueIsFalse(t *testing.T) {
	for seed := range uint64(worlds) {
		w := newWorld(seed)
		w.fail()
		f := w.finder(pick(w, methods))
		d := f.Find(t.Context(), pick(w, w.names))
		for _, id := range []Identifier{{}, {Passed: true}, {Passed: true, Mechanism: DKIM}, {Err: ours}} {
			if got := f.Identify(t.Context(), id, d); got.AlignedWith(d) || got.mayAlign(d) {
				t.Errorf("world %d: %+v is aligned with %q", seed, got, d.Author)
			}
		}
		if id := f.Identify(t.Context(), w.identifier(), Discovery{}); id.AlignedWith(Discovery{}) {
			t.Errorf("world %d: %+v is aligned with a zero discovery", seed, id)
		}
	}
}

// TestEvaluateIgnoresUnrelatedIdentifiers adds what anybody can add to a message: a
// signature of a domain elsewhere, and a check that fails for lack of DNS.
func TestEvaluateIgnoresUnrelatedIdentifiers(t *testing.T) {
	statuses := map[Status]int{}
	for seed := range uint64(worlds) {
		w := newWorld(seed)
		w.fail()
		for _, m := range methods {
			f := w.finder(m)
			d := f.Find(t.Context(), pick(w, w.names))
			ids := w.identifiers(t, f, d)
			before := Evaluate(d, ids)
			statuses[before.Status]++
			w.dns.failing(theirs, "a.stranger.example").failing(ours, "stranger.example", "example")
			for _, thirdParty := range []Identifier{
				dkim("a.stranger.example", true), dkim("a.stranger.example", false), broken(DKIM, "stranger.example", ours),
				broken(SPF, "a.stranger.example", theirs), spf("stranger.example", true), broken(DKIM, "evil"+d.Widest, theirs), dkim("evil"+d.Widest, true),
			} {
				after := Evaluate(d, append([]Identifier{f.Identify(t.Context(), thirdParty, d)}, ids...))
				if after.outcome() != before.outcome() || after.Cause != before.Cause {
					t.Errorf("world %d by %v: %+v turns %+v into %+v", seed, m, thirdParty, before, after)
				}
			}
		}
	}
	for _, s := range []Status{StatusNone, Pass, Fail, TempError, PermError} {
		if statuses[s] < worlds/50 {
			t.Errorf("%d verdicts are %v; too few to say anything", statuses[s], s)
		}
	}
}

// TestFindNeedsAtMostEightQueries asks for names of up to thirty labels.
func TestFindNeedsAtMostEightQueries(t *testing.T) {
	most := 0
	for seed := range uint64(worlds) {
		w := newWorld(seed)
		w.fail()
		author := strings.Repeat("x.", w.IntN(20)) + pick(w, w.names)
		f := w.finder(pick(w, methods))
		d := f.Find(t.Context(), author)
		questions := txtOnly(w.dns.queried())
		id := f.Identify(t.Context(), dkim("y."+pick(w, w.names), true), d)
		more := txtOnly(w.dns.queried())
		if questions > MaxWalk || more > MaxWalk || len(d.Walk) > questions {
			t.Errorf("world %d: %q cost %d queries, %q %d; want at most %d", seed, author, questions, id.Domain, more, MaxWalk)
		}
		most = max(most, questions)
	}
	if most != MaxWalk {
		t.Errorf("the longest walk had %d queries; want %d", most, MaxWalk)
	}
}

func txtOnly(questions []string) int {
	n := 0
	for _, q := range questions {
		if strings.HasPrefix(q, "TXT ") {
			n++
		}
	}
	return n
}

// TestEvaluateAfterFailureIsSettled compares with the same world where
// nothing fails: a verdict that was reached in spite of failures is the one
// that would have been reached without them. The exception is a registry that
// publishes what only a registry may not: a record without psd=y.
func TestEvaluateAfterFailureIsSettled(t *testing.T) {
	settled := 0
	for seed := range uint64(worlds) {
		w := newWorld(seed)
		if s := newStep("test", w.dns.txt["_dmarc.test"]); s.found() && s.record.PSD != PSDYes {
			continue
		}
		for _, m := range methods {
			f := &Finder{Resolver: w.dns, Method: m, Immediate: true}
			author, domain := pick(w, w.names), pick(w, w.names)
			evaluate := func() Verdict {
				d := f.Find(t.Context(), author)
				return Evaluate(d, []Identifier{f.Identify(t.Context(), dkim(domain, true), d)})
			}
			whole := evaluate()
			w.fail()
			partly := evaluate()
			clear(w.dns.fail)
			if partly.Status == TempError {
				continue
			}
			settled++
			if partly.outcome() != whole.outcome() {
				t.Errorf("world %d by %v: %q with a pass of %q: %+v; without failures %+v\n%v", seed, m, author, domain, partly, whole, w.dns.txt)
			}
		}
	}
	if settled < worlds/2 {
		t.Errorf("%d verdicts settled; too few to say anything", settled)
	}
}
