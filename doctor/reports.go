package doctor

import "dmarcgate/term"

// reports looks at the identity of aggregate reports, whether sending is switched
// on or not: the check should succeed before.
func (h *Host) reports(r *report) {
	for _, f := range h.Reports {
		id, consequence := "report_identity", "; no report is sent"
		switch {
		case f.Warning:
			id, consequence = "report_advice", ""
		case f.Temporary:
			consequence = "; no report is sent until a check succeeds"
		}
		r.add(id, byHand(term.Printable(f.Fix)), "reports.%s: %s%s", f.Key, term.Printable(f.Text), consequence)
	}
}
