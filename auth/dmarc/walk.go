package dmarc

import (
	"context"
	"errors"
	"strings"
	"sync"
)

// walkDomains returns the domains that a tree walk from d asks, longest first,
// and how many they are: d, then its ancestors of seven labels and less, the
// top-level domain last (RFC 9989, Section 4.10). Names of eight labels lose
// one label, longer ones as many as it takes.
func walkDomains(d string) (domains [MaxWalk]string, count int) {
	domains[0], count = d, min(labels(d), MaxWalk)
	for i := 1; i < count; i++ {
		domains[i] = lastLabels(d, count-i)
	}
	return domains, count
}

// labels counts the labels of a domain.
func labels(d string) int { return strings.Count(d, ".") + 1 }

// lastLabels returns the last n labels of d, all of d if it has no more.
func lastLabels(d string, n int) string {
	for i := len(d) - 1; i >= 0; i-- {
		if d[i] == '.' {
			if n--; n == 0 {
				return d[i+1:]
			}
		}
	}
	return d
}

// walk asks the names of a walk from start and returns the answers in order,
// up to and including the first that stops it. Known answers are not queried
// again.
//
// All are queried at once: their names do not depend on each other, there are at
// most eight, and nearly every walk goes to the end, so that one after the
// other would cost up to eight times the latency. Answers past a stop are not
// waited for and count for nothing.
func (f *Finder) walk(ctx context.Context, start string, known []Step) []Step {
	all, count := walkDomains(start)
	domains := all[:count]
	if f.Immediate {
		return steps(domains, known, func(i int) Step { return f.step(ctx, domains[i]) })
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	var pending [MaxWalk]<-chan answer
	for i, domain := range domains {
		if indexOf(known, domain) < 0 {
			pending[i] = f.start(ctx, &wg, domain)
		}
	}
	return steps(domains, known, func(i int) Step { return (<-pending[i]).open() })
}

// steps collects what is known and what ask finds, up to a stop.
func steps(domains []string, known []Step, ask func(int) Step) []Step {
	list := make([]Step, 0, len(domains))
	for i, domain := range domains {
		if at := indexOf(known, domain); at >= 0 {
			list = append(list, known[at])
		} else {
			list = append(list, ask(i))
		}
		if list[i].found() && list[i].record.PSD != PSDUnknown {
			break // RFC 9989, Section 4.10, steps 2 and 6
		}
	}
	return list
}

func indexOf(steps []Step, domain string) int {
	for i := range steps {
		if steps[i].Domain == domain {
			return i
		}
	}
	return -1
}

// answer is what a name holds, or the panic with which the resolver ended:
// that one belongs to the goroutine of the message, which survives it.
type answer struct {
	step Step
	bug  any
}

func (a answer) open() Step {
	if a.bug != nil {
		panic(a.bug)
	}
	return a.step
}

func (f *Finder) start(ctx context.Context, wg *sync.WaitGroup, domain string) <-chan answer {
	c := make(chan answer, 1)
	wg.Go(func() {
		var a answer
		defer func() {
			a.bug = recover()
			c <- a
		}()
		a.step = f.step(ctx, domain)
	})
	return c
}

// step finds out what a name holds, or recalls it. A resolver that never waits
// is a memory itself, and what it does not know another one may be queried for.
func (f *Finder) step(ctx context.Context, domain string) Step {
	if f.Walks == nil || f.Immediate {
		return f.ask(ctx, domain)
	}
	return f.Walks.step(ctx, domain, f.ask)
}

func (f *Finder) ask(ctx context.Context, domain string) Step {
	if !canExist(prefix + domain) {
		return Step{Domain: domain}
	}
	txts, err := f.Resolver.TXT(ctx, prefix+domain)
	stale := isStale(err)
	if err != nil && !stale {
		return Step{Domain: domain, Err: err}
	}
	s := newStep(domain, txts)
	s.Stale = stale
	return s
}

// staleness is an error that may have a stale answer beside it.
type staleness interface {
	error
	Stale() bool
}

// isStale reports whether there is a stale answer beside an error.
func isStale(err error) bool {
	old, ok := errors.AsType[staleness](err)
	return ok && old.Stale()
}

func anyStale(steps []Step) bool {
	for i := range steps {
		if steps[i].Stale {
			return true
		}
	}
	return false
}

// canExist reports whether the DNS can hold name (RFC 1035, Section 2.3.4).
// Other names hold nothing and are not queried: what a resolver makes of them may
// be an error, and a sender would have chosen temperror.
func canExist(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabelBytes {
			return false
		}
	}
	return len(name) <= MaxNameBytes
}

