package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"dmarcgate/site"
)

// imperatives are the verbs with which help texts begin.
var imperatives = strings.Fields(`Add Apply Check Compare Count Decide Delete Enforce Exit Explain Export Give Hide
	Import Keep Let List Look Manage Match Print Propose Purge Query Rank Read Reload Remove Report Resume Run Search
	Select Send Set Show Skip State Suspend Try Use Write`)

// nouns are the beginnings of texts that name a value instead; LAYOUT.md has
// them word for word.
var nouns = []string{"Queue id of", "Rule id (default", "Rules to test (default"}

// helpFaults says what is wrong with a help text: no imperative, no period, or
// no word on the default value.
func helpFaults(help, value string) []string {
	if help == "" {
		return []string{"is missing"}
	}
	var faults []string
	verb, _, _ := strings.Cut(help, " ")
	noun := slices.ContainsFunc(nouns, func(n string) bool { return strings.HasPrefix(help, n) })
	if !noun && !slices.Contains(imperatives, strings.TrimRight(verb, ",")) {
		faults = append(faults, "does not begin with an imperative")
	}
	if !strings.HasSuffix(help, ".") {
		faults = append(faults, "does not end with a period")
	}
	switch value {
	case "", "false":
		return faults
	case "true":
		value = "yes"
	}
	_, behind, _ := strings.Cut(help, "(default: ")
	if !slices.ContainsFunc([]string{")", ",", ";"}, func(end string) bool { return strings.HasPrefix(behind, value+end) }) {
		faults = append(faults, "does not state the default "+value)
	}
	return faults
}

func TestHelpIsImperativeAndStatesDefaults(t *testing.T) {
	parser, err := kong.New(&cli{}, kong.Vars{"config": site.DefaultConfig})
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	check := func(where, help, value string) {
		for _, fault := range helpFaults(help, value) {
			t.Errorf("%s: the help %q %s", where, help, fault)
		}
	}
	var walk func(n *kong.Node)
	walk = func(n *kong.Node) {
		if n.Type == kong.CommandNode {
			check(n.FullPath(), n.Help, "")
		}
		for _, arg := range n.Positional {
			seen++
			check(n.FullPath()+" <"+arg.Name+">", arg.Help, arg.Default)
		}
		for _, f := range n.Flags {
			if f.Name == "help" { // kong's own
				continue
			}
			seen++
			check(n.FullPath()+" --"+f.Name, f.Help, f.Default)
		}
		for _, sub := range n.Children {
			walk(sub)
		}
	}
	walk(parser.Model.Node)
	if seen < 80 {
		t.Errorf("%d flags and arguments; want all of them, at least 80", seen)
	}
}

func TestHelpFaults(t *testing.T) {
	for _, tt := range []struct{ help, value, want string }{
		{"", "", "is missing"},
		{"How many.", "", "does not begin with an imperative"},
		{"Print JSON", "", "does not end with a period"},
		{"Print this many lines.", "20", "does not state the default 20"},
		{"Print this many lines (default: 200).", "20", "does not state the default 20"},
		{"Check the host (default: no; or yes).", "true", "does not state the default yes"},
		{"Print lines; 20 is the default (many).", "20", "does not state the default 20"},
		{"Print this many lines (default: 20).", "20", ""},
		{"Print, but do not send, a message.", "false", ""},
	} {
		if got := strings.Join(helpFaults(tt.help, tt.value), "; "); got != tt.want {
			t.Errorf("helpFaults(%q, %q) = %q; want %q", tt.help, tt.value, got, tt.want)
		}
	}
}
