package spf

import (
	"context"
	"strings"
)

// MaxTerms and MaxVoids are the limits of RFC 7208, Section 4.6.4, on a check:
// terms that need DNS, and those of them that find nothing.
const (
	MaxTerms = maxTerms
	MaxVoids = maxVoids
)

// maxBranches is how many terms of a record and of all that it includes are
// followed: our limit, so that a record beyond MaxTerms is seen with its excess.
const maxBranches = 3 * maxTerms

// Branch is a record, or a term of one that needs DNS, with what it costs a
// check whose client matches nothing before the end: the most that a record
// can cost.
type Branch struct {
	Term  string // as written; the domain, for the record at the top
	Name  string // that is looked up; empty where it depends on the message
	Terms int    // that need DNS, with this one and all below
	Voids int    // of these terms, those that find nothing
	Why   string // what is wrong here; empty when nothing is
	Below []Branch
}

// TreeOf follows the record of a domain through its includes and redirects.
// Terms behind "all" cost nothing: they are not reached (Section 5.1). A macro
// is not followed. err is the first failure of the DNS: the tree may lack what
// is below.
func TreeOf(ctx context.Context, r Resolver, domain string) (Branch, error) {
	t := treeing{dns: r}
	top := Branch{Term: domain, Name: domain}
	t.record(ctx, &top)
	return top, t.err
}

// treeing is the walk through the records.
type treeing struct {
	dns  Resolver
	path []string // names whose records are being followed
	seen int
	err  error
}

// record adds the terms of the record at the name of a branch.
func (t *treeing) record(ctx context.Context, b *Branch) {
	for _, name := range t.path {
		if name == b.Name {
			b.Why = "includes itself"
			return
		}
	}
	found, err := lookupRecord(ctx, t.dns, b.Name)
	switch {
	case t.failed(err):
		b.Why = "no answer"
		return
	case found.failure != nil:
		b.Why = strings.TrimSpace(found.failure.why + " " + printable(found.failure.term, maxTerm))
		return
	case !found.record.published:
		b.Why = "no SPF record"
		return
	}
	t.path = append(t.path, b.Name)
	defer func() { t.path = t.path[:len(t.path)-1] }()
	for i := range found.record.terms {
		term := &found.record.terms[i]
		if term.mechanism == mAll {
			return
		}
		if term.mechanism != mIP4 && term.mechanism != mIP6 {
			t.add(ctx, b, term.text, term.mechanism, term.domain)
		}
	}
	if spec := found.record.redirect; spec != "" {
		t.add(ctx, b, "redirect="+spec, mInclude, spec)
	}
}

// add adds a term, with all below it, to the branch of its record.
func (t *treeing) add(ctx context.Context, to *Branch, text string, m mechanism, spec string) {
	if t.seen++; t.seen > maxBranches {
		to.Why = "more terms than are followed"
		return
	}
	b := Branch{Term: printable(text, maxTerm), Terms: 1}
	switch {
	case strings.IndexByte(spec, '%') >= 0:
		b.Why = "depends on the message"
	case m == mPTR:
		b.Why = "names of the client; do not use (RFC 7208, Section 5.5)"
	default:
		b.Name = to.Name
		if spec != "" {
			b.Name = strings.TrimSuffix(strings.ToLower(fitName(spec)), ".")
		}
		t.follow(ctx, &b, m)
	}
	to.Terms, to.Voids = to.Terms+b.Terms, to.Voids+b.Voids
	to.Below = append(to.Below, b)
}

// follow looks up what a term names.
func (t *treeing) follow(ctx context.Context, b *Branch, m mechanism) {
	void := false
	switch m {
	case mInclude:
		t.record(ctx, b)
		return
	case mMX:
		hosts, err := t.dns.MX(ctx, b.Name)
		void = !t.failed(err) && len(hosts) == 0
		if len(hosts) > maxMX {
			b.Why = "more than ten mail hosts"
		}
	default: // a, exists
		four, err := t.dns.A(ctx, b.Name)
		failed := t.failed(err)
		void = !failed && len(four) == 0
		if void && m == mA {
			six, err := t.dns.AAAA(ctx, b.Name)
			void = !t.failed(err) && len(six) == 0
		}
	}
	if void {
		b.Voids, b.Why = 1, "finds nothing"
	}
}

// failed reports whether the DNS had no answer, and keeps why.
func (t *treeing) failed(err error) bool {
	if err == nil || isStale(err) {
		return false
	}
	if t.err == nil {
		t.err = err
	}
	return true
}
