package spf

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"
)

// The grammar of RFC 7208, Section 12, rule by rule, with what the text adds:
// c, r and t stand in explanations only and in unknown modifiers (Section 7.2),
// a number of parts is not 0 (Section 7.3).
var (
	toplabel     = `(?:[a-z0-9]*[a-z][a-z0-9]*|[a-z0-9]+-[a-z0-9-]*[a-z0-9])`
	transformers = `(?:0*[1-9][0-9]*)?r?[-.+,/_=]*`
	macroExpand  = `(?:%\{[slodiphv]` + transformers + `\}|%%|%_|%-)`
	macroLiteral = `[!-$&-~]`
	domainSpec   = `(?:` + macroExpand + `|` + macroLiteral + `)*(?:\.` + toplabel + `\.?|` + macroExpand + `)`
	macroString  = `(?:%\{[slodiphvcrt]` + transformers + `\}|%%|%_|%-|` + macroLiteral + `)*`
	cidr4        = `(?:/(?:[0-9]|[12][0-9]|3[0-2]))`
	cidr6        = `(?:/(?:[0-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))`
	dualCIDR     = cidr4 + `?(?:/` + cidr6 + `)?`
	qnum         = `(?:[0-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])`

	grammar = regexp.MustCompile(`(?i)^(?:` +
		`[-+?~]?(?:all|include:` + domainSpec + `|(?:a|mx)(?::` + domainSpec + `)?` + dualCIDR + `|ptr(?::` + domainSpec + `)?|` +
		`ip4:` + qnum + `(?:\.` + qnum + `){3}` + cidr4 + `?|ip6:([0-9a-f:.]+)` + cidr6 + `?|exists:` + domainSpec + `)|` +
		`(?:redirect|exp)=` + domainSpec + `|([a-z][-a-z0-9_.]*)=` + macroString + `)$`)
)

// inGrammar reports whether a record is one of RFC 7208.
func inGrammar(record string) bool {
	known := map[string]int{}
	for _, term := range strings.Split(record[len(version):], " ") {
		if term == "" {
			continue
		}
		m := grammar.FindStringSubmatch(term)
		if m == nil {
			return false
		}
		if m[1] != "" {
			if addr, err := netip.ParseAddr(m[1]); err != nil || addr.Is4() {
				return false
			}
		}
		if m[2] != "" && (strings.EqualFold(m[2], "redirect") || strings.EqualFold(m[2], "exp")) {
			return false // as an unknown modifier
		}
		for _, name := range []string{"redirect=", "exp="} {
			if len(term) > len(name) && strings.EqualFold(term[:len(name)], name) {
				known[name]++
			}
		}
	}
	return known["redirect="] < 2 && known["exp="] < 2 // Section 6
}

func TestParseAcceptsGrammar(t *testing.T) {
	t.Run("corpus of ours", func(t *testing.T) { compareWithGrammar(t, readCases(t, ownSuite), 300) })
	t.Run("suite of the RFC", func(t *testing.T) { compareWithGrammar(t, readSuite(t), 20) })
}

func compareWithGrammar(t *testing.T, cases []suiteCase, mutants int) {
	seen := make(map[bool]int)
	for _, tr := range trials(cases, mutants) {
		if !isRecord(tr.record) {
			continue
		}
		_, f := parse(tr.record)
		want := inGrammar(tr.record)
		seen[want]++
		if (f == nil) != want {
			t.Errorf("parse(%q) = %+v; the grammar has it: %t", tr.record, f, want)
		}
	}
	if seen[true] < 500 || seen[false] < 500 {
		t.Errorf("%d records of the grammar and %d others; want more of both", seen[true], seen[false])
	}
}
