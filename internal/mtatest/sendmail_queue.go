//go:build linux

package mtatest

import (
	"bytes"
	"context"
	"dmarcgate/internal/childtest"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// queueFile is what we need of a control file in Sendmail's queue: qfID of a
// message that waits, hfID of one in quarantine. Each line begins with a letter
// that says what it is, and goes on in lines that begin with white space.
type queueFile struct {
	entry  QueueEntry
	header string
}

// returnPath is the flag of the field that only local mailers write.
const returnPath = "P"

// parseQueueFile reads a control file (Sendmail's doc/op, Appendix B).
func parseQueueFile(id, text string) queueFile {
	q := queueFile{entry: QueueEntry{ID: id}}
	inHeader := false
	for line := range strings.Lines(text) {
		if line[0] == ' ' || line[0] == '\t' {
			if inHeader {
				q.header += line
			}
			continue
		}
		code, rest := line[0], strings.TrimSuffix(line[1:], "\n")
		inHeader = false
		switch code {
		case 'H': // H?flags?Name: value
			flags, field, _ := strings.Cut(strings.TrimPrefix(rest, "?"), "?")
			if inHeader = flags != returnPath; inHeader {
				q.header += field + "\n"
			}
		case 'q':
			q.entry.Hold = rest
		case 'S':
			q.entry.Sender = strings.Trim(rest, "<>")
		case 'R': // Rflags:<address>
			_, addr, _ := strings.Cut(rest, ":")
			q.entry.Rcpts = append(q.entry.Rcpts, strings.Trim(addr, "<>"))
		case 'T':
			if seconds, err := strconv.ParseInt(rest, 10, 64); err == nil {
				q.entry.Arrival = time.Unix(seconds, 0)
			}
		}
	}
	return q
}

// Quarantined lists the messages in quarantine, with the reason in Hold. A
// message is there before Sendmail answers its sender.
func (s *Sendmail) Quarantined() ([]QueueEntry, error) {
	files, err := filepath.Glob(filepath.Join(s.queueDir(), "hf*"))
	if err != nil {
		return nil, err
	}
	var entries []QueueEntry
	for _, file := range files {
		q, err := s.readQueueFile(file)
		if err != nil {
			return nil, err
		}
		q.entry.Queue = "quarantine"
		entries = append(entries, q.entry)
	}
	return entries, nil
}

func (s *Sendmail) readQueueFile(file string) (queueFile, error) {
	text, err := os.ReadFile(file)
	id := filepath.Base(file)[len("hf"):]
	q := parseQueueFile(id, string(text))
	if err == nil {
		var body os.FileInfo
		if body, err = os.Stat(s.bodyFile(id)); err == nil {
			q.entry.Size = int(body.Size())
		}
	}
	return q, err
}

func (s *Sendmail) bodyFile(id string) string { return filepath.Join(s.queueDir(), "df"+id) }

// Queued returns a message in quarantine as Sendmail would deliver it, edits of
// milters included.
func (s *Sendmail) Queued(id string) (Mail, error) {
	q, err := s.readQueueFile(filepath.Join(s.queueDir(), "hf"+id))
	if err != nil {
		return Mail{}, err
	}
	body, err := os.ReadFile(s.bodyFile(id))
	if err != nil {
		return Mail{}, err
	}
	data := append([]byte(q.header+"\n"), body...)
	return Mail{From: q.entry.Sender, Rcpts: q.entry.Rcpts, Data: bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n"))}, nil
}

// WaitEmpty waits until no message is in the queue, quarantine included.
func (s *Sendmail) WaitEmpty(ctx context.Context) error {
	var files []string
	err := childtest.Poll(ctx, func() bool {
		files, _ = filepath.Glob(filepath.Join(s.queueDir(), "*")) // the pattern is well-formed
		return len(files) == 0
	})
	if err != nil {
		return fmt.Errorf("%q are left in the queue: %w", files, err)
	}
	return nil
}
