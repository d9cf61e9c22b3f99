package config

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"dmarcgate/policy"
)

// WriteTOML writes a document that holds nothing but what TOML can say; "" for an
// empty one. It panics at any other value.
func WriteTOML(doc map[string]any) string {
	if len(doc) == 0 {
		return ""
	}
	text, err := toml.Marshal(doc)
	if err != nil {
		panic(fmt.Sprintf("settings that cannot be written: %v", err)) // they came out of a file
	}
	return string(text)
}

// Changed returns the keys of a table of the configuration that differ from the
// usual ones, by their names in the file. Files are left out: they are not where a bundle goes.
func Changed(have, usual reflect.Value) map[string]any {
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

// RuleTable returns a rule as a table of a rule file, but for its tests and its
// listeners. Its keys for messages are in the table "match".
func RuleTable(r policy.Rule) map[string]any {
	out := map[string]any{
		"id": r.ID, "owner": r.Owner, "created": tomlDate(r.Created), "mode": r.Mode.String(),
		"priority": r.Priority, "action": r.Action.String(), "match": tomlMatch(r.Match), "expires": any("never"),
	}
	if !r.Expires.IsZero() {
		out["expires"] = tomlDate(r.Expires)
	}
	if r.Idle > 0 {
		out["idle"] = Duration(r.Idle).String()
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
