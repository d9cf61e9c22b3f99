package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// printer prints, until something cannot be printed.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// group is contests with the same contenders and bounds.
type group []*contest

// table prints a group: the CPU of each contender, then the ratios with their
// bounds.
func (p *printer) table(contests group) {
	if p.err != nil || len(contests) == 0 {
		return
	}
	t := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, contests[0].group)
	for _, c := range contests[0].contenders {
		fmt.Fprintf(t, "\t%s", c.name)
	}
	for _, w := range contests[0].wants {
		fmt.Fprintf(t, "\t%s", w.title)
	}
	for _, c := range contests {
		fmt.Fprintf(t, "\n%s", c.title)
		for _, used := range c.used {
			fmt.Fprintf(t, "\t%.3g", spreadOf(used).median)
		}
		for _, w := range c.wants {
			fmt.Fprintf(t, "\t%s", w.cell(spreadOf(c.ratios(w))))
		}
	}
	fmt.Fprint(t, "\n\n")
	p.err = t.Flush()
}

// cell says a ratio, what is wanted of it and whether it is so.
func (w want) cell(s spread) string {
	text := fmt.Sprintf("%.2f (%.2f-%.2f)", s.median, s.least, s.most)
	switch {
	case w.least > 0:
		text += fmt.Sprintf(" >= %g", w.least)
	case w.atMost > 0:
		text += fmt.Sprintf(" <= %g", w.atMost)
	default:
		return text
	}
	return text + " " + verdict(w.met(s.median))
}

func verdict(ok bool) string {
	if ok {
		return "ok"
	}
	return "MISSED"
}
