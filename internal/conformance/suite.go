package main

import (
	"strings"
	"unicode"
)

// suite is a test that has a subtest for each case.
type suite struct {
	name  string
	room  string
	test  string
	spec  string            // what its sections are, for the heading of the table; empty: no table
	group func(kase) string // the section of a case
}

// kase is one case that was run.
type kase struct {
	name     string
	section  string // as the test noted it
	deviates string // why our result is another than the suite's
}

// found is a suite with its cases, in the order in which they ran.
type found struct {
	suite
	cases []kase
}

func (f found) deviations() (out []kase) {
	for _, c := range f.cases {
		if c.deviates != "" {
			out = append(out, c)
		}
	}
	return out
}

// all are the suites, in the order of the page.
var all = []suite{
	{"RFC 9989, Appendix B", "auth/dmarc", "TestExamplesOfRFC9989", "section of RFC 9989", firstWord},
	{"Public suffix list vectors", "auth/dmarc", "TestVectorsOfThePublicSuffixList", "", nil},
	{"RFC 7208 test suite", "auth/spf", "TestSuiteOfRFC7208", "section of RFC 7208", noted},
	{"Mail::DKIM messages, evaluated by RFC 6376 and 8301", "auth/dkim", "TestCorpusOfMailDKIM", "messages named", leadingName},
	{"RFC 6376 and RFC 8463, samples", "auth/dkim", "TestSamplesOfTheRFCs", "", nil},
	// Its sections are those of a draft, and nearly all the same.
	{"ARC validation suite, every other case", "auth/arc", "TestARCValidationSuite", "cases named", leadingName},
}

func noted(c kase) string { return c.section }

// firstWord is for cases that are named by their section.
func firstWord(c kase) string {
	word, _, _ := strings.Cut(c.name, "_") // what a blank becomes
	return word
}

// leadingName is for messages whose names begin with what they are about.
func leadingName(c kase) string {
	end := strings.IndexFunc(c.name, func(r rune) bool { return !unicode.IsLetter(r) })
	if end < 0 {
		end = len(c.name)
	}
	return c.name[:end]
}
