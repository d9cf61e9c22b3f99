package logging

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"log/syslog"
	"strings"
	"sync/atomic"
	"time"
)

// Our limits of syslog. rsyslog cuts lines after 8 KiB by default.
const (
	maxLine    = 8 << 10         // bytes of a line
	queueLines = 2048            // lines that wait, together at most 16 MiB
	closeWait  = 2 * time.Second // how long a stop waits for syslog
)

// program is the name before each line.
const program = "dmarcgate"

// facilities are the words of log.syslog_facility.
var facilities = map[string]syslog.Priority{
	"mail": syslog.LOG_MAIL, "daemon": syslog.LOG_DAEMON, "user": syslog.LOG_USER,
	"local0": syslog.LOG_LOCAL0, "local1": syslog.LOG_LOCAL1, "local2": syslog.LOG_LOCAL2, "local3": syslog.LOG_LOCAL3,
	"local4": syslog.LOG_LOCAL4, "local5": syslog.LOG_LOCAL5, "local6": syslog.LOG_LOCAL6, "local7": syslog.LOG_LOCAL7,
}

// dialSyslog connects to the syslog of this host: /dev/log, /var/run/syslog or
// /var/run/log.
func dialSyslog(facility string) func() (*syslog.Writer, error) {
	return func() (*syslog.Writer, error) {
		return syslog.Dial("", "", facilities[facility]|syslog.LOG_INFO, program)
	}
}

// toSyslog is a sink that hands lines to syslog. One goroutine writes; a line that finds
// no place in the queue, or that syslog does not take, is lost and counted.
type toSyslog struct {
	dial   func() (*syslog.Writer, error)
	counts *counts
	queue  chan queued
	ending chan struct{} // closed by close
	ended  chan struct{} // closed when the goroutine is done

	lost   atomic.Int64 // lines since the log has said so
	log    *slog.Logger
	stderr io.Writer
	writer *syslog.Writer // nil without a connection
}

// queued is a line that waits.
type queued struct {
	p    priority
	text string
}

func startSyslog(dial func() (*syslog.Writer, error), c *counts) *toSyslog {
	return &toSyslog{dial: dial, counts: c, queue: make(chan queued, queueLines), ending: make(chan struct{}), ended: make(chan struct{})}
}

// begin starts to write. log is the log that writes to s; stderr is told when syslog
// cannot be reached at the start.
func (s *toSyslog) begin(log *slog.Logger, stderr io.Writer) {
	s.log, s.stderr = log, stderr
	if err := s.connect(); err != nil {
		fmt.Fprintf(stderr, "dmarcgate: cannot connect to syslog: %v; log lines are dropped until syslog answers\n", err)
	}
	go s.write()
}

// line queues a line. It never waits.
func (s *toSyslog) line(p priority, text []byte) {
	select {
	case s.queue <- queued{p, shortened(text, maxLine)}:
	default:
		s.lose("queue_full")
	}
}

// shortened is a line without its end, of at most so many bytes.
func shortened(text []byte, most int) string {
	text = bytes.TrimRight(text, "\n")
	if len(text) <= most {
		return string(text)
	}
	return strings.ToValidUTF8(string(text[:most-len(cut)]), "") + cut
}

func (s *toSyslog) lose(why string) {
	s.lost.Add(1)
	s.counts.lost(why, 1)
}

// close lets the lines that wait be written, for closeWait at most.
func (s *toSyslog) close() {
	close(s.ending)
	select {
	case <-s.ended:
	case <-time.After(closeWait):
	}
}

// write writes until close, and then what is left.
func (s *toSyslog) write() {
	defer close(s.ended)
	for {
		select {
		case l := <-s.queue:
			s.hand(l)
			continue
		default:
		}
		select {
		case l := <-s.queue:
			s.hand(l)
		case <-s.ending:
			if len(s.queue) == 0 {
				return
			}
		}
	}
}

// hand hands a line to syslog. When syslog takes lines again, the log says how many were
// lost.
func (s *toSyslog) hand(l queued) {
	if err := s.connect(); err != nil {
		s.lose("syslog")
		return
	}
	if err := s.send(l); err != nil {
		s.lose("syslog")
		return
	}
	if len(s.queue) > queueLines/2 {
		return
	}
	if n := s.lost.Swap(0); n > 0 {
		s.log.Warn("log lines dropped by a slow or absent syslog", "lines", n)
	}
}

func (s *toSyslog) connect() (err error) {
	if s.writer == nil {
		s.writer, err = s.dial()
	}
	return err
}

// send sends a line with its severity. log/syslog connects anew when a write fails.
func (s *toSyslog) send(l queued) error {
	switch l.p {
	case failure:
		return s.writer.Err(l.text)
	case warning:
		return s.writer.Warning(l.text)
	case info:
		return s.writer.Info(l.text)
	}
	return s.writer.Debug(l.text)
}
