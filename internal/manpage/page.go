package manpage

import (
	"fmt"
	"strings"
)

// The lines around a part that Fill writes. Words follow begin: the kind of
// the part, and what it is about.
const (
	begin = `.\" begin `
	end   = `.\" end`
)

// Fill returns a page with its parts written anew. part is asked for each with
// the words after "begin", such as "options rules list".
func Fill(page string, part func(words []string) (string, error)) (string, error) {
	var b strings.Builder
	inside := "" // the line of the part that is being replaced
	for line := range strings.Lines(page) {
		text := strings.TrimRight(line, "\n")
		switch words, found := strings.CutPrefix(text, begin); {
		case found && inside != "":
			return "", fmt.Errorf("%q within %q", text, inside)
		case found:
			inside = text
			s, err := part(strings.Fields(words))
			if err != nil {
				return "", fmt.Errorf("%q: %w", text, err)
			}
			b.WriteString(line + s)
		case text == end && inside == "":
			return "", fmt.Errorf("%q without a part", end)
		case text == end:
			inside = ""
			b.WriteString(line)
		case inside == "":
			b.WriteString(line)
		}
	}
	if inside != "" {
		return "", fmt.Errorf("%q has no %q", inside, end)
	}
	return b.String(), nil
}

// Flags returns the options that a page mentions, "--json" and "-n", each as
// often as it is there: the words after Fl in every macro line.
func Flags(page string) []string {
	var out []string
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, ".") || strings.HasPrefix(line, `.\"`) {
			continue
		}
		words := strings.Fields(line)
		for i, w := range words[:len(words)-1] {
			if strings.TrimPrefix(w, ".") == "Fl" {
				out = append(out, "-"+words[i+1])
			}
		}
	}
	return out
}

// Words returns the arguments of one macro, such as Ic, up to the next macro
// of the same line.
func Words(page, macro string) []string {
	var out []string
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, ".") || strings.HasPrefix(line, `.\"`) {
			continue
		}
		var words []string
		in := false
		for _, w := range strings.Fields(line) {
			switch name := strings.TrimPrefix(w, "."); {
			case name == macro:
				in = true
			case isMacro(name), isPunctuation(w):
				in = false
			case in:
				words = append(words, w)
			}
			if !in && len(words) > 0 {
				out, words = append(out, strings.Join(words, " ")), nil
			}
		}
		if len(words) > 0 {
			out = append(out, strings.Join(words, " "))
		}
	}
	return out
}

// isMacro reports whether a word of a macro line is a macro itself: two
// letters, the first a capital.
func isMacro(w string) bool {
	return len(w) == 2 && w[0] >= 'A' && w[0] <= 'Z' && w[1] >= 'a' && w[1] <= 'z'
}

func isPunctuation(w string) bool { return len(w) == 1 && strings.Contains(".,;:?!()[]|", w) }

// Text makes lines of running text: one for each sentence, with nothing in
// them that mdoc takes for a macro or an escape.
func Text(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	s = strings.NewReplacer(`\`, `\e`, "--", `\-\-`).Replace(s)
	s = strings.ReplaceAll(s, ". ", ".\n") // mdoc sets the space after a sentence by the line's end
	var b strings.Builder
	for line := range strings.Lines(s) {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			b.WriteString(`\&`)
		}
		b.WriteString(line)
	}
	if s != "" {
		b.WriteByte('\n')
	}
	return b.String()
}

// argument makes one argument of a macro line.
func argument(s string) string {
	s = strings.NewReplacer(`\`, `\e`, `"`, `\(dq`, "--", `\-\-`).Replace(s)
	if strings.ContainsAny(s, " \t") || isMacro(s) || isPunctuation(s) {
		return `"` + s + `"`
	}
	return s
}
