package results

import (
	"slices"
	"strings"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
)

// Scrub takes local parts out of facts. Domains, names and results have none
// when the owners of domains and the senders of mail write what they should;
// they also write an address into an SPF term, into HELO or into a tag of
// their record. It changes no list that the facts share with others, and reports
// whether there was something to take out.
func Scrub(f *policy.Facts) bool {
	if !eachText(f, func(*string, func(string) string) {}) {
		return false
	}
	f.Authors, f.DKIM, f.ARC.Sealers = slices.Clone(f.Authors), slices.Clone(f.DKIM), slices.Clone(f.ARC.Sealers)
	for i := range f.ARC.Sealers {
		f.ARC.Sealers[i].Recorded = slices.Clone(f.ARC.Sealers[i].Recorded)
	}
	return eachText(f, func(text *string, clean func(string) string) { *text = clean(*text) })
}

// longestTags is more than the longest text of dmarc.Record.PolicyTags, in
// bytes: each tag once, with its longest value.
const longestTags = 160

// hasDestinations reports whether the text of a record may hold more than its
// policy tags. Of those, only ruf and rua begin with these two letters.
func hasDestinations(record string) bool {
	return strings.Contains(record, "ru") || strings.IndexByte(record, '@') >= 0 || len(record) > longestTags
}

// scrubName keeps the domain of an address that stands in place of a name.
func scrubName(name string) string { return name[strings.LastIndexByte(name, '@')+1:] }

// scrubTerm keeps the name of the mechanism or modifier (RFC 7208, Section
// 4.6.1).
func scrubTerm(term string) string {
	end := strings.IndexAny(term, ":=/@")
	if term[end] == '@' {
		return "*"
	}
	return term[:end+1] + "*"
}

// scrubWhy replaces what may be a local part, quoted or not (RFC 5321,
// Section 4.1.2), by a word.
func scrubWhy(reason string) string {
	first, last := strings.IndexByte(reason, '@'), strings.LastIndexByte(reason, '@')
	begin := strings.LastIndexByte(reason[:first], ' ') + 1
	if quote := strings.IndexByte(reason[:first], '"'); quote >= 0 {
		begin = min(begin, quote)
	}
	return reason[:begin] + "someone at " + reason[last+1:]
}

// eachText calls do for each text that may hold a local part, with what takes
// it out, and reports whether there was one.
func eachText(f *policy.Facts, do func(text *string, clean func(string) string)) (found bool) {
	visit := func(clean func(string) string, texts ...*string) {
		for _, text := range texts {
			if strings.IndexByte(*text, '@') >= 0 {
				found = true
				do(text, clean)
			}
		}
	}
	visit(scrubName, &f.ClientName, &f.Helo, &f.MailFrom, &f.SPF.Domain, &f.HELO.Domain, &f.ListID)
	visit(scrubTerm, &f.SPF.Term, &f.HELO.Term)
	visit(scrubWhy, &f.SPF.Why, &f.HELO.Why, &f.ARC.Why)
	for i := range f.Authors {
		a := &f.Authors[i]
		visit(scrubWhy, &a.Verdict.Why)
		if hasDestinations(a.Record) {
			found = true
			do(&a.Record, dmarc.CleanPolicyTags)
		}
	}
	for i := range f.DKIM {
		s := &f.DKIM[i]
		visit(scrubName, &s.Domain, &s.Selector)
		visit(scrubWhy, &s.Why)
	}
	for i := range f.ARC.Sealers {
		s := &f.ARC.Sealers[i]
		visit(scrubName, &s.Domain, &s.Selector)
		for j := range s.Recorded {
			visit(scrubName, &s.Recorded[j].Domain)
		}
	}
	return found
}
