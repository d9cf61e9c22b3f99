package blob

import (
	"math"
	"slices"
	"sync"
	"unicode/utf8"

	"dmarcgate/policy"
	"dmarcgate/results"
)

// The limits of a row. Senders choose how many recipients, signatures and ARC
// sets a message has, and how long their names are: without a limit, one sender
// fills the store and so deletes the rows of the others.
const (
	// MaxRowBytes is how large a row is at most: its blob and the texts and the
	// address in its columns. Rows of usual mail have some 200 bytes.
	MaxRowBytes = 8 << 10
	// maxRecipients is how many recipient domains a row has at most. Mail for
	// people has one to three.
	maxRecipients = 50
	// maxText is how long a text may be in a row that is too large, in bytes: a
	// domain name has at most 255 (RFC 1035, Section 2.3.4).
	maxText = 255
	// shortText is how long texts are that explain, when lists alone are not
	// what makes a row too large.
	shortText = 64
)

// What was left out of a row, in Facts.Trimmed.
const (
	TrimmedRecipients = "recipients" // some of Facts.Recipients; all of them lack
	TrimmedDKIM       = "dkim"       // some of Facts.DKIM
	TrimmedARC        = "arc"        // some of ARC.Sealers
	TrimmedRecorded   = "arc_recorded"
	TrimmedSigners    = "signers" // some of Author.Signers
	TrimmedDefects    = "defects" // some of Author.Defects or Author.Differs
	TrimmedRules      = "rules"   // some of Decision.Also
	TrimmedShadow     = "shadow"  // some of Decision.Shadow
	TrimmedTexts      = "texts"   // the ends of some texts
	TrimmedAuthors    = "authors" // some of Facts.Authors that did not decide
)

// Trim makes a row one that is within the limits, and marks in it what was left
// out. It changes no list that the row shares with others, and reports whether it
// left out something.
func Trim(r *results.Row) bool { return trimmer{r}.trim() }

// trimmer makes a row smaller.
type trimmer struct{ *results.Row }

func (r trimmer) trim() bool {
	many := len(r.Facts.Recipients) > maxRecipients
	if many {
		r.cutRecipients(maxRecipients)
	}
	if r.bytes() <= MaxRowBytes {
		return many
	}
	r.shrink()
	return true
}

// shrink leaves out what makes a row too large, a step after the other.
func (r trimmer) shrink() {
	r.Facts.Authors = slices.Clone(r.Facts.Authors)
	d := &r.Decision
	d.Effective = slices.Clone(d.Effective[:min(len(d.Effective), policy.MaxAuthors)])
	r.cutTexts(maxText)
	for r.bytes() > MaxRowBytes && r.halveLargest() {
	}
	if r.bytes() > MaxRowBytes {
		r.cutTexts(shortText)
	}
	for r.bytes() > MaxRowBytes && len(r.Facts.Authors) > 1 {
		r.cutAuthor()
	}
}

// sizers are encoders that only measure.
var sizers = sync.Pool{New: func() any { return new(Encoder) }}

// bytes is the size of the row as it is stored; that of a row that cannot be
// encoded, since it has too many parts, is above any limit.
func (r trimmer) bytes() int {
	e := sizers.Get().(*Encoder)
	defer sizers.Put(e)
	c, err := e.Columns(r.Row)
	if err != nil {
		return math.MaxInt
	}
	return len(c.Blob) + len(c.QueueID) + len(c.Client) + len(c.Author) + len(c.PolicyDomain) + len(c.Reason)
}

// mark notes what was left out.
func (r trimmer) mark(what string, missing policy.MissingFacts) {
	r.Facts.Missing |= missing
	if !slices.Contains(r.Facts.Trimmed, what) {
		r.Facts.Trimmed = append(slices.Clone(r.Facts.Trimmed), what)
	}
}

// list is a list of a row that can be made shorter.
type list struct {
	bytes int
	halve func()
}

// halveLargest leaves out half of the list that takes most room; false when all
// are empty.
func (r trimmer) halveLargest() bool {
	var largest list
	for _, l := range r.lists() {
		if l.bytes > largest.bytes {
			largest = l
		}
	}
	if largest.halve == nil {
		return false
	}
	largest.halve()
	return true
}

