package site

import (
	"io"
	"log/slog"
)

// Logger is a logger whose level can be changed.
type Logger struct {
	*slog.Logger
	level *slog.LevelVar
}

// SetLevel takes a word of the configuration, which config has checked.
func (l Logger) SetLevel(word string) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(word)); err == nil {
		l.level.Set(level)
	}
}

// NewLogger makes the daemon's logger. Lines about messages have no text and
// are of level info; both keys are left out of them, so that the queue id is
// the first key after the time. Both handlers quote what they are given, so
// text from mail cannot begin a line of its own.
func NewLogger(w io.Writer, format, level string) Logger {
	l := Logger{level: new(slog.LevelVar)}
	l.SetLevel(level)
	opt := &slog.HandlerOptions{Level: l.level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		switch {
		case len(groups) > 0:
		case a.Key == slog.MessageKey && a.Value.String() == "",
			a.Key == slog.LevelKey && a.Value.String() == slog.LevelInfo.String():
			return slog.Attr{}
		}
		return a
	}}
	l.Logger = slog.New(slog.NewTextHandler(w, opt))
	if format == "json" {
		l.Logger = slog.New(slog.NewJSONHandler(w, opt))
	}
	return l
}
