package main

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"dmarcgate/config"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// tomlText writes a document that holds nothing but what TOML can say.
func tomlText(doc map[string]any) string {
	if len(doc) == 0 {
		return ""
	}
	text, err := toml.Marshal(doc)
	if err != nil {
		panic(fmt.Sprintf("settings that cannot be written: %v", err)) // they came out of a file
	}
	return string(text)
}

// tomlTable returns the fields of a table of the configuration that differ from
// the usual ones. Files are left out: they are not where a bundle goes.
func tomlTable(have, usual reflect.Value) map[string]any {
	out := map[string]any{}
	for i := range have.NumField() {
		name := have.Type().Field(i).Name
		if strings.HasSuffix(name, "File") || reflect.DeepEqual(have.Field(i).Interface(), usual.Field(i).Interface()) {
			continue
		}
		out[tomlKey(name)] = tomlValue(have.Field(i))
	}
	return out
}

var (
	innerCapital = regexp.MustCompile(`([a-z])([A-Z])`)
	lastCapital  = regexp.MustCompile(`([A-Z])([A-Z][a-z])`)
)

// tomlKey turns MaxKeyBits into max_key_bits.
func tomlKey(field string) string {
	return strings.ToLower(lastCapital.ReplaceAllString(innerCapital.ReplaceAllString(field, "${1}_${2}"), "${1}_${2}"))
}

func tomlValue(v reflect.Value) any {
	switch s, isText := v.Interface().(fmt.Stringer); {
	case isText:
		return s.String()
	case v.Kind() == reflect.Slice:
		list := []any{}
		for i := range v.Len() {
			list = append(list, tomlValue(v.Index(i)))
		}
		return list
	}
	return v.Interface()
}

func texts[T fmt.Stringer](list []T) []string {
	var out []string
	for _, v := range list {
		out = append(out, v.String())
	}
	return out
}

// caseRules writes the rules that can be about mail of a listener, and reports
// whether it has left out items of maps. A redacted bundle has only those that
// matched, without who wrote them and why.
func caseRules(rules []policy.Rule, listener string, x *explanation, redact bool) (text string, cut bool) {
	matched := append([]string{x.Decision.Rule, x.Decision.Unreported}, x.Decision.Also...)
	for _, s := range x.Decision.Shadow {
		matched = append(matched, s.Rule)
	}
	var list []map[string]any
	for _, r := range rules {
		elsewhere := len(r.Match.Listener) > 0 && !slices.Contains(r.Match.Listener, listener)
		if r.Mode == policy.Off || elsewhere || redact && !slices.Contains(matched, r.ID) {
			continue
		}
		if redact {
			r.Owner, r.Comment, r.ReportComment = "postmaster@receiver.example", redacted, ""
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
		r, had := withoutMaps(r, x.Facts)
		cut = cut || had
		doc := tomlRule(r)
		if len(r.Match.Listener) > 0 {
			doc["match"].(map[string]any)["listener"] = []string{caseListener}
		}
		list = append(list, doc)
	}
	if len(list) == 0 {
		return "", false
	}
	return tomlText(map[string]any{"rule": list}), cut
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

// tomlRule writes a rule, but for its tests and its listeners.
func tomlRule(r policy.Rule) map[string]any {
	out := map[string]any{
		"id": r.ID, "owner": r.Owner, "created": tomlDate(r.Created), "mode": r.Mode.String(),
		"priority": r.Priority, "action": r.Action.String(), "match": tomlMatch(r.Match), "expires": any("never"),
	}
	if !r.Expires.IsZero() {
		out["expires"] = tomlDate(r.Expires)
	}
	if r.Idle > 0 {
		out["idle"] = config.Duration(r.Idle).String()
	}
	if r.Sample > 0 {
		out["sample"] = float64(r.Sample) / 100
	}
	for key, text := range map[string]string{"comment": r.Comment, "reason": string(r.Reason), "report_comment": r.ReportComment} {
		if text != "" {
			out[key] = text
		}
	}
	return out
}

// tomlMatch writes the keys that are set, for every listener. Their names are
// those that Match has for JSON.
func tomlMatch(m policy.Match) map[string]any {
	out := map[string]any{}
	add := func(prefix string, keys reflect.Value) {
		for i := range keys.NumField() {
			name, _, _ := strings.Cut(keys.Type().Field(i).Tag.Get("json"), ",")
			switch v := keys.Field(i); {
			case name == "not" || name == "listener" || v.IsNil():
			case v.Kind() == reflect.Pointer:
				out[prefix+name] = v.Elem().Interface()
			default:
				out[prefix+name] = tomlValue(v)
			}
		}
	}
	add("", reflect.ValueOf(m))
	add("not_", reflect.ValueOf(m.Not))
	return out
}

func tomlDate(t time.Time) toml.LocalDate {
	return toml.LocalDate{Year: t.Year(), Month: int(t.Month()), Day: t.Day()}
}
