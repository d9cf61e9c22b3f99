package dmarc

import (
	"context"
	"dmarcgate/scope"
)

// Limits of discovery. The author domain is the sender's choice, and our DNS
// traffic must not be.
const (
	// MaxWalk is the number of TXT queries that one tree walk asks at most
	// (RFC 9989, Section 4.10).
	MaxWalk = 8
	// MaxNameBytes is the length of the longest name (RFC 1035, Section 2.3.4:
	// 255 octets on the wire, 253 as text).
	MaxNameBytes = 253

	maxLabelBytes = 63 // RFC 1035, Section 2.3.4

	prefix = "_dmarc."
)

// Resolver answers the questions of discovery, for lower-case A-labels without
// a trailing dot. Nothing there (NXDOMAIN or NODATA) is an empty answer without
// error; every error is temporary. An error that has a method Ours() bool tells
// by it whether our own resolver is to blame, and one that has a method
// Pressure() bool whether the lookup gave way to others. One that has a method
// Stale() bool, which returns true, comes with an answer: the last that was known,
// because no newer one could be had. Of TXT it is taken for a fresh one.
type Resolver interface {
	// TXT returns the TXT records of name, the character-strings of each
	// joined without a separator (RFC 9989, Section 4.5).
	TXT(ctx context.Context, name string) ([]string, error)
	// Exists returns false only for NXDOMAIN of name itself. A name without
	// data exists.
	Exists(ctx context.Context, name string) (bool, error)
}

// Finder finds records and Organizational Domains. Resolver must be set; the
// zero values of the rest are RFC 9989 and the built-in suffix list.
type Finder struct {
	Resolver Resolver
	Method   Method
	Suffixes Suffixes // for PSL; nil means PublicSuffix()

	// Immediate says that Resolver never waits, so that nothing is gained by
	// asking several names at once.
	Immediate bool

	// Walks keeps the walks of one message, so that those of several author
	// domains and identifiers ask each name once. nil keeps nothing, but
	// Identify still knows what Find has queried.
	Walks *Walks
}

// Discovery is what the DNS says about one author domain. The zero value has no
// record, so nothing applies.
type Discovery struct {
	Author string // as queried
	Method Method

	Record       Record    // zero when Source is SourceNone
	Text         string    // Record as published, at most MaxRecordBytes: foreign bytes
	PolicyDomain string    // where Record was found
	Source       Source    // SourceNone: no record applies
	Existence    Existence // queried only when Record stands above Author and has an np that differs

	// Org is the Organizational Domain of Author. It is "" when it is not
	// known, or when the suffix list says that Author has none; then only
	// Author itself is aligned.
	Org string
	// Widest is the shortest domain that Org can be, whatever the queries that
	// failed would have answered. It is Org when Org is known.
	Widest string

	Walk []Step // what was queried, in the order of the RFC, up to the step that settled it

	Err    error // temporary: it is not known which record applies
	OrgErr error // temporary: the record is known, Org is not

	// ExistenceErr is set when the lookup of Existence gave way to others: what
	// np asks for must not be had out of the way by a sender who asks for much.
	ExistenceErr error

	Stale bool // an answer in Walk is an old one
}

// Step is what one name of a walk holds.
type Step struct {
	Domain  string   // the name queried is _dmarc.Domain
	Records []string // the DMARC records found; two or more count as none
	Others  int      // other TXT records, which do not count
	Err     error    // temporary: nothing is known of this name
	Stale   bool     // the answer is an old one, because no newer one could be had

	Defects []Defect // of the one in Records, and of the name

	record Record // the one in Records
}

// Name returns the name that was queried.
func (s Step) Name() string { return prefix + s.Domain }

// found reports whether the name counts as having a record.
func (s Step) found() bool { return s.Err == nil && len(s.Records) == 1 }

// Find looks up the record that applies to author, and its Organizational
// Domain. It waits for every lookup it starts; a done ctx makes those fail.
// An empty author has no record.
func (f *Finder) Find(ctx context.Context, author string) Discovery {
	d := Discovery{Author: author, Method: f.Method}
	switch {
	case author == "":
		return d
	case f.Method == PSL:
		f.findByList(ctx, &d)
	default:
		f.findByWalk(ctx, &d)
	}
	d.Stale = anyStale(d.Walk)
	f.findExistence(ctx, &d)
	return d
}

