package config

import (
	"reflect"
	"regexp"
	"strings"

	"dmarcgate/config/tomlfile"
)

// Changed returns the keys of a table of the configuration that differ from the
// usual ones, by their names in the file. Files are left out: they are not where a bundle goes.
func Changed(have, usual reflect.Value) map[string]any {
	out := map[string]any{}
	for i := range have.NumField() {
		name := have.Type().Field(i).Name
		if strings.HasSuffix(name, "File") || reflect.DeepEqual(have.Field(i).Interface(), usual.Field(i).Interface()) {
			continue
		}
		out[tomlKey(name)] = tomlfile.Value(have.Field(i))
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
