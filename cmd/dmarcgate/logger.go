package main

import (
	"io"
	"log/slog"
)

// newLogger makes the daemon's logger. Lines about messages have no text and
// are of level info; both keys are left out of them, so that the queue id is
// the first key after the time. Both handlers quote what they are given, so
// text from mail cannot begin a line of its own.
func newLogger(w io.Writer, format, level string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo // config has refused other words
	}
	opt := &slog.HandlerOptions{Level: l, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		switch {
		case len(groups) > 0:
		case a.Key == slog.MessageKey && a.Value.String() == "",
			a.Key == slog.LevelKey && a.Value.String() == slog.LevelInfo.String():
			return slog.Attr{}
		}
		return a
	}}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, opt))
	}
	return slog.New(slog.NewTextHandler(w, opt))
}
