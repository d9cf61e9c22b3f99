package tomlfile

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"dmarcgate/policy/pattern"
)

// Problem is one thing that is wrong in a configuration file.
type Problem struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty"` // counted from 1; 0 when the problem is something absent
	Key  string `json:"key,omitempty"`  // dotted, as in "dns.timeout"; empty when the text is not TOML
	Text string `json:"text"`           // what is wrong
	Fix  string `json:"fix,omitempty"`  // what to do about it

	// Of rules alone: one word of policy.Codes or of rulefile.Codes, for programs, and
	// the id of the rule if it has one that can be read.
	Code string `json:"code,omitempty"`
	Rule string `json:"rule,omitempty"`
}

// String returns the problem as one line, "file:line: key: what is wrong; fix".
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
	if p.Fix != "" {
		b.WriteString("; " + p.Fix)
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

// Add appends a problem.
func (e *Errors) Add(p Problem) { e.Problems = append(e.Problems, p) }

// ByFile sorts the problems of several files.
func (e *Errors) ByFile() {
	slices.SortStableFunc(e.Problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
}

// Sort sorts the problems of one file by line.
func (e *Errors) Sort() {
	slices.SortStableFunc(e.Problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key))
	})
}

// Fault is what a parser or a check finds wrong in a value.
type Fault struct {
	At   string // where: within the value ("[3]") from a parser, the whole path from validate
	Or   string // another path to take the line from, when at is at its default
	Text string
	Fix  string
	Code string // of a rule: one of policy.Codes
	Told bool   // where it stands already: nothing more is to be said here
}

func (f Fault) Error() string { return f.Text + "; " + f.Fix }

// Faultf makes a fault; fix says what to write instead.
func Faultf(fix, format string, args ...any) error {
	return Fault{Text: fmt.Sprintf(format, args...), Fix: fix}
}

// AsFault puts a fault that pattern finds into the words of this package.
func AsFault(err error) error {
	var f pattern.Fault
	if errors.As(err, &f) {
		return Fault{Text: f.Text, Fix: f.Fix}
	}
	return err
}

// FaultAt is err as a fault at a path.
func FaultAt(path string, err error) Fault {
	f, ok := err.(Fault)
	if !ok {
		f.Text = err.Error()
	}
	f.At = path
	return f
}

// Quoted lists words for a fix: "a", "b" or "c".
func Quoted(words []string) string {
	q := make([]string, len(words))
	for i, w := range words {
		q[i] = fmt.Sprintf("%q", w)
	}
	last := len(q) - 1
	if last == 0 {
		return q[0]
	}
	return strings.Join(q[:last], ", ") + " or " + q[last]
}
