package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
)

// asker asks questions on a terminal; nil when in is none.
func asker(in *os.File, out io.Writer) func(string) (bool, error) {
	info, err := in.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	if null, err := os.Stat(os.DevNull); err == nil && os.SameFile(info, null) {
		return nil // as cron and systemd give it
	}
	return func(question string) (bool, error) { return askOn(in, out, question) }
}

// askOn asks a question, and takes nothing but y or yes for a yes.
func askOn(in io.Reader, out io.Writer, question string) (bool, error) {
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