// newStep sorts the answer for a name. Filter first, then count: other TXT data,
// such as what a wildcard gives, is no second record (RFC 9989, Section 4.10,
// step 2).
func newStep(domain string, txts []string) Step {
	s := Step{Domain: domain}
	for _, txt := range txts {
		if isDMARC(txt) {
			s.Records = append(s.Records, txt)
		}
	}
	s.Others = len(txts) - len(s.Records)
	if s.Others > 0 {
		s.lookBeside(txts)
	}
	switch len(s.Records) {
	case 0:
	case 1:
		record, defects, _ := ParseRecord(s.Records[0])
		s.record, s.Defects = record, append(s.Defects, defects...)
	default:
		s.Defects = append(s.Defects, newDefect(SeveralRecords, 0, s.Records[1]))
	}
	return s
}

// lookBeside notes what stands at the name and is no DMARC record. Beside one,
// that is no more than a remark: another version may stand there by design.
func (s *Step) lookBeside(txts []string) {
	for _, txt := range txts {
		kind := OtherTXT
		switch {
		case isDMARC(txt):
			continue
		case looksLikeDMARC(txt):
			kind = BadVersion
		case len(s.Records) == 0:
			continue // the name of somebody who publishes no DMARC record
		}
		d := newDefect(kind, 0, txt)
		if len(s.Records) > 0 {
			d.Severity = Remark
		}
		if len(s.Defects) < maxDefects {
			s.Defects = append(s.Defects, d)
		}
	}
}

// looksLikeDMARC reports whether an owner probably meant txt, which is no DMARC
// record, to be one.
func looksLikeDMARC(txt string) bool {
	start := lower(strings.ReplaceAll(txt[:min(len(txt), maxDefectText)], " ", ""))
	return strings.HasPrefix(start, "v=dmarc") || strings.HasPrefix(start, `"v=dmarc`) ||
		strings.Contains(start, ";v=dmarc1")
}

// held is what a name counts as holding in the choice of an Organizational
// Domain.
type held uint8

const (
	holdsNothing held = iota
	holdsRecord       // without a psd that says more
	holdsSuffix       // psd=y
	holdsCut          // psd=n
)

// guess stands in for names that did not answer.
type guess struct {
	inner held // names of two labels and more
	top   held // the top-level domain
}

var (
	// silent takes names that did not answer for empty ones.
	silent = guess{holdsNothing, holdsNothing}
	// registry supposes that the top-level domain says psd=y.
	registry = guess{holdsNothing, holdsSuffix}
	// widest gives the shortest Organizational Domain that there can be.
	widest = guess{holdsRecord, holdsSuffix}
)

func (s Step) holds(g guess) held {
	switch {
	case s.Err != nil && labels(s.Domain) == 1:
		return g.top
	case s.Err != nil:
		return g.inner
	case !s.found():
		return holdsNothing
	case s.record.PSD == PSDYes:
		return holdsSuffix
	case s.record.PSD == PSDNo:
		return holdsCut
	default:
		return holdsRecord
	}
}

// finding is what a walk says about the domain it starts at.
type finding struct {
	org    string
	policy int // the step whose record applies to the start, -1 for none
}

// conclude reads a walk that has at least its first step.
func conclude(steps []Step, g guess) finding {
	end := finding{org: orgOf(steps, g), policy: -1}
	last := len(steps) - 1
	if steps[0].holds(g) != holdsNothing {
		end.policy = 0
	} else if i := indexOf(steps, end.org); i >= 0 && steps[i].holds(g) != holdsNothing {
		end.policy = i
	} else if steps[last].holds(g) == holdsSuffix {
		end.policy = last // the Public Suffix Domain one label above
	}
	// Records between the start and its Organizational Domain are no policy
	// for it (RFC 9989, Section 4.10.1): the nearest ancestor does not win.
	return end
}

// orgOf selects the Organizational Domain (RFC 9989, Section 4.10.2).
func orgOf(steps []Step, g guess) string {
	start := steps[0].Domain
	org := start
	for i, s := range steps {
		switch s.holds(g) {
		case holdsCut:
			return s.Domain
		case holdsSuffix:
			if i > 0 {
				return lastLabels(start, labels(s.Domain)+1)
			}
			return start // it is not its own customer
		case holdsRecord:
			org = s.Domain // fewer labels than any before
		}
	}
	return org
}

// settle returns what the walk says, or the first error if a name that did not
// answer could have made it say something else.
//
// Such a name could have held a psd=n, or the record of the organization, so
// an error normally leaves the walk open; it is never passed over as if the
// name were empty. The top-level domain is different: a record there can only
// be that of a Public Suffix Domain, which says psd=y (RFC 9989, Section 4.7),
// and that changes nothing where the name one label below it has a record. So
// a registry whose servers fail does not undo the policies below it.
func settle(steps []Step) (finding, error) {
	end := conclude(steps, silent)
	for _, s := range steps {
		if s.Err != nil && (labels(s.Domain) > 1 || conclude(steps, registry) != end) {
			return finding{policy: -1}, s.Err
		}
	}
	return end, nil
}
