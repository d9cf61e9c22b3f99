package dmarc

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
)

const (
	// maxSuffixFile bounds a list file; the list of 2026 has 0.4 MB.
	maxSuffixFile = 16 << 20
	// minSuffixes is how many rules a list must have to be one: the list has
	// ten thousand, and with a cut or empty file half of the Internet would
	// be one organization.
	minSuffixes = 1000
)

// LoadSuffixes reads a list in the format of publicsuffix.org, both of its
// sections. The error names the file and says what is wrong with it.
func LoadSuffixes(path string) (Suffixes, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("public suffix list: %w", err)
	}
	defer f.Close()
	list, err := readSuffixes(io.LimitReader(f, maxSuffixFile))
	if err != nil {
		return nil, fmt.Errorf("public suffix list %s: %w", path, err)
	}
	if n := len(list); n < minSuffixes {
		return nil, fmt.Errorf("public suffix list %s: it has %d rules; a whole list has more than %d", path, n, minSuffixes)
	}
	return list, nil
}

// fileList has the rules of a list by the name behind their mark, as lower-case A-labels.
type fileList map[string]suffixRule

// suffixRule is the kinds of rules that a list has for a name.
type suffixRule uint8

const (
	listed    suffixRule = 1 << iota // the name is a suffix
	wildcard                         // "*.name": each name one label below is one
	exception                        // "!name": the name is none, although a wildcard says so
)

// readSuffixes reads the rules of both sections. A rule ends at the first blank; other
// lines are comments (publicsuffix.org, Format).
func readSuffixes(r io.Reader) (fileList, error) {
	list := fileList{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || strings.HasPrefix(words[0], "//") || words[0] == "*" { // "*" is how Org ends
			continue
		}
		rule, kind := words[0], listed
		if name, ok := strings.CutPrefix(rule, "*."); ok {
			rule, kind = name, wildcard
		} else if name, ok := strings.CutPrefix(rule, "!"); ok {
			rule, kind = name, exception
		}
		name := normal(rule)
		if name == "" {
			return nil, fmt.Errorf("%.80q is no domain", rule)
		}
		list[name] |= kind
	}
	return list, lines.Err()
}

// Org implements Suffixes: the longest rule that applies wins, and an exception wins over
// a wildcard (publicsuffix.org, Algorithm).
func (l fileList) Org(domain string) string {
	name := normal(domain)
	if name == "" || strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") || strings.Contains(name, "..") {
		return ""
	}
	below := "" // the label before the name that is looked at, with its dot
	for {
		label, parent, more := strings.Cut(name, ".")
		switch {
		case l[name]&exception != 0:
			return label + "." + parent
		case l[name]&listed != 0, !more, l[parent]&wildcard != 0:
			if below == "" {
				return "" // a suffix
			}
			return below + name
		}
		below, name = label+".", parent
	}
}
