package main

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"dmarcgate/policy"
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

// caseRules writes the rules that can be about mail of a listener. A redacted
// bundle has only those that matched, without who wrote them and why.
func caseRules(rules []policy.Rule, listener string, d policy.Decision, redact bool) string {
	matched := append([]string{d.Rule}, d.Also...)
	for _, s := range d.Shadow {
		matched = append(matched, s.Rule)
	}
	var list []map[string]any
	for _, r := range rules {
		elsewhere := len(r.Match.Listener) > 0 && !slices.Contains(r.Match.Listener, listener)
		if r.Mode == policy.Off || elsewhere || redact && !slices.Contains(matched, r.ID) {
			continue
		}
		if redact {
			r.Owner, r.Comment = "postmaster@receiver.example", redacted
		}
		list = append(list, tomlRule(r))
	}
	if len(list) == 0 {
		return ""
	}
	return tomlText(map[string]any{"rule": list})
}

// tomlRule writes a rule for every listener.
func tomlRule(r policy.Rule) map[string]any {
	match := map[string]any{}
	m := r.Match
	for _, key := range []struct {
		name string
		list []string
	}{
		{"client_ip", texts(m.ClientIP)}, {"header_from", texts(m.HeaderFrom)}, {"spf_pass", texts(m.SPFPass)},
		{"dkim_pass", texts(m.DKIMPass)}, {"rcpt_domain", texts(m.RcptDomain)}, {"result", m.Result},
	} {
		if len(key.list) > 0 {
			match[key.name] = key.list
		}
	}
	out := map[string]any{
		"id": r.ID, "owner": r.Owner, "created": tomlDate(r.Created), "mode": r.Mode.String(),
		"priority": r.Priority, "action": r.Action.String(), "match": match, "expires": any("never"),
	}
	if !r.Expires.IsZero() {
		out["expires"] = tomlDate(r.Expires)
	}
	if r.Comment != "" {
		out["comment"] = r.Comment
	}
	if r.Reason != "" {
		out["reason"] = string(r.Reason)
	}
	return out
}

func tomlDate(t time.Time) toml.LocalDate {
	return toml.LocalDate{Year: t.Year(), Month: int(t.Month()), Day: t.Day()}
}
