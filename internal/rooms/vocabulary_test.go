package rooms

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// outputs are the columns of the table of words, and the names of the lists of
// plain keys.
var outputs = []string{"Log", "JSON", "CSV", "Rule", "Flag", "Label"}

// rowTypes are the types of package policy whose JSON is that of a stored row. ""
// is what MarshalJSON adds.
var rowTypes = []string{"", "Facts", "SPF", "DKIM", "ARC", "Sealer", "Recorded", "Author", "SendsMail", "History", "Decision", "ShadowDecision", "Policy"}

var (
	jsonKey    = regexp.MustCompile(`json:"([a-z0-9_]+)`)
	logKey     = regexp.MustCompile(`slog\.[A-Z]\w*\("([a-z_]+)"`)
	labelKey   = regexp.MustCompile(`label\{(?:name: )?"([a-z_]+)"`)
	csvSameKey = regexp.MustCompile(`"([a-z_.]+)"[^\n]*\.col\(\d+\)`)
	csvOwnKey  = regexp.MustCompile(`\.colAs\(\d+, "([a-z_]+)"\)`)
	flagName   = regexp.MustCompile(`name:"([a-z-]+)"`)
	backticked = regexp.MustCompile("`([^`]+)`")
	capital    = regexp.MustCompile(`([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])`)
)

// kebab is the name of a flag that kong derives from a field.
func kebab(field string) string { return strings.ToLower(capital.ReplaceAllString(field, "$1$3-$2$4")) }

// shipped parses the files of the program, without tests and tools.
func shipped(t *testing.T, each func(s source, text string, f *ast.File)) {
	t.Helper()
	for _, s := range sources(t) {
		if s.test || strings.HasPrefix(s.room, "internal/") {
			continue
		}
		text, err := os.ReadFile(s.path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(token.NewFileSet(), s.path, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		each(s, string(text), f)
	}
}

// structs calls do for each field with a tag of each type, "" for one without a
// name.
func structs(f *ast.File, do func(typ, field, tag string)) {
	names := make(map[ast.Expr]string)
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.TypeSpec:
			names[n.Type] = n.Name.Name
		case *ast.StructType:
			for _, field := range n.Fields.List {
				if field.Tag != nil && len(field.Names) > 0 {
					do(names[n], field.Names[0].Name, field.Tag.Value)
				}
			}
		}
		return true
	})
}

// keysOfSource are the keys that the source has, by output. In "JSON" are those
// of a stored row; in "all JSON" those of every command, too.
func keysOfSource(t *testing.T) map[string]map[string]bool {
	t.Helper()
	keys := map[string]map[string]bool{"all JSON": {}}
	for _, o := range outputs {
		keys[o] = map[string]bool{}
	}
	add := func(output string, found [][]string) {
		for _, m := range found {
			if key := strings.Join(m[1:], ""); key != "" {
				keys[output][key] = true
			}
		}
	}
	shipped(t, func(s source, text string, f *ast.File) {
		add("all JSON", jsonKey.FindAllStringSubmatch(text, -1))
		switch {
		case s.path == filepath.Join(root, "enforce/observe.go"):
			add("Log", logKey.FindAllStringSubmatch(text, -1))
		case s.path == filepath.Join(root, "results/blob/fields.go"):
			add("CSV", csvSameKey.FindAllStringSubmatch(text, -1))
			add("CSV", csvOwnKey.FindAllStringSubmatch(text, -1))
		case s.room == "metrics":
			add("Label", labelKey.FindAllStringSubmatch(text, -1))
		}
		structs(f, func(typ, field, tag string) {
			m := jsonKey.FindAllStringSubmatch(tag, -1)
			if s.room == "policy" && slices.Contains(rowTypes, typ) || s.room == "auth/dmarc" && typ == "Verdict" {
				add("JSON", m)
			}
			if s.room == "policy" && typ == "Match" {
				add("Rule", m)
			}
			if s.room != "cmd/dmarcgate" || !strings.Contains(tag, `help:"`) {
				return
			}
			name := kebab(field)
			if m := flagName.FindStringSubmatch(tag); m != nil {
				name = m[1]
			}
			keys["Flag"]["--"+name] = true
		})
	})
	return keys
}

// vocabulary reads the page: the words of each output in the table, and those of
// the lists of plain keys.
func vocabulary(t *testing.T) (words, plain map[string][]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs/vocabulary.md"))
	if err != nil {
		t.Fatal(err)
	}
	words, plain = map[string][]string{}, map[string][]string{}
	output := ""
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(line, "|\n "), " | ")
		if len(cells) == len(outputs)+3 && strings.HasPrefix(cells[1], "`") {
			for i, o := range outputs {
				for _, m := range backticked.FindAllStringSubmatch(cells[i+2], -1) {
					words[o] = append(words[o], m[1])
					if key := strings.ReplaceAll(strings.TrimPrefix(m[1], "--"), "-", "_"); "`"+key+"`" != cells[1] {
						t.Errorf("%s is called %s in the column %s; want one word", cells[1], m[1], o)
					}
				}
			}
		}
		if list, ok := strings.CutPrefix(line, "- "); ok {
			output, _, _ = strings.Cut(list, ":")
		} else if !strings.HasPrefix(line, "  ") {
			output = ""
		}
		if output != "" {
			for _, m := range backticked.FindAllStringSubmatch(line, -1) {
				plain[output] = append(plain[output], m[1])
			}
		}
	}
	if len(words["JSON"]) < 15 || len(plain["JSON"]) < 30 {
		t.Fatalf("docs/vocabulary.md has %d words and %d plain keys of JSON; want them all", len(words["JSON"]), len(plain["JSON"]))
	}
	return words, plain
}

