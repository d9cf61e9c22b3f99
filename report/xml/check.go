package xml

import (
	"fmt"
	"slices"
	"strings"

	"dmarcgate/auth/dmarc"
	"dmarcgate/report"
)

// The words of RFC 9990, Appendix A. Documents of RFC 7489 have fewer; the writer puts
// theirs in the place of those that it lacks.
var (
	dispositionWords = []string{"none", "pass", "quarantine", "reject"}
	reasonWords      = []string{"local_policy", "mailing_list", "other", "policy_test_mode", "trusted_forwarder"}
	dkimWords        = []string{"none", "pass", "fail", "policy", "neutral", "temperror", "permerror"}
	spfWords         = []string{"none", "pass", "fail", "softfail", "policy", "neutral", "temperror", "permerror"}
	discoveryWords   = []string{"", dmarc.TreeWalk.String(), dmarc.PSL.String()}
)

func allowed(words []string, word string) bool { return slices.Contains(words, word) }

// maxIdentity is how long a text of the identity is, in bytes.
const maxIdentity = 255

// rule is a test, and what is wrong when it fails.
type rule struct {
	ok   bool
	what string
}

func firstBroken(rules ...rule) error {
	for _, r := range rules {
		if !r.ok {
			return fmt.Errorf("%w: %s", ErrInvalid, r.what)
		}
	}
	return nil
}

// checkIdentity tests what the configuration says.
func checkIdentity(id report.Identity, generator string) error {
	return firstBroken(
		rule{text(id.Organization), "the organization is empty or too long"},
		rule{text(id.Email) && strings.Contains(id.Email, "@"), "the email is no address"},
		rule{len(id.Contact) <= maxIdentity, "the contact is too long"},
		rule{len(generator) <= maxIdentity, "the generator is too long"},
		rule{domain(id.Submitter) && strings.Contains(id.Submitter, "."), "the submitter is no domain of two labels"},
	)
}

// check tests what stands before the records.
func check(r *report.Report) error {
	if err := checkIdentity(r.Identity, r.Generator); err != nil {
		return err
	}
	p := r.Published
	return firstBroken(
		rule{r.Form == report.RFC9990 || r.Form == report.RFC7489, "it has no form"},
		rule{isID(r.ID), "the ID is not of 32 hexadecimal digits"},
		rule{domain(r.PolicyDomain), "the policy domain is no domain"},
		rule{r.Period.Begin.Unix() >= 0 && r.Period.LastSecond() >= r.Period.Begin.Unix(), "the period is empty"},
		rule{r.Period.Begin.Nanosecond() == 0 && r.Period.End.Nanosecond() == 0, "the period is not of whole seconds"},
		rule{p.Pct <= 100, "pct is above 100"},
		rule{p.P <= dmarc.Reject && p.SP <= dmarc.Reject && p.NP <= dmarc.Reject, "a policy is none that there is"},
		rule{allowed(discoveryWords, p.Discovery), "the discovery method is none that there is"},
		rule{p.FO.String() != "", "fo is empty"},
	)
}

// checkRecord tests what the schemas let pass, and the words, so that no error elsewhere
// leads to a document that readers refuse.
func checkRecord(r *report.Record) error {
	what := ""
	switch {
	case r.Count < 1:
		what = "count is below 1"
	case !r.Source.IsValid() || r.Source.Zone() != "" || r.Source.Is4In6():
		what = "source_ip is no IPv4 or IPv6 address"
	case !allowed(dispositionWords, string(r.Disposition)):
		what = "disposition is none that there is"
	case !domain(r.HeaderFrom):
		what = "header_from is no domain"
	case r.EnvelopeFrom != "" && (r.NullPath || !domain(r.EnvelopeFrom)):
		what = "envelope_from is no domain"
	case r.EnvelopeTo != "" && !domain(r.EnvelopeTo):
		what = "envelope_to is no domain"
	case len(r.Signatures) > report.MaxSignatures:
		what = "it has too many signatures"
	case r.Checked != (report.SPF{}) && (!domain(r.Checked.Domain) || !allowed(spfWords, r.Checked.Result)):
		what = "spf has no domain or no result that there is"
	case slices.ContainsFunc(r.Signatures, badSignature):
		what = "a signature has no domain, no selector or no result that there is"
	case slices.ContainsFunc(r.Reasons, func(x report.Reason) bool { return !allowed(anyReason, x.Type) }):
		what = "a reason is none that there is"
	default:
		return nil
	}
	return fmt.Errorf("%w: a record's %s", ErrInvalid, what)
}

// anyReason are the types of both forms.
var anyReason = append([]string{"sampled_out", "forwarded"}, reasonWords...)

func badSignature(s report.Signature) bool {
	return !domain(s.Domain) || s.Selector == "" || !allowed(dkimWords, s.Result)
}

// text reports whether a required text of the identity is there.
func text(s string) bool { return strings.TrimSpace(s) != "" && len(s) <= maxIdentity }

func isID(id string) bool {
	return len(id) == 32 && strings.Trim(id, "0123456789abcdef") == ""
}

// domain reports whether a text can be a domain of lower-case A-labels.
func domain(s string) bool {
	return s != "" && len(s) <= dmarc.MaxNameBytes && s[0] != '.' && s[len(s)-1] != '.' &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == "" && !strings.Contains(s, "..")
}
