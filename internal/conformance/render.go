package main

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const head = `# Conformance

Written by ` + "`make conformance`" + ` from the run of the suites; do not edit. ` + "`make test`" + ` fails where they give something else.

"Run" are cases of the suite, "as expected" those in which our result is the one that the suite wants. The others are deviations, each with its reason.

| suite | package | run | as expected | deviations |
|---|---|---|---|---|
`

// render writes the page.
func render(list []found) []byte {
	var b bytes.Buffer
	b.WriteString(head)
	for _, f := range list {
		away := len(f.deviations())
		fmt.Fprintf(&b, "| %s | `%s` | %d | %d | %d |\n", f.name, f.room, len(f.cases), len(f.cases)-away, away)
	}
	for _, f := range list {
		f.render(&b)
	}
	return b.Bytes()
}

// render writes what there is to say of a suite beyond its sums.
func (f found) render(b *bytes.Buffer) {
	away := f.deviations()
	if f.group == nil && len(away) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## %s\n", f.name)
	if f.group != nil {
		fmt.Fprintf(b, "\n| %s | run | as expected |\n|---|---|---|\n", f.spec)
		for _, s := range f.sections() {
			fmt.Fprintf(b, "| %s | %d | %d |\n", s.name, s.run, s.run-s.away)
		}
	}
	if len(away) > 0 {
		b.WriteString("\n| deviation | why |\n|---|---|\n")
	}
	for _, c := range away {
		fmt.Fprintf(b, "| `%s` | %s |\n", c.name, strings.ReplaceAll(c.deviates, "|", "\\|"))
	}
}

// section is a part of a suite.
type section struct {
	name      string
	run, away int
}

// sections returns those of a suite, in the order of the specification.
func (f found) sections() []section {
	var out []section
	for _, c := range f.cases {
		name := cmp.Or(f.group(c), "no section")
		i := slices.IndexFunc(out, func(s section) bool { return s.name == name })
		if i < 0 {
			i, out = len(out), append(out, section{name: name})
		}
		out[i].run++
		if c.deviates != "" {
			out[i].away++
		}
	}
	slices.SortStableFunc(out, func(a, b section) int {
		return slices.CompareFunc(strings.Split(a.name, "."), strings.Split(b.name, "."), compareParts)
	})
	return out
}

// compareParts orders numbers by value, before words.
func compareParts(a, b string) int {
	n, notA := strconv.Atoi(a)
	m, notB := strconv.Atoi(b)
	switch {
	case notA == nil && notB == nil:
		return cmp.Compare(n, m)
	case notA != nil && notB != nil:
		return cmp.Compare(a, b)
	case notA == nil:
		return -1
	}
	return 1
}