func TestVocabularyHasTheKeysOfTheSource(t *testing.T) {
	keys := keysOfSource(t)
	words, plain := vocabulary(t)
	for _, o := range outputs {
		if len(keys[o]) < 5 {
			t.Errorf("%s: found %d keys in the source; want all", o, len(keys[o]))
		}
		listed := slices.Concat(words[o], plain[o])
		for _, key := range listed {
			if !keys[o][key] {
				t.Errorf("docs/vocabulary.md has %s, a key of %s that the source does not have", key, o)
			}
		}
		if o == "Flag" || o == "Label" {
			continue // most are words of one command or one metric
		}
		for _, key := range slices.Sorted(maps.Keys(keys[o])) {
			if !slices.Contains(listed, key) {
				t.Errorf("%s: the key %s is not in docs/vocabulary.md", o, key)
			}
		}
	}
}

// formerKeys are keys that had another word, with the word of today.
var formerKeys = map[string]string{
	"override": "reason", "mfrom": "mail_from", "client_ip": "client", "mail_from_domain": "mail_from", "header_from": "author",
	"accept_header": "tag", "lacks": "missing", "standing": "sends_mail", "asked": "queried", "mend": "fix", "in_force": "active",
	"green": "passed", "red": "failed", "touch": "impact", "because": "why", "may_lack": "may_miss", "--ip": "--client",
}

func TestNoOutputHasAFormerKey(t *testing.T) {
	for output, keys := range keysOfSource(t) {
		for former, use := range formerKeys {
			if keys[former] {
				t.Errorf("%s has the key %s; want %s", output, former, use)
			}
		}
	}
}

// formerWords are parts of identifiers, with the term to use.
var formerWords = map[string]string{
	"override": "reason", "mend": "fix", "mends": "fix", "mended": "fix", "mending": "fix", "stranger": "third party, unrelated", "strangers": "third parties, unrelated",
	"standing": "sends mail", "sight": "report", "sights": "report", "touch": "impact", "touches": "affects", "touched": "affected", "touching": "impact",
	"judge": "evaluate", "judges": "evaluate", "judged": "evaluate", "upkeep": "maintenance", "green": "passed", "red": "failed", "doubtful": "warning", "mfrom": "mail from", "lacks": "missing", "lacking": "missing",
}

func TestNoIdentifierHasAFormerWord(t *testing.T) {
	seen := 0
	shipped(t, func(s source, text string, f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			seen++
			for word := range strings.SplitSeq(kebab(id.Name), "-") {
				if use := formerWords[word]; use != "" {
					t.Errorf("%s: %s has %q; use %s", s.path, id.Name, word, use)
				}
			}
			return true
		})
	})
	if seen < 10000 {
		t.Errorf("found %d identifiers; want those of the program", seen)
	}
}

// formerText are words of texts, each with the term to use. An override rule is
// a rule of the site.
var formerText = []struct {
	phrase *regexp.Regexp
	use    string
}{
	{regexp.MustCompile(`(?i)\b(un)?mend(s|ed|ing)?\b`), "fix"},
	{regexp.MustCompile(`\bin force\b`), "active"},
	{regexp.MustCompile(`\bdoubtful\b`), "warning"},
	{regexp.MustCompile(`\bold (DNS )?answers?\b`), "stale answer"},
	{regexp.MustCompile(`\btaken down\b`), "recorded"},
	{regexp.MustCompile(`\bstrangers?\b`), "third party"},
	{regexp.MustCompile(`\bupkeep\b`), "maintenance"},
	{regexp.MustCompile(`\bjudged?\b`), "evaluate"},
	{regexp.MustCompile(`\bbecause: `), "why"},
	{regexp.MustCompile(`\boverride [^r]`), "reason"},
}

// allowedText are texts in which a former word is right, by file.
var allowedText = map[string]string{
	"results/pg":     "override", // the SQL column: hosts with earlier programs write the same tables
	"results/sqlite": "override",
	"results/dbread": "override",
	"results/dbfile": "override",
}

func TestNoTextOfTheProgramHasAFormerWord(t *testing.T) {
	seen := 0
	shipped(t, func(s source, text string, f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING || !strings.Contains(lit.Value, " ") {
				return true
			}
			seen++
			for _, p := range formerText {
				found := p.phrase.FindString(lit.Value)
				if allowed := allowedText[s.room]; found != "" && (allowed == "" || !strings.HasPrefix(found, allowed)) {
					t.Errorf("%s: %s has %q; use %s", s.path, lit.Value, found, p.use)
				}
			}
			return true
		})
	})
	if seen < 1000 {
		t.Errorf("found %d texts; want those of the program", seen)
	}
}

func TestNoPageHasAFormerKey(t *testing.T) {
	pages := documents(t)
	for _, path := range []string{"deploy/dmarcgate.toml", "deploy/rules.d/example.toml"} {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		pages[path] = string(text)
	}
	for name, page := range pages {
		if name == "docs/vocabulary.md" {
			continue // tells of the SQL column
		}
		for former, use := range formerKeys {
			key := regexp.MustCompile("[` ]" + regexp.QuoteMeta(former) + "(=[^=]| = |`)")
			if found := key.FindString(page); found != "" && strings.ContainsAny(former, "_-") || found != "" && strings.Contains(found, "`") {
				t.Errorf("%s has the key %s; want %s", name, former, use)
			}
		}
	}
}
