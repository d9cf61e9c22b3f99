package config

import (
	"fmt"
	"slices"
	"strings"

	"dmarcgate/config/tomlfile"
)

// Bounds of what is told of a change: ours, for the log.
const (
	maxShownValue = 200 // bytes
	maxShownItems = 20  // of a list
)

// secretKeys are never shown: a URL may hold a password.
var secretKeys = []string{"store.postgres.url"}

// notShown stands for a secret.
const notShown = "(not shown)"

// Change is a key that two files have otherwise. Of a list, Old has what is gone
// and New what has come.
type Change struct {
	Key      string // as in "listener[mta].profile"
	Old, New string // as they are written; "" where the key is not
}

// Changes returns what is written otherwise in a later file than in c, by key.
// Secrets are told without their values.
func (c *Config) Changes(later *Config) []Change {
	var keys []string
	for k := range c.written {
		keys = append(keys, k)
	}
	for k := range later.written {
		if _, both := c.written[k]; !both {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	var all []Change
	for _, k := range keys {
		if ch, differs := change(k, c.written[k], later.written[k]); differs {
			all = append(all, ch)
		}
	}
	return all
}

func change(key string, before, after any) (Change, bool) {
	gone, come := shownValue(before), shownValue(after)
	a, isList := before.([]any)
	b, stays := after.([]any)
	if isList && stays {
		gone, come = missing(a, b), missing(b, a)
	}
	if gone == come {
		return Change{}, false
	}
	if slices.Contains(secretKeys, key) {
		gone, come = hide(gone), hide(come)
	}
	return Change{Key: key, Old: bounded(gone), New: bounded(come)}, true
}

func hide(text string) string {
	if text == "" {
		return ""
	}
	return notShown
}

func bounded(text string) string {
	if len(text) > maxShownValue {
		return strings.ToValidUTF8(text[:maxShownValue], "") + "…"
	}
	return text
}

// shownValue is a value as TOML has it, more or less; "" for none.
func shownValue(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case []any:
		return missing(v, nil)
	case string:
		return fmt.Sprintf("%q", v)
	}
	return fmt.Sprint(v)
}

// missing lists what the second list lacks of the first, as far as it is shown.
func missing(list, from []any) string {
	has := make(map[string]bool, len(from))
	for _, v := range from {
		has[shownValue(v)] = true
	}
	var out []string
	more := 0
	for _, v := range list {
		switch text := shownValue(v); {
		case has[text]:
		case len(out) < maxShownItems:
			out = append(out, text)
		default:
			more++
		}
	}
	text := "[" + strings.Join(out, ", ")
	if more > 0 {
		text += fmt.Sprintf(", and %d more", more)
	}
	return text + "]"
}

// flattened returns the values of a decoded file by path. Tables of a list are
// told apart by their name, where they have one: their order says nothing.
func flattened(tree map[string]any) map[string]any {
	out := make(map[string]any)
	flatten(out, "", tree)
	return out
}

func flatten(out map[string]any, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, item := range v {
			flatten(out, tomlfile.Join(path, name), item)
		}
	case []any:
		if len(v) == 0 || !allTables(v) {
			out[path] = v
			return
		}
		for i, item := range v {
			at := tomlfile.Element(path, i)
			if name, ok := item.(map[string]any)["name"].(string); ok {
				at = path + "[" + name + "]"
			}
			flatten(out, at, item)
		}
	default:
		out[path] = v
	}
}

func allTables(list []any) bool {
	return !slices.ContainsFunc(list, func(v any) bool {
		_, ok := v.(map[string]any)
		return !ok
	})
}
