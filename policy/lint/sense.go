package lint

import (
	"fmt"
	"slices"
	"strings"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
	"dmarcgate/scope"
)

// contradiction finds keys, or items of one, that never hold.
func contradiction(r *policy.Rule, _ *Options) (pattern.Fault, bool) {
	m := &r.Match
	s := shapeOf(m)
	for i := range s {
		if f, bad := s[i].denied(s); bad {
			return f, true
		}
	}
	unusable := m.FromField != nil && !slices.ContainsFunc(m.FromField, usable)
	aboutAuthors := len(m.Author)+len(m.PolicyDomain)+len(m.ARCPass)+len(m.Requested) > 0
	switch {
	case m.Requested != nil && m.Result != nil && !slices.Contains(m.Result, "fail"):
		return fault(true, "match.requested", "only failing mail has a policy, and result does not include fail", `add "fail" to result, or remove requested`)
	case unusable && !slices.Contains(m.Result, "permerror"):
		return fault(true, "match.from", "a From field of this kind counts as permerror, and result does not include permerror", `write result = ["permerror"]`)
	case unusable && aboutAuthors:
		return fault(true, "match.from", "a From field of this kind has no author domain", "remove the keys about author domains")
	case m.NullPath != nil && *m.NullPath && m.MailFrom != nil:
		return fault(true, "match.mail_from", "the null reverse path has no domain", "remove null_path or mail_from")
	case m.IsList != nil && !*m.IsList && m.ListID != nil:
		return fault(true, "match.list_id", "every message with a List-Id has list headers", "remove list_headers or list_id")
	case m.SPFPass != nil && m.MailFrom != nil && !s.find("spf_pass", false).overlaps(s.find("mail_from", false)):
		return fault(true, "match.mail_from", "spf_pass is about the same domain and names none of these", "remove mail_from")
	case m.Author != nil && m.PolicyDomain != nil && apart(m.Author, m.PolicyDomain):
		return fault(true, "match.policy_domain", "the record of these authors cannot be there", "name the author domains, or domains above them")
	}
	return pattern.Fault{}, false
}

// usable reports whether a From field gives author domains.
func usable(f policy.From) bool {
	return f == policy.FromOneMailbox || f == policy.FromSeveralMailboxes || f == policy.FromSeveralDomains
}

// denied finds an item that the key with not_ denies wholly.
func (k *keySet) denied(s shape) (pattern.Fault, bool) {
	not := s.find(k.name, true)
	if k.not || not == nil {
		return pattern.Fault{}, false
	}
	i := slices.IndexFunc(k.items, not.coversItem)
	if i < 0 {
		return pattern.Fault{}, false
	}
	text := k.items[i].domain.String()
	if text == "" {
		text = k.items[i].network.String()
	}
	return fault(true, "match."+k.name, fmt.Sprintf("%q never holds: also listed in not_%s", text, k.name), "remove the item from one of the two keys")
}

// maxPairs bounds what is compared item by item: our limit, far above what
// people write by hand.
const maxPairs = 10_000

// apart reports whether no name of authors is one of records or below one: an
// author's record is at its domain or above it (RFC 9989, Section 4.10).
func apart(authors, records []pattern.Domain) bool {
	if len(authors)*len(records) > maxPairs {
		return false
	}
	for _, a := range authors {
		if slices.ContainsFunc(records, func(p pattern.Domain) bool { return canServe(p, a) }) {
			return false
		}
	}
	return true
}

// canServe reports whether the record of an author that a holds can be at a
// domain that p holds.
func canServe(p, a pattern.Domain) bool {
	switch {
	case p.Map() != nil || a.Map() != nil:
		return true
	case a.Kind() == pattern.Exact && p.Kind() == pattern.Exact:
		return scope.AtOrBelow(a.Name(), p.Name())
	case a.Kind() == pattern.Exact:
		return strings.HasSuffix(a.Name(), "."+p.Name())
	}
	return scope.AtOrBelow(a.Name(), p.Name()) || scope.AtOrBelow(p.Name(), a.Name())
}

// meant says which of the words was probably meant by one that is none of
// them, or what they are.
func meant(word string, words []string) string {
	if near := pattern.Nearest(word, words); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "write " + pattern.Alternatives(words)
}
