// Package logging writes the log of the daemon where operators look: to standard
// error, with priorities when the journal reads standard error, or to syslog. Each
// record is one line. Both handlers of log/slog quote what they are given, so text
// from mail cannot begin a line of its own.
//
// Repeated warnings and errors are sampled, see repeats.go. On request, lines as
// OpenDMARC writes them stand beside the line of each message, see opendmarc.go.
//
// Limits: maxLine bytes of a line to syslog, maxJournalLine of a line to the journal, queueLines lines that wait for syslog,
// repeatBurst lines of one text and then one for each repeatEvery, maxTexts texts that
// are counted apart.
//
// Failures: mail never waits for syslog. Lines that syslog does not take are dropped
// and counted, and a line says how many once syslog takes lines again. A daemon without
// a syslog starts, and says so on standard error.
package logging

import (
	"context"
	"io"
	"log/slog"
	"sync"

	"dmarcgate/config"
	"dmarcgate/metrics"
)

// Log is a logger whose level can be changed.
type Log struct {
	*slog.Logger
	level   *slog.LevelVar
	counts  *counts
	repeats *repeats
	sink    sink
}

// Open makes the log of a daemon, as c says. stderr is its standard error.
func Open(stderr io.Writer, c config.Log) Log {
	n := &counts{}
	if c.To == "syslog" {
		s := startSyslog(dialSyslog(c.SyslogFacility), n)
		l := build(s, c, n)
		s.begin(l.Logger, stderr)
		return l
	}
	return build(&stream{w: stderr, journal: onJournal(stderr)}, c, n)
}

// build makes a log out of the places that take its lines.
func build(s sink, c config.Log, n *counts) Log {
	l := Log{level: new(slog.LevelVar), counts: n, sink: s}
	l.SetLevel(c.Level)
	h := newLines(s, c.Format, l.level)
	l.repeats = newRepeats(h, n)
	h = sampled{h, l.repeats}
	if c.OpenDMARCLines {
		h = compatible{h, at{s, info}}
	}
	l.Logger = slog.New(h)
	return l
}

// SetLevel takes a word of the configuration, which config has checked.
func (l Log) SetLevel(word string) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(word)); err == nil {
		l.level.Set(level)
	}
}

// Count counts lines that are lost in m from now on, and those lost before.
func (l Log) Count(m *metrics.Metrics) { l.counts.use(m) }

// Close says how many repeated lines were left out, and gives the lines that wait for
// syslog a last chance. Nothing is logged afterwards.
func (l Log) Close() {
	l.repeats.stop()
	l.sink.close()
}

// sink takes whole lines, each of one priority.
type sink interface {
	line(p priority, text []byte)
	close()
}

// maxJournalLine is below LineMax= of journald.conf(5), 48 KiB: the journal would make
// a line of its own of the rest.
const maxJournalLine = 40 << 10

// cut ends a line that was too long.
const cut = "…"

// at writes lines of one priority to a sink. The sink does not keep the text.
type at struct {
	to sink
	p  priority
}

func (a at) Write(text []byte) (int, error) {
	a.to.line(a.p, text)
	return len(text), nil
}

// stream is a sink that writes to standard error.
type stream struct {
	mu      sync.Mutex
	w       io.Writer
	journal bool // lines begin with their priority
	buf     []byte
}

func (s *stream) line(p priority, text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.journal { // one write, so that lines of two priorities cannot mix
		s.buf = append(append(append(s.buf[:0], p.prefix()...), shortened(text, maxJournalLine)...), '\n')
		text = s.buf
	}
	_, _ = s.w.Write(text) // there is nobody to tell
}

func (s *stream) close() {}

// lines is a handler that formats records, and hands each to the writer for its
// priority.
type lines struct {
	level *slog.LevelVar
	by    [debug + 1]slog.Handler
}

// newLines makes the handler. Lines about messages have no text and are of level info;
// both keys are left out of them, so that the queue id is the first key after the time.
func newLines(s sink, format string, level *slog.LevelVar) slog.Handler {
	opt := &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		switch {
		case len(groups) > 0:
		case a.Key == slog.MessageKey && a.Value.String() == "",
			a.Key == slog.LevelKey && a.Value.String() == slog.LevelInfo.String():
			return slog.Attr{}
		}
		return a
	}}
	l := &lines{level: level}
	for _, p := range priorities {
		if format == "json" {
			l.by[p] = slog.NewJSONHandler(at{s, p}, opt)
		} else {
			l.by[p] = slog.NewTextHandler(at{s, p}, opt)
		}
	}
	return l
}

func (l *lines) Enabled(_ context.Context, level slog.Level) bool { return level >= l.level.Level() }

func (l *lines) Handle(ctx context.Context, r slog.Record) error {
	return l.by[priorityOf(r.Level)].Handle(ctx, r)
}

func (l *lines) WithAttrs(attrs []slog.Attr) slog.Handler {
	return l.with(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

func (l *lines) WithGroup(name string) slog.Handler {
	return l.with(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (l *lines) with(change func(slog.Handler) slog.Handler) slog.Handler {
	out := &lines{level: l.level}
	for _, p := range priorities {
		out.by[p] = change(l.by[p])
	}
	return out
}
