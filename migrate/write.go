package migrate

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"dmarcgate/config/rulefile"
	"dmarcgate/config/tomlfile"
	"dmarcgate/term"
)

// maxCommented is how many remarks the file repeats.
const maxCommented = 100

// Config is dmarcgate.toml, with rules_dir unless there are no rules. The remarks stand
// in its head.
func (r Result) Config(rulesDir string) string {
	if len(r.Rules) == 0 {
		rulesDir = ""
	}
	text, _ := r.text(rulesDir)
	var b strings.Builder
	b.WriteString(comment("Made from " + r.from + " by dmarcgate import."))
	b.WriteString("# Every key with its default: deploy/dmarcgate.toml.\n")
	for _, m := range r.Remarks[:min(len(r.Remarks), maxCommented)] {
		b.WriteString(comment(m.String()))
	}
	if more := len(r.Remarks) - maxCommented; more > 0 {
		b.WriteString(comment(fmt.Sprintf("%d remarks more", more)))
	}
	return b.String() + "\n" + text
}

// text writes the settings, each on a line; lines has the index of the setting of a line.
func (r Result) text(rulesDir string) (text string, lines map[int]int) {
	var b strings.Builder
	lines = make(map[int]int)
	line := 1
	put := func(s string) {
		b.WriteString(s + "\n")
		line++
	}
	if rulesDir != "" {
		put("rules_dir = " + tomlfile.Quote(rulesDir))
	}
	for _, table := range r.tables() {
		switch table {
		case "":
		case "listener":
			put("\n[[listener]]")
			line++
		default:
			put("\n[" + table + "]")
			line++
		}
		for i, s := range r.settings {
			if s.table != table {
				continue
			}
			if s.from.key != "" {
				put(strings.TrimSuffix(comment(fmt.Sprintf("%s, line %d", s.from.key, s.from.line)), "\n"))
			}
			lines[line] = i
			put(s.key + " = " + s.value)
		}
	}
	return b.String(), lines
}

// tables are those of the settings: the top level and the listener first.
func (r Result) tables() []string {
	tables := []string{"", "listener"}
	for _, s := range r.settings {
		if !slices.Contains(tables, s.table) {
			tables = append(tables, s.table)
		}
	}
	return tables
}

// RuleFile is the file with the rules; "" without any.
func (r Result) RuleFile() string {
	if len(r.Rules) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(comment("Made from " + r.from + " by dmarcgate import."))
	for _, rule := range r.Rules {
		b.WriteString("\n" + rulefile.Text(rule))
	}
	return b.String()
}

func quote(s string) string { return tomlfile.Quote(s) }

func quoteNetworks(list []netip.Prefix) string {
	texts := make([]string, len(list))
	for i, n := range list {
		texts[i] = n.String()
		if n.IsSingleIP() {
			texts[i] = n.Addr().String()
		}
	}
	return tomlfile.QuoteList(texts)
}

// printable bounds a value of the other program for a remark.
func printable(s string) string { return fmt.Sprintf("%q", term.Bounded(s, 100)) }
