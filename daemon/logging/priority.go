package logging

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"
)

// priority is a severity of syslog(3). The journal has the same.
type priority int

const (
	failure priority = 3
	warning priority = 4
	info    priority = 6
	debug   priority = 7
)

// priorities are all that are used.
var priorities = []priority{failure, warning, info, debug}

func priorityOf(l slog.Level) priority {
	switch {
	case l >= slog.LevelError:
		return failure
	case l >= slog.LevelWarn:
		return warning
	case l >= slog.LevelInfo:
		return info
	}
	return debug
}

// prefix begins a line for the journal (sd-daemon(3)).
func (p priority) prefix() string { return fmt.Sprintf("<%d>", int(p)) }

// onJournal reports whether the journal reads what is written to w. systemd names the
// device and the inode of the stream in JOURNAL_STREAM; a service that passes its
// environment on, but not its standard error, is told apart by them (systemd.exec(5)).
func onJournal(w io.Writer) bool {
	f, isFile := w.(*os.File)
	if !isFile {
		return false
	}
	stat, err := f.Stat()
	if err != nil {
		return false
	}
	s, known := stat.Sys().(*syscall.Stat_t)
	return known && os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", s.Dev, s.Ino)
}
