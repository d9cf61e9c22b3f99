package config

import (
	"fmt"
	"slices"
	"strings"
)

// unknown returns what is wrong with a key that is not among known, and the
// one of the same table that was probably meant, or "".
func unknown(known []string, table, name string) (meant string, err error) {
	const text = "unknown key"
	siblings := keysOf(known, withoutIndexes(table))
	if i := slices.IndexFunc(siblings, func(s string) bool { return squash(s) == squash(name) }); i >= 0 {
		return siblings[i], faultf(fmt.Sprintf("write %q: keys are lower case, with underscores", siblings[i]), text)
	}
	if s := nearest(name, siblings); s != "" {
		return s, faultf(fmt.Sprintf("did you mean %q?", s), text)
	}
	for _, k := range known {
		if k == name && table == "" {
			return "", faultf("write it without quotes", text)
		}
		if k == name {
			return "", faultf("it belongs at the top of the file, above the first [table]", text)
		}
		if strings.HasSuffix(k, "."+name) {
			return "", faultf(fmt.Sprintf("did you mean %q?", k), text)
		}
	}
	return "", faultf("known here: "+strings.Join(siblings, ", "), text)
}

// squash makes names alike that differ in how words are set apart.
func squash(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
}

// knownKeys returns every key of the configuration file, dotted.
func knownKeys() []string {
	var keys []string
	for _, f := range slices.Concat(fields(new(Config)), listenerFields("listener", new(Listener)), relayFields("trusted_relay", new(TrustedRelay))) {
		keys = append(keys, f.key)
	}
	return keys
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

// nearest returns the candidate that differs from name in the fewest letters,
// or "" when even that differs in more than a third of them.
func nearest(name string, candidates []string) string {
	best, limit := "", max(1, len(name)/3)
	for _, c := range candidates {
		if d := distance(name, c); d <= limit {
			best, limit = c, d-1
		}
	}
	return best
}

// distance is the Levenshtein distance of a and b: the fewest bytes inserted,
// removed or replaced that make one the other.
func distance(a, b string) int {
	row := make([]int, len(b)+1) // distances of a[:i] to each b[:j]
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
