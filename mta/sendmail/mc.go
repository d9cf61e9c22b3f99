package sendmail

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Filter is a milter of sendmail.mc.
type Filter struct {
	Name    string
	Equates string // such as "S=local:/run/a.sock, F=T"
	Line    int    // counted from 0
	Input   bool   // INPUT_MAIL_FILTER, which is asked; MAIL_FILTER alone only defines
}

var (
	filterLine = regexp.MustCompile("^[ \t]*(INPUT_)?MAIL_FILTER\\([ \t]*`([^'`]*)'[ \t]*,[ \t]*`([^'`]*)'")
	inputList  = regexp.MustCompile("^([ \t]*define\\([ \t]*`confINPUT_MAIL_FILTERS'[ \t]*,[ \t]*`)([^'`]*)('.*)$")
	mailerLine = regexp.MustCompile("^[ \t]*MAILER\\(")
)

// Filters returns the milters of sendmail.mc in the order of their lines. Comments
// (dnl, #) are passed over.
func Filters(mc string) []Filter {
	var list []Filter
	for n, line := range strings.Split(mc, "\n") {
		if m := filterLine.FindStringSubmatch(line); m != nil {
			list = append(list, Filter{Name: m[2], Equates: m[3], Line: n, Input: m[1] != ""})
		}
	}
	return list
}

// Set returns sendmail.mc with a milter of this name, asked after all others, which
// keep their order. A line of the milter that is there is replaced.
func Set(mc, name, equates string) (string, error) {
	if strings.ContainsAny(name+equates, "`'\n\r") {
		return "", fmt.Errorf("sendmail.mc cannot have %q in quotes", name+" "+equates)
	}
	list := Filters(mc)
	own := func(f Filter) bool { return f.Name == name }
	if n := slices.IndexFunc(list, own); n < 0 || n != len(list)-1 || list[n].Equates != equates || !list[n].Input {
		var err error
		if mc, err = place(mc, slices.DeleteFunc(list, own), name, equates); err != nil {
			return "", err
		}
	}
	lines := strings.Split(mc, "\n")
	list = Filters(mc)
	for n, l := range lines {
		// INPUT_MAIL_FILTER adds to a list that stands before it.
		if m := inputList.FindStringSubmatch(l); m != nil && n > list[len(list)-1].Line {
			lines[n] = m[1] + last(m[2], name) + m[3]
		}
	}
	return strings.Join(lines, "\n"), nil
}

// place puts the line of a milter behind those of the others, and takes former lines
// of it out.
func place(mc string, others []Filter, name, equates string) (string, error) {
	lines := strings.Split(mc, "\n")
	at := slices.IndexFunc(lines, mailerLine.MatchString)
	if len(others) > 0 {
		at = others[len(others)-1].Line + 1
	}
	if at < 0 {
		return "", fmt.Errorf("sendmail.mc has neither a milter nor a MAILER: this is not the file of an MTA")
	}
	var out []string
	for n, l := range append(lines, "") {
		if n == at {
			out = append(out, "INPUT_MAIL_FILTER(`"+name+"', `"+equates+"')dnl")
		}
		if m := filterLine.FindStringSubmatch(l); n < len(lines) && (m == nil || m[2] != name) {
			out = append(out, l)
		}
	}
	return strings.Join(out, "\n"), nil
}

// last is a list such as "a, b" with a name at its end.
func last(list, name string) string {
	words := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
	if n := len(words); n > 0 && words[n-1] == name && !slices.Contains(words[:n-1], name) {
		return list
	}
	words = slices.DeleteFunc(words, func(w string) bool { return w == name })
	return strings.Join(append(words, name), ",")
}

// Option returns an option of sendmail.cf, such as PidFile, or "".
func Option(cf, name string) string {
	for line := range strings.Lines(cf) {
		rest, ok := strings.CutPrefix(line, "O "+name)
		if value, set := strings.CutPrefix(strings.TrimLeft(rest, " \t"), "="); ok && set {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Effective returns the lines of sendmail.cf that Sendmail obeys: without comments,
// which have dates, and without the version (DZ), so that two files can be compared.
func Effective(cf string) string {
	var b strings.Builder
	for line := range strings.Lines(cf) {
		if line = strings.TrimRight(line, " \t\r\n"); line != "" && line[0] != '#' {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}
