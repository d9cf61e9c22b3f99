package tomlfile

import (
	"fmt"
	"slices"
	"strings"

	"dmarcgate/policy/pattern"
)

// unknown returns what is wrong with a key that is not among known, and the
// one of the same table that was probably meant, or "".
func unknown(known []string, table, name string) (meant string, err error) {
	const text = "unknown key"
	siblings := keysOf(known, withoutIndexes(table))
	if i := slices.IndexFunc(siblings, func(s string) bool { return squash(s) == squash(name) }); i >= 0 {
		return siblings[i], Faultf(fmt.Sprintf("write %q: keys are lower case, with underscores", siblings[i]), text)
	}
	if s := pattern.Nearest(name, siblings); s != "" {
		return s, Faultf(fmt.Sprintf("did you mean %q?", s), text)
	}
	for _, k := range known {
		if k == name && table == "" {
			return "", Faultf("write it without quotes", text)
		}
		if k == name {
			return "", Faultf("move the key to the top of the file, above the first [table]", text)
		}
		if strings.HasSuffix(k, "."+name) {
			return "", Faultf(fmt.Sprintf("did you mean %q?", k), text)
		}
	}
	return "", Faultf("known here: "+strings.Join(siblings, ", "), text)
}

// squash makes names alike that differ in how words are set apart.
func squash(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
}

// keysOf returns the names of known that may stand in a table, sub-tables
// among them.
func keysOf(known []string, table string) []string {
	var names []string
	for _, key := range known {
		if table != "" {
			rest, ok := strings.CutPrefix(key, table+".")
			if !ok {
				continue
			}
			key = rest
		}
		name, _, _ := strings.Cut(key, ".")
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
