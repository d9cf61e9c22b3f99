package config

import (
	"cmp"
	"dmarcgate/policy/pattern"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong in a configuration file.
type Problem struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty"` // counted from 1; 0 when the problem is something absent
	Key  string `json:"key,omitempty"`  // dotted, as in "dns.timeout"; empty when the text is not TOML
	Text string `json:"text"`           // what is wrong
	Mend string `json:"mend,omitempty"` // what to do about it

	// Of rules alone: one word of policy.Codes or of RuleCodes, for programs, and
	// the id of the rule if it has one that can be read.
	Code string `json:"code,omitempty"`
	Rule string `json:"rule,omitempty"`
}

// String returns the problem as one line, "file:line: key: what is wrong; mend".
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Key != "" {
		b.WriteString(": " + p.Key)
	}
	b.WriteString(": " + p.Text)
	if p.Mend != "" {
		b.WriteString("; " + p.Mend)
	}
	return b.String()
}

// Errors is everything that is wrong in a configuration file, by line. It is
// permanent: reading the same file again gives the same problems.
type Errors struct {
	Problems []Problem
}

// Error returns the problems, one per line.
func (e *Errors) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

func (e *Errors) add(p Problem) { e.Problems = append(e.Problems, p) }

// byFile sorts the problems of several files.
func (e *Errors) byFile() {
	slices.SortStableFunc(e.Problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
}

func (e *Errors) sort() {
	slices.SortStableFunc(e.Problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key))
	})
}

// fault is what a parser or a check finds wrong in a value.
type fault struct {
	at   string // where: within the value ("[3]") from a parser, the whole path from validate
	or   string // another path to take the line from, when at is at its default
	text string
	mend string
	code string // of a rule: one of policy.Codes
	told bool   // where it stands already: nothing more is to be said here
}

func (f fault) Error() string { return f.text + "; " + f.mend }

func faultf(mend, format string, args ...any) error {
	return fault{text: fmt.Sprintf(format, args...), mend: mend}
}

// asFault puts a fault that policy finds into the words of this package.
func asFault(err error) error {
	var f pattern.Fault
	if errors.As(err, &f) {
		return fault{text: f.Text, mend: f.Mend}
	}
	return err
}
