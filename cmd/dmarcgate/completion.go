package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"dmarcgate/config"
)

// completionCmd prints a script that completes commands, options and values.
// It is made from the command line's own description.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"Print the script for this shell: bash, zsh or fish."`
}

func (c *completionCmd) Run(e *env, k *kong.Kong) error {
	list := commandWords(k.Model.Node)
	var script string
	switch c.Shell {
	case "bash":
		script = bashScript(list)
	case "zsh":
		script = zshBefore + bashScript(list) + zshAfter
	case "fish":
		script = fishScript(list)
	}
	_, err := fmt.Fprint(e.stdout, script)
	return err
}

// listenersCmd prints the names of the listeners, which the scripts complete.
// It is not for people, and so is hidden. A file with errors has no names: a
// completion is no place to report them.
type listenersCmd struct {
	Config string `short:"c" default:"${config}" help:"Use this configuration file (default: ${default})." type:"path"`
}

func (c *listenersCmd) Run(e *env) error {
	cfg, err := config.Load(c.Config)
	if err != nil {
		return nil
	}
	for _, l := range cfg.Listeners {
		if _, err := fmt.Fprintln(e.stdout, l.Name); err != nil {
			return err
		}
	}
	return nil
}

// The commands whose output is values that stand in the files of a site.
const (
	listListeners = "listeners"
	listRules     = "rules list --ids"
)

// commandWord is a command with what may follow it.
type commandWord struct {
	path, help string
	words      []string // commands below it, options with "--", and values of its argument
	flags      []flagWord
	command    string // prints further values of its argument
}

// flagWord is an option, and what its value may be.
type flagWord struct {
	names   []string // "--client", "-c"
	help    string
	takes   bool     // a value follows
	values  []string // all values, where there is a list
	command string   // prints the values, where they stand in files
}

// commandWords describes the command line: the program first, then every
// command before those below it.
func commandWords(n *kong.Node) []commandWord {
	w := commandWord{path: commandPath(n), help: n.Help}
	for _, sub := range n.Children {
		if !sub.Hidden {
			w.words = append(w.words, sub.Name)
		}
	}
	for _, f := range n.Flags {
		w.words = append(w.words, "--"+f.Name)
		w.flags = append(w.flags, flagWordOf(f))
	}
	for _, a := range n.Positional {
		w.words = append(w.words, listed(a)...)
		if a.Name == "id" {
			w.command = listRules
		}
	}
	out := []commandWord{w}
	for _, sub := range n.Children {
		if !sub.Hidden {
			out = append(out, commandWords(sub)...)
		}
	}
	return out
}

func flagWordOf(f *kong.Flag) flagWord {
	w := flagWord{names: []string{"--" + f.Name}, help: f.Help, takes: !f.IsBool(), values: listed(f.Value)}
	if f.Short != 0 {
		w.names = append(w.names, "-"+string(f.Short))
	}
	switch f.Name {
	case "listener":
		w.command = listListeners
	case "rule":
		w.command = listRules
	case "type":
		w.values = cacheTypes
	}
	return w
}

// commandPath is the words of a command, as "rules list"; of the program, "".
func commandPath(n *kong.Node) string {
	var words []string
	for ; n != nil && n.Type == kong.CommandNode; n = n.Parent {
		words = append(words, n.Name)
	}
	slices.Reverse(words)
	return strings.Join(words, " ")
}

// listed returns the words that a value is one of, without the empty one.
func listed(v *kong.Value) []string {
	if v.Enum == "" {
		return nil
	}
	return slices.DeleteFunc(v.EnumSlice(), func(s string) bool { return s == "" })
}

// zshBefore and zshAfter make a script of zsh from that of bash. The file is read
// as the function _dmarcgate at the first completion, which it has to answer.
const (
	zshBefore = "#compdef dmarcgate\nautoload -U +X bashcompinit && bashcompinit\n"
	zshAfter  = "if [ \"$funcstack[1]\" = _dmarcgate ]; then _bash_complete -o default -F _dmarcgate; fi\n"
)

// bashTemplate has blanks for the commands of two words, the values of options,
// and the words of each command. compgen -W expands its words as the shell
// does, so only plain words of the files reach it. In zsh, "path" is the list of
// folders of programs, and an option with "=" is one word.
const bashTemplate = `_dmarcgate_values() {
	local config= i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in -c|--config) config=${COMP_WORDS[i+1]} ;; esac
	done
	dmarcgate $1 ${config:+-c "$config"} 2>/dev/null | grep -x '[a-z0-9-]*'
}
_dmarcgate() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} of= list= before=
	case $cur in
	=) cur= ;;
	--*=*) prev=${cur%%%%=*} before=${cur%%%%=*}= cur=${cur#*=} ;;
	esac
	case $prev in =) prev=${COMP_WORDS[COMP_CWORD-2]} ;; esac
	if [ "$COMP_CWORD" -gt 1 ]; then of=${COMP_WORDS[1]}; fi
	if [ "$COMP_CWORD" -gt 2 ]; then
		case "$of ${COMP_WORDS[2]}" in
		%s) of="$of ${COMP_WORDS[2]}" ;;
		esac
	fi
	case "$of $prev" in
%s	*)
		case $of in
%s		esac ;;
	esac
	COMPREPLY=($(compgen -P "$before" -W "$list" -- "$cur"))
}
complete -o default -F _dmarcgate dmarcgate
`

