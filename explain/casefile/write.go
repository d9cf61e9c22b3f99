package casefile

import (
	"fmt"
	"regexp"
	"strings"

	"dmarcgate/term"
)

// Text writes the case, so that Read reads the same. It fails for a text that Read
// would take for a placeholder.
func (c *Case) Text() (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", c.Proves)
	for _, name := range sectionNames {
		text := c.Sections[name]
		if name == "envelope" {
			text = c.envelope()
		}
		if text == "" {
			continue
		}
		if err := section(&b, name, text); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

// envelope writes its lines.
func (c *Case) envelope() string {
	var b strings.Builder
	for _, key := range envelopeKeys {
		for _, value := range c.Envelope[key] {
			fmt.Fprintf(&b, "%s %s\n", key, value)
		}
	}
	return b.String()
}

// What a case file cannot hold as it is: its own placeholders, and lines that
// look like the title of a section.
var (
	placeholder = regexp.MustCompile(`\{(host|now[^{}]*|key:[^{}]*|[^{}*]+\*\d+)\}`)
	title       = regexp.MustCompile(`(?m)^-- \S+( escaped)? --$`)
	unprintable = regexp.MustCompile(`[^\t\n -~]`)
)

// section writes one, with escapes where the text needs them.
func section(b *strings.Builder, name, text string) error {
	if found := placeholder.FindString(text); found != "" {
		return fmt.Errorf("the %s has %q, which a case file would replace", name, term.Printable(found))
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	if !unprintable.MatchString(text) && !title.MatchString(text) {
		fmt.Fprintf(b, "-- %s --\n%s", name, text)
		return nil
	}
	fmt.Fprintf(b, "-- %s escaped --\n", name)
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if title.MatchString(line) {
			b.WriteString(`\x2d`)
			line = line[1:]
		}
		for i := range len(line) {
			switch c := line[i]; {
			case c == '\\':
				b.WriteString(`\\`)
			case c < ' ' && c != '\t' || c > '~':
				fmt.Fprintf(b, `\x%02x`, c)
			default:
				b.WriteByte(c)
			}
		}
		b.WriteByte('\n')
	}
	return nil
}
