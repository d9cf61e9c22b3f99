package lookup

import (
	"fmt"
	"slices"
	"strings"

	"dmarcgate/auth/dmarc"
	"dmarcgate/auth/spf"
	"dmarcgate/term"
)

// remark is a fact that is no defect of the record.
type remark struct {
	Kind    string   `json:"kind"`
	Text    string   `json:"text"`
	Publish []string `json:"publish,omitempty"` // zone file lines that would fix it
}

// recordRemarks are about the record itself.
func recordRemarks(d dmarc.Discovery) []remark {
	out := []remark{}
	r := d.Record
	add := func(on bool, kind, format string, args ...any) {
		if on {
			out = append(out, remark{Kind: kind, Text: fmt.Sprintf(format, args...)})
		}
	}
	found := d.Source != dmarc.SourceNone
	valid := func(t dmarc.PolicyTag) bool { return t.Presence == dmarc.Valid }
	add(!found, "no_record", "no DMARC record applies: mail from %s can be forged, and the owner gets no reports", d.Author)
	add(found && r.Broken(d.Method), "not_enforced", "nothing is enforced: p, sp or np is missing or cannot be read")
	add(valid(r.P) && valid(r.SP) && r.SP.Policy < r.P.Policy, "weaker_sp",
		"sp=%s is weaker than p=%s: mail from subdomains is less protected than from %s", r.SP, r.P, d.PolicyDomain)
	add(valid(r.P) && valid(r.NP) && r.NP.Policy < r.P.Policy, "weaker_np",
		"np=%s is weaker than p=%s: mail from subdomains that do not exist is less protected than from %s", r.NP, r.P, d.PolicyDomain)
	add(found && r.T, "testing", "t=y: the owner asks for one step less than the policy says")
	add(found && r.Pct < 100, "sampled", "pct=%d: the policy is for that share of the failing mail; RFC 9989 has dropped the tag", r.Pct)
	add(found && len(r.RUA) == 0, "no_rua", "no rua: the owner gets no aggregate reports")
	add(d.Existence == dmarc.Missing, "missing_domain", "%s does not exist: np applies", d.Author)
	return out
}

// mailUse is what the DNS says about the mail of a domain.
type mailUse struct {
	hosts  []string // of MX
	mxErr  error
	spf    []string // SPF records
	spfErr error
	check  spf.Result // of the one record
}

// remarks are about SPF, and about a domain that never sends.
func (u mailUse) remarks(s *domainReport) []remark {
	var out []remark
	switch {
	case u.spfErr != nil:
		out = append(out, remark{Kind: "spf_unknown", Text: "SPF is not known: " + term.ErrorText(u.spfErr)})
	case len(u.spf) > 1:
		out = append(out, remark{Kind: "spf_several", Text: fmt.Sprintf("%d SPF records: together they are an error, one must remain", len(u.spf))})
	case u.check.Status == spf.PermError:
		out = append(out, remark{Kind: "spf_broken", Text: strings.TrimSpace("the SPF record is an error for every receiver: " + term.Printable(u.check.Why) + " " + term.Printable(u.check.Term))})
	case len(u.spf) == 0 && !u.nullMX():
		out = append(out, remark{Kind: "spf_missing", Text: "no SPF record"})
	}
	if u.neverSends() {
		out = append(out, u.silence(s))
	}
	return out
}

// nullMX is the word of a domain that takes no mail (RFC 7505).
func (u mailUse) nullMX() bool { return slices.Equal(u.hosts, []string{"."}) }

// closed reports whether SPF names no sender at all.
func (u mailUse) closed() bool {
	return len(u.spf) == 1 && slices.Equal(strings.Fields(strings.ToLower(u.spf[0])), []string{"v=spf1", "-all"})
}

// neverSends is a guess from what is published: whether there are DKIM keys
// cannot be queried without their selectors. A null MX tells it alone: nobody
// could answer mail from the domain (RFC 7505, Section 4.2).
func (u mailUse) neverSends() bool {
	return u.mxErr == nil && u.spfErr == nil && (u.nullMX() || len(u.hosts) == 0 && u.closed())
}

// silence says what such a domain should publish.
func (u mailUse) silence(s *domainReport) remark {
	r := remark{Kind: "never_sends"}
	if s.Policy != dmarc.Reject.String() {
		r.Publish = append(r.Publish, fmt.Sprintf(`_dmarc.%s. IN TXT "v=DMARC1; p=reject"`, s.Domain))
	}
	if !u.closed() {
		r.Publish = append(r.Publish, fmt.Sprintf(`%s. IN TXT "v=spf1 -all"`, s.Domain))
	}
	if !u.nullMX() {
		r.Publish = append(r.Publish, fmt.Sprintf(`%s. IN MX 0 .`, s.Domain))
	}
	var signs []string
	if u.nullMX() {
		signs = append(signs, "a null MX")
	} else {
		signs = append(signs, "no MX")
	}
	if u.closed() {
		signs = append(signs, "SPF v=spf1 -all")
	}
	r.Text = "the domain seems never to send mail (" + strings.Join(signs, ", ") + ")"
	if len(r.Publish) > 0 {
		r.Text += "; if so, publish"
	} else {
		r.Text += ", and says so in full"
	}
	return r
}
