package manpage

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// Find returns the subcommand of these words; without words, the program.
func Find(root *kong.Node, words []string) (*kong.Node, error) {
	n := root
	for _, w := range words {
		i := slices.IndexFunc(n.Children, func(c *kong.Node) bool { return c.Name == w })
		if i < 0 {
			return nil, fmt.Errorf("there is no subcommand %q", strings.Join(words, " "))
		}
		n = n.Children[i]
	}
	return n, nil
}

// path is the words of a subcommand, as "rules list".
func path(n *kong.Node) string {
	var words []string
	for ; n != nil && n.Type == kong.CommandNode; n = n.Parent {
		words = append(words, n.Name)
	}
	slices.Reverse(words)
	return strings.Join(words, " ")
}

// Synopsis returns the forms of a subcommand and of those below it.
func Synopsis(n *kong.Node) string {
	var b strings.Builder
	for _, leaf := range leaves(n) {
		fmt.Fprintf(&b, ".Nm dmarcgate\n.Cm %s\n", path(leaf))
		for _, f := range optional(leaf) {
			fmt.Fprintf(&b, ".Op %s\n", form(f))
		}
		for _, group := range required(leaf) {
			var forms []string
			for _, f := range group {
				forms = append(forms, form(f))
			}
			fmt.Fprintf(&b, ".%s\n", strings.Join(forms, " | "))
		}
		for _, a := range leaf.Positional {
			name := "Ar " + argument(strings.ToUpper(a.Name))
			if a.IsCumulative() {
				name += " ..."
			}
			if !a.Required {
				name = "Op " + name
			}
			fmt.Fprintf(&b, ".%s\n", name)
		}
	}
	return b.String()
}

// leaves returns the subcommands below n that can be run, or n itself.
func leaves(n *kong.Node) []*kong.Node {
	if len(n.Children) == 0 {
		return []*kong.Node{n}
	}
	var out []*kong.Node
	for _, c := range n.Children {
		out = append(out, leaves(c)...)
	}
	return out
}

// optional returns the options that may be absent.
func optional(n *kong.Node) []*kong.Flag {
	return slices.DeleteFunc(slices.Clone(n.Flags), func(f *kong.Flag) bool { return f.Required || f.Name == "help" })
}

// required returns the options of which one must be there, those that exclude
// each other together.
func required(n *kong.Node) [][]*kong.Flag {
	var out [][]*kong.Flag
	at := make(map[string]int)
	for _, f := range n.Flags {
		if !f.Required {
			continue
		}
		if len(f.Xor) > 0 {
			if i, ok := at[f.Xor[0]]; ok {
				out[i] = append(out[i], f)
				continue
			}
			at[f.Xor[0]] = len(out)
		}
		out = append(out, []*kong.Flag{f})
	}
	return out
}

// form is an option with its value, as macros.
func form(f *kong.Flag) string {
	s := "Fl -" + f.Name
	if f.IsBool() {
		return s
	}
	value := f.PlaceHolder
	if value == "" {
		value = strings.ToUpper(f.Name)
	}
	return s + " Ar " + argument(value)
}

// Command describes one subcommand: its help, its arguments and its options.
// A subcommand with others below it has only its help.
func Command(n *kong.Node) string {
	var b strings.Builder
	b.WriteString(Text(n.Help))
	if len(n.Children) > 0 {
		return b.String()
	}
	items := argumentItems(n) + optionItems(n)
	if items != "" {
		b.WriteString(".Bl -tag -width Ds\n" + items + ".El\n")
	}
	return b.String()
}

func argumentItems(n *kong.Node) string {
	var b strings.Builder
	for _, a := range n.Positional {
		fmt.Fprintf(&b, ".It Ar %s\n%s", argument(strings.ToUpper(a.Name)), Text(a.Help))
	}
	return b.String()
}

func optionItems(n *kong.Node) string {
	var b strings.Builder
	for _, f := range n.Flags {
		if f.Name == "help" && n.Type == kong.CommandNode {
			continue // every subcommand has it; the page of the program says so
		}
		b.WriteString(".It ")
		if f.Short != 0 {
			fmt.Fprintf(&b, "Fl %c , ", f.Short)
		}
		b.WriteString(form(f))
		if f.Tag.Negatable != "" {
			fmt.Fprintf(&b, " , Fl -no-%s", f.Name)
		}
		b.WriteString("\n" + Text(f.Help))
	}
	return b.String()
}

// Commands lists the subcommands of the program. page names the manual page
// that has one.
func Commands(root *kong.Node, page func(command string) string) string {
	b := strings.Builder{}
	b.WriteString(".Bl -tag -width Ds\n")
	for _, n := range root.Children {
		if n.Hidden {
			continue
		}
		fmt.Fprintf(&b, ".It Cm %s\n%s", n.Name, Text(n.Help))
		if p := page(n.Name); p != "" {
			fmt.Fprintf(&b, "See\n.Xr %s 8 .\n", p)
		}
	}
	return b.String() + ".El\n"
}
