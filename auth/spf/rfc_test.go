package spf

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"dmarcgate/internal/suites"
)

// suiteCase is one test of the suite.
type suiteCase struct {
	name   string
	fields map[string][]string
	zone   suiteZone // of its section
}

func (c suiteCase) field(name string) string {
	if v := c.fields[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// readSuite reads as much of YAML as the file has in what we need: sections
// with two maps, "tests" of maps of scalars and lists, "zonedata" of lists of
// records. Prose is deeper, or in other maps, and is passed over.
func readSuite(t *testing.T, text string) []suiteCase {
	var cases []suiteCase
	var section, owner string
	zone := suiteZone{}
	for _, line := range strings.Split(text, "\n") {
		content := strings.TrimLeft(line, " ")
		indent := len(line) - len(content)
		key, value := cutKey(t, content)
		switch {
		case content == "" || content[0] == '#':
		case content == "---":
			zone = suiteZone{}
		case indent == 0:
			section = key
		case section == "tests" && indent == 2:
			cases = append(cases, suiteCase{key, map[string][]string{}, zone})
		case section == "tests" && indent == 4:
			cases[len(cases)-1].fields[key] = value
		case section == "zonedata" && indent == 2:
			owner = strings.ToLower(key)
			zone[owner] = nil
		case section == "zonedata" && indent == 4:
			kind, data := cutKey(t, strings.TrimPrefix(content, "- "))
			zone[owner] = append(zone[owner], suiteRecord{kind, data})
		}
	}
	return cases
}

// cutKey parts "key: value"; without a value it is "key:" or "key".
func cutKey(t *testing.T, s string) (key string, values []string) {
	if strings.HasPrefix(s, `"`) {
		var rest string
		key, rest = scalar(t, s)
		s = "x" + rest
	}
	before, after, found := strings.Cut(s, ": ")
	before = strings.TrimSuffix(before, ":")
	if key == "" {
		key = before
	}
	if found {
		values = valuesOf(t, strings.TrimSpace(after))
	}
	return key, values
}

// valuesOf reads a scalar or a list in one line.
func valuesOf(t *testing.T, s string) []string {
	if !strings.HasPrefix(s, "[") {
		v, _ := scalar(t, s)
		return []string{v}
	}
	out := []string{}
	for s = strings.TrimSpace(s[1:]); s != "]" && s != ""; s = strings.TrimLeft(s, ", ") {
		var v string
		if v, s = scalar(t, s); !strings.HasPrefix(s, ",") && !strings.HasPrefix(strings.TrimSpace(s), "]") {
			v, s, _ = strings.Cut(v, ",") // an unquoted one ends at the comma
			if s == "" {
				v, s = strings.TrimSuffix(v, "]"), "]"
			}
		}
		out = append(out, strings.TrimSpace(v))
	}
	return out
}

// scalar reads one: in single or double quotes, or the rest of the text.
func scalar(t *testing.T, s string) (value, rest string) {
	switch {
	case strings.HasPrefix(s, "'"):
		value, rest, _ = strings.Cut(s[1:], "'")
		return value, rest
	case strings.HasPrefix(s, `"`):
		end := 1 + strings.IndexByte(s[1:], '"')
		value, err := strconv.Unquote(strings.ReplaceAll(s[:end+1], `\0"`, `\x00"`))
		if err != nil {
			t.Fatalf("string not understood: %q", s)
		}
		return value, s[end+1:]
	}
	return s, ""
}

func TestSuiteOfRFC7208(t *testing.T) {
	cases := readSuite(t, string(suites.Read(t, "spf-rfc7208/rfc7208-tests.yml")))
	if len(cases) != 203 {
		t.Fatalf("%d cases read; want 203", len(cases))
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := Check(t.Context(), c.zone, c.query())
			if !slices.Contains(c.fields["result"], got.Status.String()) {
				t.Errorf("Check() = %+v; want %v", got, c.fields["result"])
			}
			want, given := c.fields["explanation"]
			if given && got.Explanation != strings.TrimPrefix(want[0], "DEFAULT") {
				t.Errorf("explanation = %q; want %q", got.Explanation, want[0])
			}
			if got.Reason == "" || (got.Err != nil) != (got.Status == TempError) {
				t.Errorf("Check() = %+v; want a reason, and an error with temperror only", got)
			}
		})
	}
}

func TestTheReaderOfTheSuiteUnderstandsIt(t *testing.T) {
	tests := []struct {
		line, key string
		values    []string
	}{
		{`helo: mail.example`, "helo", []string{"mail.example"}},
		{`host: ::FFFF:192.0.2.1`, "host", []string{"::FFFF:192.0.2.1"}},
		{`foo:bar/baz.example:`, "foo:bar/baz.example", nil},
		{`"two  spaces: one.example":`, "two  spaces: one.example", nil},
		{`mailfrom: ""`, "mailfrom", []string{""}},
		{`TXT: '%{l}'`, "TXT", []string{"%{l}"}},
		{`SPF:  "v=spf1 a:\x80\0"`, "SPF", []string{"v=spf1 a:\x80\x00"}},
		{`MX: [10,mail.example]`, "MX", []string{"10", "mail.example"}},
		{`MX: [0, "foo:bar, baz"]`, "MX", []string{"0", "foo:bar, baz"}},
		{`SPF: [ "v=spf1 ip4:", 'x y' ]`, "SPF", []string{"v=spf1 ip4:", "x y"}},
		{`SPF: [ ]`, "SPF", []string{}},
		{`TIMEOUT`, "TIMEOUT", nil},
	}
	for _, tt := range tests {
		if key, values := cutKey(t, tt.line); key != tt.key || !slices.Equal(values, tt.values) {
			t.Errorf("cutKey(%q) = %q, %q; want %q, %q", tt.line, key, values, tt.key, tt.values)
		}
	}
}
