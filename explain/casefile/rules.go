package casefile

import (
	"slices"
	"time"

	"dmarcgate/config/rulefile"
	"dmarcgate/config/tomlfile"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// rules writes the rules that can be about mail of a listener, and reports
// whether it has left out items of maps. A redacted bundle has only those that
// matched, without who wrote them and why.
func rules(all []policy.Rule, listener string, x Outcome, redact bool) (text string, cut bool) {
	matched := append([]string{x.Decision.Rule, x.Decision.Unreported}, x.Decision.Also...)
	for _, s := range x.Decision.Shadow {
		matched = append(matched, s.Rule)
	}
	var list []map[string]any
	for _, r := range all {
		elsewhere := len(r.Match.Listener) > 0 && !slices.Contains(r.Match.Listener, listener)
		if r.Mode == policy.Off || elsewhere || redact && !slices.Contains(matched, r.ID) {
			continue
		}
		if redact {
			r.Owner, r.Comment, r.ReportComment, r.Text = "postmaster@receiver.example", redacted, "", ""
		}
		if (r.Sample > 0 || hasClock(r.Match)) && !slices.Contains(matched, r.ID) {
			continue // if it is about the message, that was not drawn, or it was another time
		}
		r.Sample = 0
		if !allDay(r.Match) { // it held, and may not when the case is run
			r.Match.Hours = nil
		}
		if !allWeek(r.Match) {
			r.Match.Weekdays = nil
		}
		if r.Match.Hours == nil && r.Match.Weekdays == nil {
			r.Match.TZ = nil
		}
		r, had := withoutMaps(r, x.Facts)
		cut = cut || had
		doc := rulefile.Table(r)
		if len(r.Match.Listener) > 0 {
			doc["match"].(map[string]any)["listener"] = []string{caseListener}
		}
		list = append(list, doc)
	}
	if len(list) == 0 {
		return "", false
	}
	return tomlfile.Write(map[string]any{"rule": list}), cut
}

// hasClock reports whether a rule is for a part of the day or of the week.
func hasClock(m policy.Match) bool {
	return m.Hours != nil && !allDay(m) || m.Weekdays != nil && !allWeek(m)
}

func allDay(m policy.Match) bool {
	return slices.ContainsFunc(m.Hours, func(h pattern.Hours) bool { return h.String() == "00:00-24:00" })
}

func allWeek(m policy.Match) bool {
	for d := time.Sunday; d <= time.Saturday; d++ {
		if !slices.Contains(m.Weekdays, pattern.Weekday(d)) {
			return false
		}
	}
	return true
}