// findByWalk is RFC 9989, Section 4.10.1.
func (f *Finder) findByWalk(ctx context.Context, d *Discovery) {
	d.Walk = f.walk(ctx, d.Author, nil)
	d.Widest = conclude(d.Walk, widest).org
	end, err := settle(d.Walk)
	switch {
	case err == nil:
		d.Org = end.org
		d.use(end.policy)
	case d.Walk[0].found():
		// The author domain's own record applies whatever stands above it.
		d.OrgErr = err
		d.use(0)
	default:
		// A name that did not answer may be the Organizational Domain, or
		// hide one: its record, not that of a name above, would apply.
		d.Err = err
	}
}

// findByList is RFC 7489, Section 6.6.3. The Organizational Domain is queried
// only when the author domain has no record at all: two there stop DMARC, as
// they do at the Organizational Domain.
func (f *Finder) findByList(ctx context.Context, d *Discovery) {
	d.Org = f.suffixes().Org(d.Author)
	d.Widest = d.Org
	domains := []string{d.Author}
	if d.Org != "" && d.Org != d.Author {
		domains = append(domains, d.Org)
	}
	for i, domain := range domains {
		s := f.step(ctx, domain)
		d.Walk, d.Err = append(d.Walk, s), s.Err
		if s.found() {
			d.use(i)
		}
		if s.Err != nil || len(s.Records) > 0 {
			return
		}
	}
}

// use makes the record of a step the one that applies; -1 is none.
func (d *Discovery) use(step int) {
	if step < 0 {
		return
	}
	s := &d.Walk[step]
	d.Record, d.PolicyDomain = s.record, s.Domain
	d.Text = s.Records[0][:min(len(s.Records[0]), MaxRecordBytes)]
	switch s.Domain {
	case d.Author:
		d.Source = SourceAuthor
	case d.Org:
		d.Source = SourceOrg
	default:
		d.Source = SourcePSD
	}
}

// Defects lists what is wrong at the names queried, also where it did not matter.
// Remarks are left out; they stand in Walk.
func (d Discovery) Defects() []Defect {
	var all []Defect
	for _, s := range d.Walk {
		for _, defect := range s.Defects {
			if defect.Severity == Harmful {
				all = append(all, defect)
			}
		}
	}
	return all
}

// findExistence asks whether the author domain exists, if np would then give
// another policy (RFC 9989, Section 4.7). An error leaves it unknown: such a
// domain is treated as one that exists, never as one that does not. So does an
// stale answer beside one: np is mostly stricter than sp, and a name that was not
// there an hour ago may be there now. A lookup that gave way leaves the verdict
// open instead: a sender can arrange that it does.
func (f *Finder) findExistence(ctx context.Context, d *Discovery) {
	np := d.Record.NP
	if d.Method != TreeWalk || d.Source == SourceNone || d.Source == SourceAuthor ||
		np.Presence != Valid || d.Record.Broken(d.Method) || np.Policy == d.policy() {
		return
	}
	switch exists, err := f.Resolver.Exists(ctx, d.Author); {
	case GaveWay(err):
		d.ExistenceErr = err
	case err != nil:
	case exists:
		d.Existence = Existing
	default:
		d.Existence = Missing
	}
}

// policy selects the policy that the record has for the author domain (RFC
// 9989, Sections 4.7 and 4.10.1; RFC 7489, Section 6.3).
func (d *Discovery) policy() Policy {
	r := d.Record
	switch {
	case r.Broken(d.Method):
		return None
	case d.Source == SourceAuthor:
		return r.P.Policy // sp and np say nothing about the name they stand at
	case d.Existence == Missing && r.NP.Presence == Valid:
		return r.NP.Policy
	case r.SP.Presence == Valid:
		return r.SP.Policy
	default:
		return r.P.Policy
	}
}

// within reports whether domain is at or below the widest Organizational Domain
// that the author domain can have. The Organizational Domain of a domain is
// always that domain or one above it, so a domain elsewhere cannot be aligned.
func (d *Discovery) within(domain string) bool { return scope.AtOrBelow(domain, d.Widest) }

func (f *Finder) suffixes() Suffixes {
	if f.Suffixes == nil {
		return PublicSuffix()
	}
	return f.Suffixes
}
