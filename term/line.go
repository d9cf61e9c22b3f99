package term

import (
	"fmt"
	"io"
	"strings"
)

// Line is one line of a terminal, which shows how far a command has come. The zero
// value with a writer is empty.
type Line struct {
	Out   io.Writer
	width int // of what stands on the line
}

// Draw writes over what stands on the line. Blanks do it on every terminal.
func (l *Line) Draw(text string) {
	fmt.Fprintf(l.Out, "\r%s%s", text, strings.Repeat(" ", max(0, l.width-len(text))))
	l.width = len(text)
}

// Clear leaves an empty line.
func (l *Line) Clear() {
	if l.width > 0 {
		fmt.Fprintf(l.Out, "\r%s\r", strings.Repeat(" ", l.width))
		l.width = 0
	}
}
