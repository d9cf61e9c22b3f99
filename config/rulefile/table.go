package rulefile

import (
	"dmarcgate/policy"
	"reflect"
	"strings"
	"time"

	"dmarcgate/config/tomlfile"

	"github.com/pelletier/go-toml/v2"
)

// Table returns a rule as a table of a rule file, but for its tests and its
// listeners. Its keys for messages are in the table "match".
func Table(r policy.Rule) map[string]any {
	out := map[string]any{
		"id": r.ID, "owner": r.Owner, "created": tomlDate(r.Created), "mode": r.Mode.String(),
		"priority": r.Priority, "action": r.Action.String(), "match": tomlMatch(r.Match), "expires": any("never"),
	}
	if !r.Expires.IsZero() {
		out["expires"] = tomlDate(r.Expires)
	}
	if r.Idle > 0 {
		out["idle"] = tomlfile.Duration(r.Idle).String()
	}
	if r.Sample > 0 {
		out["sample"] = float64(r.Sample) / 100
	}
	for key, text := range map[string]string{"comment": r.Comment, "reason": string(r.Reason), "report_comment": r.ReportComment, "text": r.Text} {
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
				out[prefix+name] = tomlfile.Value(v.Elem())
			default:
				out[prefix+name] = tomlfile.Value(v)
			}
		}
	}
	add("", reflect.ValueOf(m))
	add("not_", reflect.ValueOf(m.Not))
	return out
}

// tomlDate is a date alone for the beginning of a day in UTC, else with the time.
func tomlDate(t time.Time) any {
	if t = t.UTC(); !t.Equal(t.Truncate(24 * time.Hour)) {
		return t
	}
	return toml.LocalDate{Year: t.Year(), Month: int(t.Month()), Day: t.Day()}
}
