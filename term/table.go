package term

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Table prints a line for each value of list below a head, in columns. Cells of
// the head are separated by tabs; see PrintLine for the cells of a line.
func Table[T any](out io.Writer, head string, list []T, line func(T) []any) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, head)
	for _, v := range list {
		printLine(w, line(v))
	}
	return w.Flush()
}

// printLine prints cells, separated by tabs: times in UTC, all else printable.
func printLine(w io.Writer, cells []any) {
	texts := make([]string, len(cells))
	for i, c := range cells {
		switch c := c.(type) {
		case time.Time:
			texts[i] = c.UTC().Format("2006-01-02 15:04:05")
		default:
			texts[i] = Printable(fmt.Sprint(c))
		}
	}
	fmt.Fprintln(w, strings.Join(texts, "\t"))
}

// Age is how long then lies before now, in whole seconds; never negative.
func Age(now, then time.Time) time.Duration { return max(0, now.Sub(then).Round(time.Second)) }

// Stamp is a time in UTC, to the second.
func Stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// Mebibytes is a size in bytes as people read it, in units of 1,048,576 bytes.
func Mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
