package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCmd prints a script that completes the commands and their flags.
// It is made from the command line's own description.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"Print the script for this shell: bash, zsh or fish."`
}

func (c *completionCmd) Run(e *env, k *kong.Kong) error {
	words := commandWords(k)
	var script string
	switch c.Shell {
	case "bash":
		script = bashScript(words)
	case "zsh":
		script = "#compdef dmarcgate\nautoload -U +X bashcompinit && bashcompinit\n" + bashScript(words)
	case "fish":
		script = fishScript(words)
	}
	_, err := fmt.Fprint(e.stdout, script)
	return err
}

// commandWord is a command with what may follow it: commands below it and
// flags, "--" included.
type commandWord struct {
	name, help string
	below      []string
	flags      []string
}

func commandWords(k *kong.Kong) []commandWord {
	var out []commandWord
	for _, n := range k.Model.Children {
		w := commandWord{name: n.Name, help: n.Help}
		w.addFlags(n)
		for _, sub := range n.Children {
			w.below = append(w.below, sub.Name)
			w.addFlags(sub)
		}
		out = append(out, w)
	}
	return out
}

func (w *commandWord) addFlags(n *kong.Node) {
	for _, f := range n.Flags {
		if flag := "--" + f.Name; !slices.Contains(w.flags, flag) {
			w.flags = append(w.flags, flag)
		}
	}
}

func bashScript(words []commandWord) string {
	var names []string
	var cases strings.Builder
	for _, w := range words {
		names = append(names, w.name)
		fmt.Fprintf(&cases, "\t\t%s) words=%q ;;\n", w.name, strings.Join(slices.Concat(w.below, w.flags), " "))
	}
	return fmt.Sprintf(`_dmarcgate() {
	local words="%s"
	if [ "$COMP_CWORD" -gt 1 ]; then
		words=
		case ${COMP_WORDS[1]} in
%s		esac
	fi
	case "${COMP_WORDS[*]:1:2}" in
	"rules show"|"rules explain"|"rules test") words="$words $(dmarcgate rules list --ids 2>/dev/null)" ;;
	esac
	COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _dmarcgate dmarcgate
`, strings.Join(names, " "), cases.String())
}

func fishScript(words []commandWord) string {
	var b strings.Builder
	for _, w := range words {
		fmt.Fprintf(&b, "complete -c dmarcgate -n __fish_use_subcommand -a %s -d '%s'\n", w.name, strings.ReplaceAll(w.help, "'", ""))
		if len(w.below) > 0 {
			fmt.Fprintf(&b, "complete -c dmarcgate -n '__fish_seen_subcommand_from %s' -a '%s'\n", w.name, strings.Join(w.below, " "))
		}
		for _, f := range w.flags {
			fmt.Fprintf(&b, "complete -c dmarcgate -n '__fish_seen_subcommand_from %s' -l %s\n", w.name, strings.TrimPrefix(f, "--"))
		}
	}
	b.WriteString("complete -c dmarcgate -n '__fish_seen_subcommand_from rules; and __fish_seen_subcommand_from show explain test' -f -a '(dmarcgate rules list --ids 2>/dev/null)'\n")
	return b.String()
}
