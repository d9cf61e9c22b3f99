package sum

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"time"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// decisionRevision is raised whenever package policy decides otherwise about the
// same facts under the same settings: rows that were decided before are then
// not expected to come out the same.
const decisionRevision = 2

// sumDigits is how many hexadecimal digits sums have.
const sumDigits = 12

// Settings returns 12 hexadecimal digits that two settings share only if they make
// the same decisions of the same facts: it covers the rules, the maps, and the
// version of this program's way to decide. Who wrote a rule, when, why, where,
// with which tests and with which text for senders does not count, and neither do rules that are off.
func Settings(s policy.Settings) string { return settings(s, s.Rules.List()) }

func settings(s policy.Settings, rules []policy.Rule) string {
	h := sha256.New()
	known := s.TrustedForwarders
	s.Rules, s.TrustedForwarders = policy.Rules{}, policy.TrustedForwarders{}
	writeJSON(h, s)
	fmt.Fprintf(h, "%q %v %v\n", known.Sealers, known.Networks, known.Domains) // an empty list is none
	sumDomains(h, known.Domains)
	fmt.Fprintf(h, "%s %d\n", ofRules(rules), decisionRevision)
	return digits(h)
}

// Rules returns 12 hexadecimal digits that two sets share only if they have
// the same rules, and maps with the same items. In which files and lines the
// rules stand does not count.
func Rules(rs policy.Rules) string { return hashOf(rs.List()) }

func hashOf(rules []policy.Rule) string {
	h := sha256.New()
	for _, r := range rules {
		r.File, r.Line = "", 0
		writeRule(h, r)
	}
	return digits(h)
}

// ofRules is the part of the sum of settings that is about rules, "" for none that
// does anything.
func ofRules(rules []policy.Rule) string {
	h, n := sha256.New(), 0
	for _, r := range rules {
		if r.Mode == policy.Off {
			continue
		}
		r.Owner, r.Comment, r.Text, r.Created, r.Idle, r.File, r.Line = "", "", "", time.Time{}, 0, "", 0
		writeRule(h, r)
		n++
	}
	if n == 0 {
		return ""
	}
	return digits(h)
}

// writeRule writes all of r but its tests, and the sums of the maps it names.
// Times apart: JSON has no years of five digits.
func writeRule(h hash.Hash, r policy.Rule) {
	fmt.Fprintf(h, "%d %d\n", unix(r.Created), unix(r.Expires))
	r.Created, r.Expires = time.Time{}, time.Time{}
	writeJSON(h, r)
	for _, k := range r.Match.Keys() {
		sumDomains(h, k.Domains)
		for _, p := range k.Networks {
			if m := p.Map(); m != nil {
				fmt.Fprintln(h, m.Sum)
			}
		}
	}
}

// unix tells instants apart; no time is 0.
func unix(t time.Time) [2]int64 {
	if t.IsZero() {
		return [2]int64{}
	}
	return [2]int64{t.Unix(), int64(t.Nanosecond())}
}

func sumDomains(h hash.Hash, patterns []pattern.Domain) {
	for _, p := range patterns {
		if m := p.Map(); m != nil {
			fmt.Fprintln(h, m.Sum)
		}
	}
}

// writeJSON writes a value whose types all have a text form: there is no
// error.
func writeJSON(h hash.Hash, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		text = []byte(err.Error())
	}
	h.Write(append(text, '\n'))
}

func digits(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil))[:sumDigits] }