func bashScript(list []commandWord) string {
	var pairs []string
	var options, commands strings.Builder
	for _, w := range list {
		if strings.Contains(w.path, " ") {
			pairs = append(pairs, fmt.Sprintf("%q", w.path))
		}
		words := strings.Join(w.words, " ") + bashValues(w.command)
		fmt.Fprintf(&commands, "\t\t%s) list=\"%s\" ;;\n", shellPattern(w.path), words)
		for _, f := range w.flags {
			if !f.takes {
				continue
			}
			var patterns []string
			for _, name := range f.names {
				patterns = append(patterns, fmt.Sprintf("%q", w.path+" "+name))
			}
			fmt.Fprintf(&options, "\t%s) list=\"%s\" ;;\n", strings.Join(patterns, "|"), strings.TrimSpace(strings.Join(f.values, " ")+bashValues(f.command)))
		}
	}
	return fmt.Sprintf(bashTemplate, strings.Join(pairs, "|"), options.String(), commands.String())
}

func shellPattern(path string) string {
	if path == "" || strings.Contains(path, " ") {
		return fmt.Sprintf("%q", path)
	}
	return path
}

func bashValues(command string) string {
	if command == "" {
		return ""
	}
	return " $(_dmarcgate_values '" + command + "')"
}

// fishValuesOf prints the values that stand in the files of a site: plain words
// alone, as in bash.
const fishValuesOf = `function __dmarcgate_values
	set -l words (commandline -opc)
	set -l config
	for i in (seq 2 (math (count $words) - 1))
		if contains -- $words[$i] -c --config
			set config -c $words[(math $i + 1)]
		end
	end
	dmarcgate $argv $config 2>/dev/null | string match -r '^[a-z0-9-]+$'
end
`

func fishScript(list []commandWord) string {
	var b strings.Builder
	b.WriteString(fishValuesOf)
	for _, w := range list {
		if w.path == "" {
			for _, f := range w.flags {
				fmt.Fprintf(&b, "complete -c dmarcgate -n __fish_use_subcommand%s\n", fishOption(f))
			}
			continue
		}
		words := strings.Fields(w.path)
		when := "__fish_use_subcommand"
		if len(words) == 2 {
			when = "__fish_seen_subcommand_from " + words[0] + "; and not __fish_seen_subcommand_from " + strings.Join(below(list, words[0]), " ")
		}
		fmt.Fprintf(&b, "complete -c dmarcgate -f -n '%s' -a %s -d %s\n", when, words[len(words)-1], fishQuote(w.help))
		in := "__fish_seen_subcommand_from " + strings.Join(words, "; and __fish_seen_subcommand_from ")
		var values []string
		for _, word := range w.words {
			if !strings.HasPrefix(word, "-") && !slices.Contains(below(list, w.path), word) {
				values = append(values, word)
			}
		}
		if v := fishValues(values, w.command); v != "" {
			fmt.Fprintf(&b, "complete -c dmarcgate -f -n '%s' -a %s\n", in, v)
		}
		for _, f := range w.flags {
			fmt.Fprintf(&b, "complete -c dmarcgate -n '%s'%s\n", in, fishOption(f))
		}
	}
	return b.String()
}

// below returns the names of the commands below a command.
func below(list []commandWord, path string) []string {
	var out []string
	for _, w := range list {
		if name, ok := strings.CutPrefix(w.path, path+" "); ok {
			out = append(out, name)
		}
	}
	return out
}

func fishOption(f flagWord) string {
	s := ""
	for _, name := range f.names {
		if long, ok := strings.CutPrefix(name, "--"); ok {
			s += " -l " + long
		} else {
			s += " -s " + strings.TrimPrefix(name, "-")
		}
	}
	if values := fishValues(f.values, f.command); values != "" {
		s += " -x -a " + values
	} else if f.takes {
		s += " -r"
	}
	return s + " -d " + fishQuote(f.help)
}

func fishValues(values []string, command string) string {
	if command != "" {
		values = append(slices.Clone(values), "(__dmarcgate_values "+command+")")
	}
	if len(values) == 0 {
		return ""
	}
	return fishQuote(strings.Join(values, " "))
}

// fishQuote makes one word of a text in fish, whose quotes know two escapes.
func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
