package term

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mattn/go-isatty"
)

// IsTerminal reports whether w is a terminal, so that somebody watches.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// Asker returns a function that asks questions on a terminal: out shows them, in
// answers. It is nil when in is no terminal, as under cron and systemd.
func Asker(in *os.File, out io.Writer) func(question string) (bool, error) {
	if !IsTerminal(in) {
		return nil
	}
	return func(question string) (bool, error) { return ask(in, out, question) }
}

// ask asks a question and reads a line: y and yes are a yes, all else is a no.
func ask(in io.Reader, out io.Writer, question string) (bool, error) {
	fmt.Fprint(out, question+" [y/N] ")
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && err != io.EOF {
		return false, err
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}
