package blob

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// keysOf returns the keys that JSON has for a struct, in order; those of structs
// in inner with what they are below.
func keysOf(of reflect.Type, inner ...string) (keys []string) {
	for i := range of.NumField() {
		key, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		if !of.Field(i).IsExported() { // never stored
			continue
		}
		if slices.Contains(inner, key) {
			for _, below := range keysOf(of.Field(i).Type) {
				keys = append(keys, key+"."+below)
			}
			continue
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// check compares a table with its struct.
func check[T any](t *testing.T, fields *table[T], inner ...string) {
	t.Helper()
	var keys []string
	numbers := make(map[int]bool)
	for _, f := range fields.fields {
		if f.key != "" {
			keys = append(keys, f.key)
		}
		if f.number > 0 && numbers[f.number] {
			t.Errorf("number %d of %T is there twice", f.number, *new(T))
		}
		numbers[f.number] = true
	}
	keys = slices.DeleteFunc(keys, func(key string) bool { return key == "pass_by" }) // which MarshalJSON adds
	slices.Sort(keys)
	if want := keysOf(reflect.TypeFor[T](), inner...); !slices.Equal(keys, want) {
		t.Errorf("keys of %T = %q; its JSON has %q", *new(T), keys, want)
	}
}

func TestColumnsUseKeysOfJSON(t *testing.T) {
	check(t, factsFields)
	check(t, spfFields)
	check(t, dkimFields)
	check(t, arcFields)
	check(t, sealerFields)
	check(t, recordedFields)
	check(t, authorFields, "verdict", "sends_mail", "history")
	check(t, decisionFields)
	check(t, policyFields)
	check(t, shadowFields)
}

// A text that may come with a local part is one that results.Scrub knows.
func TestTrimScrubsForeignText(t *testing.T) {
	r := filled()
	n := 0
	factsFields.visit(&r.Facts, true, func(string, content) string { n++; return "jane@x.example" })
	if n < 80 {
		t.Errorf("%d texts were visited; want those of all fields", n)
	}
	r.Clean()
	for i := range factsFields.fields {
		f := &factsFields.fields[i]
		if f.visit == nil {
			continue
		}
		f.visit(&r.Facts, true, func(text string, what content) string {
			if what.scrubbed() && strings.Contains(text, "@") {
				t.Errorf("a text of %s is %q after Clean", f.key, text)
			}
			return text
		})
	}
}

// Who reads an export by the position of a column must be able to go on doing
// so.
func TestCSVColumnsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/store.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	_, table, _ := strings.Cut(string(text), "| column |")
	for line := range strings.Lines(table) {
		if name, ok := strings.CutPrefix(line, "| `"); ok {
			name, _, _ = strings.Cut(name, "`")
			want = append(want, name)
		} else if len(want) > 0 {
			break
		}
	}
	var got []string
	for _, c := range CSV() {
		got = append(got, c.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("columns = %q; docs/store.md has %q", got, want)
	}
}
