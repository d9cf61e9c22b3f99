package config

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"dmarcgate/config/tomlfile"
)

// partlyRounds is how often what is wrong is taken out of a file and the rest
// read again: our limit. A key can be missed only after its table was read, so
// few rounds find all.
const partlyRounds = 8

// LoadPartly is Load for tools that work without the daemon: a broken file gives
// what can be read of it, and defaults for the rest, with the error of Load. A
// file without a usable listener gets one under the profile strict.
func LoadPartly(path string) (*Config, error) {
	data, err := readFile(path)
	if err != nil {
		return fallback(), &FileError{err}
	}
	c, err := Parse(path, data)
	if err == nil {
		return c, nil
	}
	return parsePartly(path, data), err
}

// parsePartly takes out of a file what is wrong until the rest is right.
func parsePartly(name string, data []byte) *Config {
	tree := map[string]any{}
	if len(data) > tomlfile.MaxFile || toml.Unmarshal(data, &tree) != nil {
		return fallback()
	}
	for range partlyRounds {
		c, wrong := readTree(name, tree)
		if len(wrong) == 0 {
			return c
		}
		for _, path := range wrong {
			takeOut(tree, path)
		}
		tree = tidied(tree).(map[string]any)
		if list, _ := tree["listener"].([]any); len(list) == 0 {
			tree["listener"] = []any{map[string]any{"name": "none", "address": "tcp:127.0.0.1:0", "profile": "strict"}}
		}
		if slices.Contains(wrong, "authserv_id") { // the host has no name that can be used
			tree["authserv_id"] = localhost
		}
	}
	return fallback()
}

// localhost is the name of a host that has none.
const localhost = "localhost.localdomain"

// readTree reads a decoded file, which stays as it is, and returns the paths of
// what is wrong with it.
func readTree(name string, tree map[string]any) (*Config, []string) {
	r := tomlfile.NewReader(name, Keys, nil)
	c := Default()
	again := tidied(tree).(map[string]any) // reading takes tables out
	listeners(r, again, &c)
	r.Table("", again, fields(&c))
	verify(r, &c)
	if r.Failure() == nil {
		return &c, nil
	}
	return &c, r.Wrong
}

// tidied copies the tables and lists of a decoded file, without the elements that
// takeOut has emptied.
func tidied(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, item := range v {
			out[k] = tidied(item)
		}
		return out
	case []any:
		out := make([]any, 0, len(v))
		for _, item := range v {
			if item != nil { // TOML has no such value
				out = append(out, tidied(item))
			}
		}
		return out
	}
	return v
}

// takeOut removes what stands at a path. Where nothing does, something is missed
// there, and the table around it goes. Elements of lists become nil, so that the
// paths of the others stay right.
func takeOut(tree map[string]any, path string) {
	keys := strings.Split(strings.ReplaceAll(path, "[", ".["), ".")
	for n := len(keys); n > 0; n-- {
		var at any = tree
		for _, key := range keys[:n-1] {
			at = child(at, key)
		}
		if removed(at, keys[n-1]) {
			return
		}
	}
}

// removed removes a key of a table or an element of a list, and reports whether
// it was there.
func removed(at any, key string) bool {
	if m, ok := at.(map[string]any); ok {
		_, present := m[key]
		delete(m, key)
		return present
	}
	list, _ := at.([]any)
	for i := range list {
		if tomlfile.Element("", i) == key {
			list[i] = nil
			return true
		}
	}
	return false
}

// child is the value of a key of a table, or an element of a list; else nil.
func child(at any, key string) any {
	if m, ok := at.(map[string]any); ok {
		return m[key]
	}
	list, _ := at.([]any)
	for i := range list {
		if tomlfile.Element("", i) == key {
			return list[i]
		}
	}
	return nil
}

// fallback is the configuration without a file.
func fallback() *Config {
	c, err := Parse("defaults", []byte("authserv_id = \""+localhost+"\"\n[[listener]]\nname = \"none\"\naddress = \"tcp:127.0.0.1:0\"\nprofile = \"strict\"\n"))
	if err != nil { // the text above is right
		d := Default()
		return &d
	}
	return c
}

// Place is where a daemon is to be found.
type Place struct {
	Control string // path of its control socket
	User    string // "user" or "user:group" that it becomes, or ""
	Read    bool   // Control comes from the file; else it is the default place
}

// FindPlace looks for a daemon in a file that may be broken, or not be readable
// at all: each of the keys state_dir, user and [admin] control counts if it can
// be read by itself. Otherwise the place is that of the packages.
func FindPlace(path string) Place {
	data, err := readFile(path)
	if err != nil || len(data) > tomlfile.MaxFile {
		data = nil
	}
	return findPlace(data)
}

func findPlace(data []byte) Place {
	said := placeKeys(data)
	c := Default()
	c.StateDir = cmp.Or(said["state_dir"], c.StateDir)
	c.Admin.Control = said["admin.control"]
	_ = c.derive() // the host's name is not needed here
	user := said["user"]
	if checkUser(user) != nil {
		user = ""
	}
	return Place{Control: c.Admin.Control, User: user, Read: said["state_dir"] != "" || said["admin.control"] != ""}
}

// placeKeys reads the keys of Place, each line by itself: what is wrong with the
// others does not matter. The first of several counts.
func placeKeys(data []byte) map[string]string {
	said := map[string]string{}
	table := "" // that a line is in, with the dot behind its name
	for line := range bytes.Lines(data) {
		line = bytes.TrimSpace(line)
		if bytes.HasPrefix(line, []byte("[")) {
			name, _, _ := bytes.Cut(bytes.Trim(line, "[ \t"), []byte("]"))
			table = cmp.Or(string(bytes.TrimSpace(name)), "?") + "."
			continue
		}
		one := map[string]any{}
		if toml.Unmarshal(line, &one) != nil {
			continue
		}
		for _, key := range []string{"state_dir", "user", "admin.control"} {
			name, here := strings.CutPrefix(key, table)
			if !here || strings.Contains(name, ".") {
				continue
			}
			if v, ok := one[name].(string); ok && said[key] == "" {
				said[key] = placeValue(key, v)
			}
		}
	}
	return said
}

// placeValue is a value of placeKeys, "" when it is not a good one.
func placeValue(key, v string) string {
	if key == "user" {
		return v
	}
	path, err := parseOptionalPath(v)
	if err != nil {
		return ""
	}
	return path
}
