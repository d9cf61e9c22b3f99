package policy

import (
	"strings"
	"testing"

	"dmarcgate/auth/dmarc"
)

func several(n int) []Author {
	var out []Author
	for range n {
		out = append(out, author("good.example", dmarc.Verdict{Status: dmarc.Pass, Policy: dmarc.Reject}))
	}
	return out
}

// The table of outcomes of the From field: a line for each, with what each
// profile does when the site has not said anything else.
var fromCases = []struct {
	name                        string
	facts                       Facts
	key, words                  string
	monitor, conformant, strict Action
	site                        func(*FromAnswers) *FromAnswer
}{
	{"missing", Facts{FromField: FromMissing}, "missing", "no From field", Accept, Tag, Reject, func(a *FromAnswers) *FromAnswer { return &a.Missing }},
	{"missing, null path", Facts{FromField: FromMissing, NullPath: true}, "null_path_missing", "no From field, and the null reverse path", Accept, Tag, Tag,
		func(a *FromAnswers) *FromAnswer { return &a.NullPathMissing }},
	{"empty group", Facts{FromField: FromEmptyGroup}, "empty_group", "no address in the From field", Accept, Tag, Reject, func(a *FromAnswers) *FromAnswer { return &a.EmptyGroup }},
	{"empty group, null path", Facts{FromField: FromEmptyGroup, NullPath: true}, "empty_group", "no address in the From field", Accept, Tag, Reject,
		func(a *FromAnswers) *FromAnswer { return &a.EmptyGroup }},
	{"unparsable", Facts{FromField: FromUnparsable}, "unparsable", "From field cannot be read", Accept, Hold, Reject, func(a *FromAnswers) *FromAnswer { return &a.Unparsable }},
	{"nothing is known", Facts{}, "unparsable", "From field cannot be read", Accept, Hold, Reject, func(a *FromAnswers) *FromAnswer { return &a.Unparsable }},
	{"one mailbox that nobody evaluated", Facts{FromField: FromOneMailbox}, "unparsable", "From field cannot be read", Accept, Hold, Reject,
		func(a *FromAnswers) *FromAnswer { return &a.Unparsable }},
	{"a pass in a header that was cut", Facts{FromField: FromOneMailbox, HeaderTruncated: true, Authors: several(1)}, "unparsable", "header longer than the limits", Accept, Hold, Reject,
		func(a *FromAnswers) *FromAnswer { return &a.Unparsable }},
	{"missing in a header that was cut, null path", Facts{FromField: FromMissing, NullPath: true, HeaderTruncated: true}, "unparsable", "header longer than the limits", Accept, Hold, Reject,
		func(a *FromAnswers) *FromAnswer { return &a.Unparsable }},
	{"several fields", Facts{FromField: FromSeveralFields}, "several_fields", "several From fields", Accept, Hold, Reject, func(a *FromAnswers) *FromAnswer { return &a.SeveralFields }},
	{"several fields, null path", Facts{FromField: FromSeveralFields, NullPath: true}, "several_fields", "several From fields", Accept, Hold, Reject,
		func(a *FromAnswers) *FromAnswer { return &a.SeveralFields }},
	{"six domains", Facts{FromField: FromSeveralDomains, Authors: several(6)}, "too_many_domains", "more than 5 domains in the From field", Accept, Hold, Reject,
		func(a *FromAnswers) *FromAnswer { return &a.TooManyDomains }},
	{"domains that nobody evaluated", Facts{FromField: FromSeveralDomains}, "too_many_domains", "more than 5 domains in the From field", Accept, Hold, Reject,
		func(a *FromAnswers) *FromAnswer { return &a.TooManyDomains }},
}

func TestFromErrorsAreAnsweredByProfile(t *testing.T) {
	for _, tt := range fromCases {
		for profile, want := range map[Profile]Action{Monitor: tt.monitor, Conformant: tt.conformant, Strict: tt.strict} {
			d := Settings{Profile: profile, EnforceShare: 100, Quarantine: Hold}.Decide(tt.facts)
			if d.Action != want || d.Why != tt.words {
				t.Errorf("Decide(%s) in %s = %v, %q; want %v, %q", tt.name, profile, d.Action, d.Why, want, tt.words)
			}
			if deviates := profile != Monitor; (d.Reason == LocalPolicy) != deviates {
				t.Errorf("Decide(%s) in %s has the reason %q", tt.name, profile, d.Reason)
			}
		}
	}
}

func TestFromAnswersOverrideProfile(t *testing.T) {
	answers := map[FromAnswer]struct {
		action      Action
		disposition Disposition
	}{FromAccept: {Tag, Delivered}, FromQuarantine: {Hold, Quarantined}, FromReject: {Reject, Rejected}}
	for _, tt := range fromCases {
		for answer, want := range answers {
			for _, profile := range []Profile{Conformant, Strict} {
				s := Settings{Profile: profile, EnforceShare: 100, Quarantine: Hold}
				*tt.site(&s.From) = answer
				d := s.Decide(tt.facts)
				if d.Action != want.action || d.Disposition != want.disposition || d.Reason != LocalPolicy {
					t.Errorf("Decide(%s) in %s with %v = %v, %v, %q; want %v, %v, local_policy", tt.name, profile, answer, d.Action, d.Disposition, d.Reason, want.action, want.disposition)
				}
				if words := tt.words + "; from." + tt.key + " is " + answer.String(); d.Why != words {
					t.Errorf("Decide(%s) says %q; want %q", tt.name, d.Why, words)
				}
			}
			s := Settings{Profile: Monitor, Quarantine: Hold}
			*tt.site(&s.From) = answer
			if d := s.Decide(tt.facts); d.Action != Accept || d.Why != tt.words {
				t.Errorf("Decide(%s) in monitor with %v = %v, %q; want it recorded only", tt.name, answer, d.Action, d.Why)
			}
		}
	}
}

// The setting of one outcome is not that of another.
func TestFromAnswerAppliesToItsErrorOnly(t *testing.T) {
	for _, set := range fromCases {
		s := Settings{Profile: Strict, EnforceShare: 100, Quarantine: Hold}
		*set.site(&s.From) = FromQuarantine
		for _, tt := range fromCases {
			own := tt.key == set.key
			if d := s.Decide(tt.facts); own != strings.Contains(d.Why, "; from."+set.key) {
				t.Errorf("with from.%s set, Decide(%s) says %q", set.key, tt.name, d.Why)
			}
		}
	}
}

func TestFromAnswerQuarantineCanReject(t *testing.T) {
	d := Settings{Profile: Conformant, EnforceShare: 100, Quarantine: Reject}.Decide(Facts{FromField: FromSeveralFields})
	if d.Action != Reject || d.Disposition != Rejected || d.Reason != LocalPolicy {
		t.Errorf("Decide() = %v, %v, %q; want reject, reject, local_policy", d.Action, d.Disposition, d.Reason)
	}
}

func TestFromAnswerUnmarshalText(t *testing.T) {
	for a := FromProfile; a <= FromReject; a++ {
		text, _ := a.MarshalText()
		var got FromAnswer
		if err := got.UnmarshalText(text); err != nil || got != a {
			t.Errorf("UnmarshalText(%s) = %v, %v; want %v", text, got, err, a)
		}
	}
	var a FromAnswer
	if err := a.UnmarshalText([]byte("tempfail")); err == nil || a != FromProfile {
		t.Errorf("UnmarshalText(tempfail) = %v, %v; want an error and what the profile does", a, err)
	}
}