func (r trimmer) lists() []list {
	f, d := &r.Facts, &r.Decision
	all := []list{
		{textBytes(f.Recipients), func() { r.cutRecipients(len(f.Recipients) / 2) }},
		{signatureBytes(f.DKIM), func() {
			f.DKIM = telling(f.DKIM, len(f.DKIM)/2)
			r.mark(TrimmedDKIM, policy.MissingSignatures)
		}},
		{sealerBytes(f.ARC.Sealers), func() {
			f.ARC.Sealers = f.ARC.Sealers[(len(f.ARC.Sealers)+1)/2:] // those nearest to us stay
			r.mark(TrimmedARC, policy.MissingARC)
		}},
		{recordedBytes(f.ARC.Sealers), r.halveRecorded},
		{textBytes(d.Also), func() {
			d.Also = d.Also[:len(d.Also)/2]
			r.mark(TrimmedRules, 0)
		}},
		{shadowBytes(d.Shadow), func() {
			d.Shadow = d.Shadow[:len(d.Shadow)/2]
			r.mark(TrimmedShadow, 0)
		}},
	}
	for i := range f.Authors {
		all = append(all, r.authorLists(&f.Authors[i])...)
	}
	return all
}

func (r trimmer) authorLists(a *policy.Author) []list {
	return []list{
		{textBytes(a.Signers), func() {
			a.Signers = a.Signers[:len(a.Signers)/2]
			r.mark(TrimmedSigners, policy.MissingSignatures)
		}},
		{textBytes(a.Defects), func() {
			a.Defects = a.Defects[:len(a.Defects)/2]
			r.mark(TrimmedDefects, 0)
		}},
		{textBytes(a.Differs), func() {
			a.Differs = a.Differs[:len(a.Differs)/2]
			r.mark(TrimmedDefects, 0)
		}},
	}
}

// cutAuthor leaves out the last author domain that did not decide. Five of them
// whose names are all as long as can be take nearly all the room of a row.
func (r trimmer) cutAuthor() {
	f := &r.Facts
	last := len(f.Authors) - 1
	if f.Authors[last].Domain == r.Decision.Author {
		last--
	}
	f.Authors = slices.Delete(f.Authors, last, last+1)
	r.mark(TrimmedAuthors, policy.MissingSignatures)
}

// cutRecipients keeps the first n.
func (r trimmer) cutRecipients(n int) {
	r.Facts.Recipients = r.Facts.Recipients[:n:n]
	r.mark(TrimmedRecipients, policy.MissingRecipients)
}

// halveRecorded leaves out what the older half of the sealers that recorded
// something has recorded.
func (r trimmer) halveRecorded() {
	f := &r.Facts
	f.ARC.Sealers = slices.Clone(f.ARC.Sealers)
	var with []*policy.Sealer
	for i := range f.ARC.Sealers {
		if s := &f.ARC.Sealers[i]; len(s.Recorded) > 0 {
			with = append(with, s)
		}
	}
	for _, s := range with[:(len(with)+1)/2] {
		s.Recorded = nil
	}
	r.mark(TrimmedRecorded, policy.MissingARC)
}

// telling returns n signatures in their order: those that verified, at least
// the header, before the others.
func telling(all []policy.DKIM, n int) []policy.DKIM {
	good := func(s policy.DKIM) bool { return s.Result == "pass" || s.HeaderOK }
	others := n
	for _, s := range all {
		if good(s) {
			others--
		}
	}
	out := make([]policy.DKIM, 0, n)
	for _, s := range all {
		switch {
		case len(out) == n:
		case good(s):
			out = append(out, s)
		case others > 0:
			out = append(out, s)
			others--
		}
	}
	return out
}

func textBytes(all []string) (n int) {
	for _, s := range all {
		n += len(s) + 2
	}
	return n
}

func signatureBytes(all []policy.DKIM) (n int) {
	for _, s := range all {
		n += len(s.Domain) + len(s.Selector) + len(s.Algorithm) + len(s.B) + len(s.Canon) + len(s.Why) + 20
	}
	return n
}

func sealerBytes(all []policy.Sealer) (n int) {
	for _, s := range all {
		n += len(s.Domain) + len(s.Selector) + 6
	}
	return n
}

func recordedBytes(all []policy.Sealer) (n int) {
	for _, s := range all {
		for _, r := range s.Recorded {
			n += len(r.Method) + len(r.Result) + len(r.Domain) + 8
		}
	}
	return n
}

func shadowBytes(all []policy.ShadowDecision) (n int) {
	for _, s := range all {
		n += len(s.Rule) + 6
	}
	return n
}

// cutTexts cuts the texts of a row: names and ids to maxText, what explains to
// so many bytes.
func (r trimmer) cutTexts(most int) {
	rowFields.visit(r.Row, false, func(text string, what content) string {
		limit := maxText
		switch what {
		case word:
			limit = shortText
		case says, reason, term:
			limit = most
		}
		if len(text) > limit {
			r.mark(TrimmedTexts, 0)
		}
		return head(text, limit)
	})
}

// head returns the beginning of a text, with whole characters.
func head(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}
