package policy

import "dmarcgate/auth/dmarc"

// Decision is what is done with a message, and why. The zero value delivers.
type Decision struct {
	Action      Action       `json:"action"`
	Disposition Disposition  `json:"disposition"`
	Requested   dmarc.Policy `json:"requested"` // the strictest policy published for a failing author domain
	Reason      Reason       `json:"reason,omitempty"`
	Evidence    Evidence     `json:"evidence,omitempty"`  // what the profile went by, also when a rule decided in the end
	Why         string       `json:"why"`                 // one clause in words, free of text from the message
	Author      string       `json:"author,omitempty"`    // the author domain that decided
	Effective   []Policy     `json:"effective,omitempty"` // for each of Facts.Authors

	Rule   string           `json:"rule,omitempty"`   // id of the rule that decided
	Also   []string         `json:"also,omitempty"`   // ids of enforced rules of lower rank that matched too
	Shadow []ShadowDecision `json:"shadow,omitempty"` // what rules that only watch would have done

	ReportComment string `json:"report_comment,omitempty"` // of the rule that decided, where the reason is its reason
	Unreported    string `json:"unreported,omitempty"`     // id of the rule that keeps the message out of reports
}

// ShadowDecision is what a rule would have done with the message, had it been
// the one to decide.
type ShadowDecision struct {
	Rule        string      `json:"rule"`
	Action      Action      `json:"action"`
	Disposition Disposition `json:"disposition"`
}

// Policy is the published policy of one author domain after t and pct.
type Policy struct {
	Applied dmarc.Policy `json:"applied"`
	Reason  Reason       `json:"reason,omitempty"`
}

// ReportReason is the reason that a report gives for the disposition of a message
// with these facts (RFC 9990, Section 3.1.6): Reason, or LocalPolicy where less
// was done than the owner asks for after t and pct and nothing else says why, as
// under the profile Monitor. Reason itself may say what t and pct did. A row keeps the two apart, so that what a site has
// decided about single messages can be told from what it does not enforce at all.
func (d Decision) ReportReason(f Facts) Reason {
	if lowered := d.Reason == PolicyTestMode || d.Reason == SampledOut; d.Reason != AsPublished && !lowered || d.Action == Tempfail {
		return d.Reason
	}
	for i, p := range d.Effective {
		if i < len(f.Authors) && f.Authors[i].Verdict.Status == dmarc.Fail && p.Applied != dmarc.None && int(d.Disposition) < int(p.Applied) {
			return LocalPolicy
		}
	}
	return d.Reason
}

// severerThan orders decisions by what is done, then by what was asked for,
// so that the record of a message names the domain that mattered.
func (d Decision) severerThan(o Decision) bool {
	if d.Action != o.Action {
		return d.Action > o.Action
	}
	return d.Requested > o.Requested
}
